"""A run from an empty clone, and what `dvc` then says of it."""

import io
import json
import subprocess
import sys
import zipfile

from conftest import Clone, assert_whole
from PIL import Image


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
    assert left == {"cache", "locks", "mlflow.lock", "record.lock", "trained"}


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
    (first,) = finished.runs()
    (other,) = [run for run in clone.runs() if run.info.run_id != first.info.run_id]
    assert other.data.tags["facegan.same_as"] == first.info.run_id


def test_plots_are_drawn_by_dvc(finished: Clone) -> None:
    finished.run("dvc", "plots", "show", "--out", str(finished.root.parent / "plots"))
    page = (finished.root.parent / "plots/index.html").read_text()
    assert "loss_generator" in page
    assert "step_loss_discriminator" in page
    shown = {path.name.rsplit("_", 1)[-1] for path in (finished.root.parent / "plots").rglob("*.png")}
    assert {"generated.png", "neighbors.png", "interpolation.png"} <= shown


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


def test_a_size_that_changes_is_never_taken_for_another(data_ready: Clone, tmp_path) -> None:
    """DVC's run cache does not look at keys called size inside a block."""
    clone = data_ready.copy(tmp_path / "clone")

    def sizes() -> tuple[int, int]:
        clone.repro("preprocess")
        with zipfile.ZipFile(clone.root / "data/raw/images.zip") as raw:
            name = next(name for name in raw.namelist() if name.endswith(".png"))
            width = Image.open(io.BytesIO(raw.read(name))).width
        return width, json.loads((clone.root / "data/shards/manifest.json").read_text())["size"]

    assert sizes() == (64, 32)
    clone.set(preprocess__size=64)
    assert sizes() == (64, 64)
    clone.set(preprocess__size=32, data__synthetic__size=96)
    assert sizes() == (96, 32)
    clone.set(data__synthetic__size=64)
    assert sizes() == (64, 32)


def test_labels_go_from_the_pictures_to_the_generator_that_leaves(data_ready: Clone, tmp_path) -> None:
    clone = data_ready.copy(tmp_path / "clone")
    clone.set(
        model__network="resnet", model__labels=["hair_colour", "tilt"], model__generator__norm="conditional",
        model__generator__upsample="resize", model__discriminator__norm="spectral", train__objective="hinge",
    )  # fmt: skip
    clone.repro()
    (run,) = clone.runs()
    assert_whole(clone, run.info.run_id)
    assert Image.open(clone.root / "reports/train/samples/000000960.png").size == (2 + 2 * 34, 2 + 13 * 34)
    scores = json.loads((clone.root / "reports/evaluate.json").read_text())
    assert 0 <= scores["label_accuracy_tilt"]["value"] <= 1 and "label_accuracy_hair_colour" in run.data.metrics
    card = (clone.root / "models/export/MODEL_CARD.md").read_text()
    assert "- tilt: left, none, right" in card and '--label "hair_colour=black"' in card
    for label in ("pink", "blue"):
        clone.run("facegan", "generate", "--label", f"hair_colour={label}", "--out", f"{label}.png")
    assert clone.sha("pink.png") != clone.sha("blue.png")
    clone.run("facegan", "generate", "--each", "hair_colour", "--count", "8", "--out", "rows.png")
    assert Image.open(clone.root / "rows.png").size == (2 + 8 * 34, 2 + 10 * 34)
    said = clone.run("facegan", "generate", "--label", "hair_colour=green", code=1)
    assert said.splitlines()[-1].startswith("error: hair_colour=green: the classes of hair_colour are black, blonde")
    clone.set(model__labels=["hair"])
    assert "model.labels: the pictures have no label 'hair'; those that they have are" in clone.run(
        "dvc", "repro", "train", code=255
    )


def test_an_experiment_is_compared_with_the_revision_it_started_from(finished: Clone, tmp_path) -> None:
    clone = finished.copy(tmp_path / "clone")
    clone.run("dvc", "exp", "run", "-n", "fewer", "-S", "evaluate.generated=30")
    output = clone.run("facegan", "compare", "HEAD", "fewer", "--out", "change.md", "--out", "compare.html")
    lines = {line.split("  ")[0]: line for line in output.splitlines()}
    assert lines["evaluate.generated"].split()[1:] == ["40", "30"]
    assert "refused: n 30, not 40" in lines["fd_face"]
    assert "| Memorization (`memorization`) |" in (clone.root / "change.md").read_text()
    assert (clone.root / "compare.html").read_text().count("<img") == 2  # pictures from DVC's cache
    assert "holds no reports/evaluate.json" in clone.run("facegan", "compare", "HEAD~1", code=1)
