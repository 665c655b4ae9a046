"""A run from an empty clone, and what `dvc` then says of it."""

import json
import subprocess
import sys

from conftest import Clone, assert_whole


def test_a_run_leaves_every_output_and_one_whole_mlflow_run(finished: Clone) -> None:
    for name in (
        "data/raw/images.zip", "data/shards/manifest.json", "models/train/generator-last.safetensors",
        "models/train/discriminator.safetensors", "models/train/config.json", "reports/train/history.csv",
        "reports/evaluate/index.html", "models/export/generator.onnx", "models/export/parity.json",
        "models/export/MODEL_CARD.md", "models/export/samples.png", "models/export/generate.py",
    ):  # fmt: skip
        assert (finished.root / name).is_file(), name
    (run,) = finished.runs()
    assert_whole(finished, run.info.run_id)
    assert run.data.params["train.batch"] == "16"
    assert "images_per_second" in run.data.metrics
    assert run.data.metrics["data/pictures_train"] + run.data.metrics["data/pictures_held_out"] == 96
    assert run.inputs.dataset_inputs[0].dataset.name == "synthetic"
    assert run.data.tags["mlflow.source.git.commit"] == finished.run("git", "rev-parse", "HEAD~1").strip()


def test_nothing_to_do_is_said_so_and_status_is_clean(finished: Clone) -> None:
    assert "Data and pipelines are up to date" in finished.run("dvc", "status")
    assert "Running stage" not in finished.repro()
    assert finished.run("git", "status", "--porcelain") == ""


def test_no_working_state_is_left(finished: Clone) -> None:
    left = {path.name for path in (finished.root / ".facegan").iterdir()}
    assert left == {"cache", "environments", "locks", "mlflow.lock"}


def test_outputs_name_no_machine_and_no_time(finished: Clone) -> None:
    text = "".join(
        (finished.root / name).read_text()
        for name in ("models/train/config.json", "reports/evaluate.json", "reports/data.json",
                     "data/raw/manifest.json", "data/shards/manifest.json", "models/export/config.json")
    )  # fmt: skip
    assert str(finished.root) not in text
    (run,) = finished.runs()
    assert run.info.run_id not in text
    assert str(finished.root).encode() not in (finished.root / "models/export/generator.onnx").read_bytes()


def test_forced_in_another_clone_it_trains_again_from_zero_to_the_same_bytes(
    data_ready: Clone, finished: Clone, tmp_path
) -> None:
    clone = finished.copy(tmp_path / "elsewhere")
    names = [f"models/train/{name}.safetensors" for name in ("generator", "generator-last", "discriminator")]
    names += ["reports/train/history.csv", "reports/train/losses.csv"]
    before = [clone.sha(name) for name in names]
    output = clone.repro("--force", "train")
    assert "0.2 / 1.0 kimg" in output  # its first tick: nothing was resumed or taken from a cache
    assert [clone.sha(name) for name in names] == before
    clone.repro()
    assert clone.run("git", "status", "--porcelain") == ""  # every output of every stage is the same


def test_plots_are_drawn_by_dvc(finished: Clone) -> None:
    finished.run("dvc", "plots", "show", "--out", str(finished.root.parent / "plots"))
    page = (finished.root.parent / "plots/index.html").read_text()
    assert "loss_generator" in page
    assert "step_loss_discriminator" in page


def test_the_export_runs_without_the_pipeline(finished: Clone, tmp_path) -> None:
    """generate.py in an environment that has onnxruntime, numpy and Pillow alone."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [environment / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "onnxruntime", "numpy", "pillow"], check=True)
    folder = tmp_path / "shipped"
    finished.run("cp", "-r", "models/export", str(folder))
    out = tmp_path / "grid.png"
    command = [environment / "bin/python", folder / "generate.py", "--count", "5", "--seed", "3", "--out", out]
    subprocess.run(command, check=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")})
    first = out.read_bytes()
    subprocess.run(command, check=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")})
    assert first == out.read_bytes()
    assert first.startswith(b"\x89PNG")
    assert not (tmp_path / "home").exists()  # no device id was written


def test_parity_is_recorded(finished: Clone) -> None:
    parity = json.loads((finished.root / "models/export/parity.json").read_text())
    assert parity["agrees"] is True
    assert parity["max_difference"] <= parity["tolerance"]


def test_a_parameter_that_is_not_one_stops_the_run_before_any_work(finished: Clone, tmp_path) -> None:
    clone = finished.copy(tmp_path / "clone")
    output = clone.run("dvc", "exp", "run", "-S", "+train.bacth=3", code=None)
    assert "params.yaml: train.bacth: unknown key; did you mean train.batch?" in output
