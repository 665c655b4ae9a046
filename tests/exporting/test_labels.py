"""A generator that knows labels, wherever it is used: the script, ONNX, MLflow."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from PIL import Image

from exporting.conftest import LABELS, SIZE, Elsewhere
from exporting.recorded import pictures, save_as_recorded  # before mlflow: it switches telemetry off
from exporting.test_generate import options, run
from facegan.exporting.shipped.generate import Generator, draw

import mlflow  # isort: skip
from mlflow.exceptions import MlflowException  # isort: skip


@pytest.fixture(scope="module")
def generator(labelled: Path) -> Generator:
    return Generator(labelled / "generator.onnx")


def tiles(image: Image.Image) -> np.ndarray:
    """uint8 [rows, columns, size, size, 3] of a grid."""
    pixels = np.asarray(image)[2:, 2:]
    rows, columns = (length // (SIZE + 2) for length in pixels.shape[:2])
    return pixels.reshape(rows, SIZE + 2, columns, SIZE + 2, 3).swapaxes(1, 2)[:, :, :SIZE, :SIZE]


def test_the_onnx_file_says_what_it_knows(labelled: Path, generator: Generator) -> None:
    session = onnxruntime.InferenceSession(labelled / "generator.onnx", providers=["CPUExecutionProvider"])
    assert [(value.name, value.type, value.shape[1:]) for value in session.get_inputs()] == [
        ("latent", "tensor(float)", [8]),
        ("labels", "tensor(int64)", [2]),
    ]
    assert generator.names == LABELS


def test_labels_are_asked_for_by_name(generator: Generator) -> None:
    assert generator.labels([]).tolist() == [-1, -1]
    assert generator.labels(["hair=short"]).tolist() == [-1, 1]
    assert generator.labels(["hair=short", "eyes=green"]).tolist() == [2, 1]
    latents = generator.latents(3, 1)
    asked = generator.pictures(latents, generator.labels(["hair=short"]))
    assert not np.array_equal(asked, generator.pictures(latents, generator.labels(["hair=long"])))
    assert not np.array_equal(asked, generator.pictures(latents))
    assert np.array_equal(asked, generator.pictures(latents, np.array([[-1, 1]] * 3)))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("hair=pink", "hair=pink: the classes of hair are long, short"),
        ("har=long", "this generator knows no label 'har'; those that it knows are eyes, hair"),
        ("hair", "a label is asked for as NAME=CLASS, not 'hair'"),
    ],
)
def test_what_it_does_not_know_is_one_line(
    elsewhere: Elsewhere, labelled: Path, generator: Generator, label: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        generator.labels([label])
    assert run(elsewhere, labelled / "generate.py", "--label", label, code=1) == f"error: {words}\n"


def test_one_that_knows_none_says_so(exported: Path) -> None:
    with pytest.raises(SystemExit, match=r"knows no label 'hair'; it knows none"):
        draw(Generator(exported / "generator.onnx"), options("--label", "hair=long"))
    with pytest.raises(SystemExit, match=r"knows no label 'hair'; it knows none"):
        draw(Generator(exported / "generator.onnx"), options("--each", "hair"))


def test_each_draws_a_row_for_every_class_with_the_same_latents(generator: Generator) -> None:
    drawn = tiles(draw(generator, options("--each", "eyes", "--label", "hair=long", "--count", "4", "--seed", "3")))
    assert drawn.shape[:2] == (3, 4)
    latents = generator.latents(4, 3)
    for row, name in zip(drawn, LABELS["eyes"], strict=True):
        assert np.array_equal(row, generator.pictures(latents, generator.labels(["hair=long", f"eyes={name}"])))
    with pytest.raises(SystemExit, match="ask for one of them"):
        draw(generator, options("--each", "eyes", "--interpolate"))


def test_a_walk_keeps_its_label(generator: Generator) -> None:
    asked = ("--interpolate", "--count", "1", "--steps", "3", "--seed", "3")
    drawn = tiles(draw(generator, options(*asked, "--label", "eyes=red")))
    first = generator.pictures(generator.latents(2, 3)[:1], generator.labels(["eyes=red"]))[0]
    assert np.abs(drawn[0, 0].astype(int) - first).max() <= 1


@pytest.fixture(scope="module")
def served(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """As ``record`` logs it."""
    saved = save_as_recorded(labelled, tmp_path_factory.mktemp("mlflow") / "model")
    return mlflow.pyfunc.load_model(str(saved))


def test_mlflow_serves_labels(served: Any, generator: Generator) -> None:
    found = pictures(
        served.predict(
            pd.DataFrame([{"n": 2, "seed": 7, "label": ["hair=short", "eyes=red"]}, {"n": 1, "seed": 0, "label": []}])
        )
    )
    asked = generator.pictures(generator.latents(2, 7), generator.labels(["hair=short", "eyes=red"]))
    assert np.abs(found[:2].astype(int) - asked).max() <= 1
    assert np.abs(found[2:].astype(int) - generator.pictures(generator.latents(1, 0))).max() <= 1
    with pytest.raises(MlflowException, match="hair=pink: the classes of hair are long, short"):
        served.predict(pd.DataFrame([{"n": 2, "label": ["hair=pink"]}]))
