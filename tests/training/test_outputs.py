"""What a finished training leaves: weights that anyone can read, and tables that hold exact numbers."""

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load

from facegan.exporting.model import load_generator
from facegan.networks import build_discriminator
from facegan.tracking.journal import Journal, read_rows
from facegan.training.outputs import write_history, write_models
from facegan.training.working import WorkingFolder
from training.tiny import Tiny


def test_the_outputs_are_those_that_the_stage_promises(tiny: Tiny) -> None:
    assert set(tiny.finish("run")) == {
        "models/config.json",
        "models/discriminator.safetensors",
        "models/generator.safetensors",
        "models/generator-last.safetensors",
        "reports/history.csv",
        "reports/losses.csv",
        *(f"reports/samples/{images:09d}.png" for images in (0, 12, 24, 28)),
    }


def test_config_tells_what_was_trained_and_which_images_are_the_best(tiny: Tiny) -> None:
    scores = iter([2.0, 0.1 + 0.2, 1.0])
    found = tiny.finish("run", score=lambda network: next(scores), seed=9)
    config = json.loads(found["models/config.json"])
    assert config == {
        "model": tiny.model().model_dump(mode="json"),
        "size": 32,
        "channels": 3,
        "labels": {},
        "images": 28,
        "judge": "fd_face",
        "best": {"images": 24, "score": 0.1 + 0.2, "error": 0.5},
        "last": {"images": 28, "score": 1.0, "error": 0.5},
        "latent": "standard normal",
        "range": [-1, 1],
        "seed": 9,
        "training_key": "the key",
    }


def test_the_weights_load_into_their_networks(tiny: Tiny) -> None:
    found = tiny.finish("run")
    network, config = load_generator(tiny.home / "run-outputs/models")
    assert config["images"] == 28
    assert network(torch.randn(2, 8)).shape == (2, 3, 32, 32)
    network.load_state_dict(load(found["models/generator-last.safetensors"]))
    discriminator = build_discriminator(tiny.model(), 32)
    discriminator.load_state_dict(load(found["models/discriminator.safetensors"]))


def test_the_generator_is_the_best_and_the_last_is_the_last(tiny: Tiny) -> None:
    scores = iter([1.0, 2.0, 3.0])
    first_is_best = tiny.finish("first", score=lambda network: next(scores))
    scores = iter([3.0, 2.0, 1.0])
    last_is_best = tiny.finish("last", score=lambda network: next(scores))
    best, last = "models/generator.safetensors", "models/generator-last.safetensors"
    assert first_is_best[last] == last_is_best[last]
    assert last_is_best[best] == last_is_best[last]
    assert first_is_best[best] != first_is_best[last]


def test_numbers_in_the_tables_are_exact(tiny: Tiny) -> None:
    found = tiny.finish("run")
    ticks = {row["step"]: row["values"] for row in read_rows(tiny.home / "run") if row["kind"] == "metrics"}
    for row in csv.DictReader(io.StringIO(found["reports/history.csv"].decode())):
        values = ticks[int(row.pop("images"))]
        assert {name: float(value) for name, value in row.items()} == values


def test_no_output_holds_a_path_a_time_or_a_version(tiny: Tiny) -> None:
    for name, content in tiny.finish("run").items():
        for secret in (str(tiny.home), torch.__version__, "time"):
            assert secret.encode() not in content, name
        if name.endswith(".png"):
            assert Image.open(io.BytesIO(content)).info == {}


@pytest.fixture
def folder(tmp_path: Path) -> WorkingFolder:
    folder = WorkingFolder(tmp_path / "working")
    folder.samples.mkdir(parents=True)
    return folder


def test_rows_stand_in_the_order_of_images_and_a_missing_score_is_empty(folder: WorkingFolder, tmp_path: Path) -> None:
    with Journal(folder.path) as journal:
        journal.write("start", environment={})
        journal.write("metrics", 20, values={"loss": 0.1, "score": 5e-324})
        journal.write("metrics", 10, values={"loss": 1 / 3})
        journal.write("losses", 20, steps=[12, 16, 20], values={"a": [3.0, 4.0, 5.0], "b": [3.5, 4.5, 5.5]})
        journal.write("losses", 8, steps=[4, 8], values={"a": [1.0, 2.0], "b": [1.5, 2.5]})
        journal.write("system", 10, values={"images_per_second": 17.0})
        journal.write("alarm", 10, alarm="something")
    write_history(folder, tmp_path / "out")
    assert (tmp_path / "out/history.csv").read_text() == "images,loss,score\n10,0.3333333333333333,\n20,0.1,5e-324\n"
    assert (
        tmp_path / "out/losses.csv"
    ).read_text() == "images,a,b\n4,1.0,1.5\n8,2.0,2.5\n12,3.0,3.5\n16,4.0,4.5\n20,5.0,5.5\n"


def test_a_grid_that_was_being_written_is_no_output(folder: WorkingFolder, tmp_path: Path) -> None:
    with Journal(folder.path) as journal:
        journal.write("metrics", 10, values={"loss": 1.0})
        journal.write("losses", 10, steps=[10], values={"a": [1.0]})
    (folder.samples / "000000010.png").write_bytes(b"whole")
    (folder.samples / ".000000020.png.partial").write_bytes(b"a pa")
    write_history(folder, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/samples").iterdir()] == ["000000010.png"]


def test_new_outputs_take_the_place_of_old_ones_whole(tiny: Tiny) -> None:
    with tiny.training("run") as training:
        state = training.run()
        out = tiny.home / "out"
        (out / "models").mkdir(parents=True)
        (out / "models/leftover.safetensors").write_bytes(b"of another run")
        write_models(training, state, "key", out / "models")
    assert "leftover.safetensors" not in [path.name for path in (out / "models").iterdir()]
    assert [path.name for path in out.iterdir()] == ["models"]  # no partial folder
