"""`facegan generate`: faces from an exported folder or from MLflow, the same for the same seed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tracking.made import free_port

from cli.running import Command
from facegan.repository.project import EXPORTED, Project
from facegan.repository.recording import record_run

HEIGHT, WIDTH, GAP = 40, 32, 2
SECRET = "s3cret-pass"


def faces(path: Path) -> list[bytes]:
    """The faces of a grid, row by row."""
    with Image.open(path) as grid:
        pixels = np.asarray(grid.convert("RGB"))
    return [
        pixels[top : top + HEIGHT, left : left + WIDTH].tobytes()
        for top in range(GAP, pixels.shape[0], HEIGHT + GAP)
        for left in range(GAP, pixels.shape[1], WIDTH + GAP)
    ]


def size(columns: int, rows: int) -> tuple[int, int]:
    """Width and height of a grid, as Pillow has them."""
    return columns * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP


def test_the_asked_number_of_faces_is_drawn_in_a_square(finished: Project, facegan: Command) -> None:
    ended = facegan("generate", "--count", 9, "--seed", 3, "--out", "nine.png")
    assert (ended.code, ended.out) == (0, "nine.png\n")
    with Image.open("nine.png") as grid:
        assert (grid.format, grid.mode, grid.size) == ("PNG", "RGB", size(3, 3))
    assert len(set(faces(Path("nine.png")))) == 9


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (5, 3, 2), (25, 5, 5)])
def test_a_grid_is_about_as_wide_as_high(
    finished: Project, facegan: Command, count: int, columns: int, rows: int
) -> None:
    assert facegan("generate", "--count", count).code == 0
    with Image.open("grid.png") as grid:
        assert grid.size == size(columns, rows)


def test_the_same_seed_draws_the_same_faces_and_another_draws_others(finished: Project, facegan: Command) -> None:
    for seed, name in ((3, "a.png"), (3, "b.png"), (4, "c.png")):
        facegan("generate", "--count", 4, "--seed", seed, "--out", name)
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert not set(faces(Path("a.png"))) & set(faces(Path("c.png")))


def test_more_faces_begin_with_the_same_ones(finished: Project, facegan: Command) -> None:
    facegan("generate", "--count", 4, "--out", "few.png")
    facegan("generate", "--count", 9, "--out", "many.png")
    few, many = faces(Path("few.png")), faces(Path("many.png"))
    # ONNX Runtime may sum a larger batch in another order: a grey level is no other face.
    for one, other in zip(few, many, strict=False):
        difference = np.frombuffer(one, np.uint8).astype(int) - np.frombuffer(other, np.uint8)
        assert np.abs(difference).max() <= 1


def test_a_walk_goes_from_each_face_to_the_next(finished: Project, facegan: Command) -> None:
    assert facegan("generate", "--count", 2, "--steps", 4, "--seed", 3, "--interpolate", "--out", "walk.png").code == 0
    with Image.open("walk.png") as grid:
        assert grid.size == size(4, 2)
    facegan("generate", "--count", 3, "--seed", 3, "--out", "ends.png")
    walk, ends = faces(Path("walk.png")), faces(Path("ends.png"))
    for place, end in ((0, 0), (3, 1), (4, 1), (7, 2)):
        difference = np.frombuffer(walk[place], np.uint8).astype(int) - np.frombuffer(ends[end], np.uint8)
        assert np.abs(difference).max() <= 1
    assert len(set(walk)) == 7  # the second row begins where the first one ends


def test_no_truncation_is_the_default_and_all_of_it_is_one_face(finished: Project, facegan: Command) -> None:
    facegan("generate", "--count", 4, "--out", "plain.png")
    facegan("generate", "--count", 4, "--truncation", 1, "--out", "one.png")
    facegan("generate", "--count", 4, "--truncation", 0, "--out", "none.png")
    assert Path("plain.png").read_bytes() == Path("one.png").read_bytes()
    assert len(set(faces(Path("none.png")))) == 1


def test_a_model_may_lie_anywhere_and_needs_no_project(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facegan: Command
) -> None:
    folder = tmp_path / "elsewhere"
    (folder / "my model").mkdir(parents=True)
    shutil.copyfile(project_root / EXPORTED / "generator.onnx", folder / "my model/generator.onnx")
    monkeypatch.chdir(folder)
    assert facegan("generate", "--model", "my model", "--out", "deep/er/out.png").code == 0
    assert (folder / "deep/er/out.png").is_file()


def test_a_run_in_mlflow_draws_the_same_faces_as_the_exported_folder(
    finished: Project, facegan: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    record_run(finished)
    run = capfd.readouterr().out.split()[2]
    facegan("generate", "--count", 4, "--seed", 3, "--out", "folder.png")
    ended = facegan("generate", "--model", f"runs:/{run}/generator", "--count", 4, "--seed", 3, "--out", "run.png")
    assert (ended.code, ended.out) == (0, "run.png\n")
    assert Path("run.png").read_bytes() == Path("folder.png").read_bytes()

    error = facegan("generate", "--model", f"runs:/{run}/nothing").error
    assert f"runs:/{run}/nothing" in error
    assert "runs:/" in facegan("generate", "--model", "runs:/00000000000000000000000000000000/generator").error
    assert "models:/" in facegan("generate", "--model", "models:/nobody/1").error


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_a_folder_without_a_model_that_loads_is_refused_in_one_line(
    project: Project, facegan: Command, content: bytes | None
) -> None:
    folder = project.root / "models/export"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "generator.onnx").write_bytes(content)
    error = facegan("generate").error
    assert "models/export" in error
    assert ("dvc repro" in error) == (content is None)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--count", 0),
        ("--count", -1),
        ("--seed", -1),
        ("--interpolate", "--steps", 1),
        ("--truncation", -1),
        ("--truncation", "nan"),
        ("--truncation", "inf"),
    ],
)
def test_numbers_that_make_no_picture_are_refused_in_one_line(
    finished: Project, facegan: Command, wrong: tuple[object, ...]
) -> None:
    assert "--count" in facegan("generate", *wrong).error
    assert not Path("grid.png").exists()


def test_an_out_that_is_a_folder_is_refused_in_one_line(finished: Project, facegan: Command) -> None:
    Path("faces.png").mkdir()
    assert "faces.png" in facegan("generate", "--count", 1, "--out", "faces.png").error
    assert "--out faces.pdf: a grid is a .png" in facegan("generate", "--count", 1, "--out", "faces.pdf").error
    assert not list(Path().glob(".*.partial"))


def test_a_dead_server_is_one_line_without_its_password(
    project: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{SECRET}@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ended = facegan("generate", "--model", "runs:/00000000000000000000000000000000/generator")
    assert SECRET not in ended.out + ended.err
    assert "runs:/" in ended.error
