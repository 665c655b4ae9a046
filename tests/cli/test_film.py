"""`facegan generate --film`: what is written is played back by the decoders of others."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from cli.running import Command
from facegan.repository.project import REPORTS, Project

SAMPLES = REPORTS / "train/samples"


def played(path: Path) -> tuple[list[np.ndarray], float]:
    """Frames uint8 [h, w, 3], and how many there are a second."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        rate = float(stream.average_rate)
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)], rate


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.int16)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference in grey levels, which the chroma of H.264 does not change much."""
    return float(np.abs(a.mean(2) - b.mean(2)).mean())


def test_a_training_is_an_mp4_of_its_grids_and_rests_at_the_end(finished: Project, facegan: Command) -> None:
    shades = {path: 40 * number for number, path in enumerate(sorted((finished.root / SAMPLES).glob("*.png")), 1)}
    for path, shade in shades.items():
        Image.new("RGB", (35, 71), (shade, shade, shade)).save(path)
    ended = facegan("generate", "--film", "training", "--out", "t.mp4", "--fps", 3)
    assert (ended.code, ended.out) == (0, "t.mp4\n")
    frames, rate = played(Path("t.mp4"))
    assert rate == 3 and frames[0].shape == (72, 36, 3)  # H.264 wants even sides
    expected = [*shades.values(), *[max(shades.values())] * 3]
    assert [frame.mean() for frame in frames] == pytest.approx(expected, abs=2)


def test_numbered_pictures_are_the_grids_themselves(finished: Project, facegan: Command) -> None:
    assert facegan("generate", "--film", "training", "--out", "e/generated-image-%04d.png").code == 0
    names = sorted(path.name for path in Path("e").iterdir())
    grids = sorted((finished.root / SAMPLES).glob("*.png"))
    assert names == [f"generated-image-{number:04d}.png" for number in range(1, len(grids) + 1)]
    for name, grid in zip(names, grids, strict=True):
        assert np.array_equal(pixels(Path("e", name)), pixels(grid))


def test_a_walk_is_smooth_and_comes_back(finished: Project, facegan: Command) -> None:
    walk = ("generate", "--film", "walk", "--count", 4, "--steps", 5, "--seed", 3)
    assert facegan(*walk, "--out", "w-%02d.png").code == 0
    frames = [pixels(path) for path in sorted(Path.cwd().glob("w-*.png"))]
    steps = [apart(a, b) for a, b in zip(frames, frames[1:] + frames[:1], strict=True)]
    assert len(steps) == 4 * 5
    assert min(steps) > 0 and max(steps) < 2 * sorted(steps)[10]  # the one from the last to the first too
    assert facegan(*walk, "--out", "w.mp4").code == 0
    film, rate = played(Path("w.mp4"))
    assert rate == 24 and len(film) == len(frames)
    assert max(apart(a, b) for a, b in zip(film, frames, strict=True)) < 6


def test_a_gif_plays_for_ever(finished: Project, facegan: Command) -> None:
    walk = ("generate", "--film", "walk", "--count", 1, "--steps", 3, "--fps", 10)
    assert facegan(*walk, "--out", "w.gif").code == 0
    with Image.open("w.gif") as film:
        assert (film.n_frames, film.info["duration"], film.info["loop"]) == (12, 100, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "x.png"), "a film should end in .mp4 or .gif"),
        (("--out", "x%.png"), "numbered pictures are named like"),
        (("--out", "x-%s-%s.png"), "numbered pictures are named like"),
        (("--out", "x-%04d.jpg"), "numbered pictures are named like"),
        (("--out", "x.mp4", "--fps", 0), "--fps 0: should be 1 to 60"),
    ],
)
def test_what_cannot_be_a_film_is_one_line(
    finished: Project, facegan: Command, arguments: tuple[str, ...], said: str
) -> None:
    before = set(Path.cwd().iterdir())
    assert said in facegan("generate", "--film", "training", *arguments).error
    assert set(Path.cwd().iterdir()) == before


def test_some_grids_stand_side_by_side(finished: Project, facegan: Command) -> None:
    for number, path in enumerate(sorted((finished.root / SAMPLES).glob("*.png"))):
        Image.new("RGB", (35, 71), (10 * number,) * 3).save(path)
    assert facegan("generate", "--film", "training", "--at", "0,2", "--out", "side.png").code == 0
    found = pixels(Path("side.png"))
    assert found.shape == (71, 35 + 8 + 35, 3)
    assert (found[:, :35] == 0).all() and (found[:, 35:43] == 255).all() and (found[:, 43:] == 20).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("training", "--at", "0,99", "--out", "x.png"), "--at 99: the training left 4 grids, 0 to 3"),
        (("training", "--at", "first", "--out", "x.png"), "--at first: should be numbers of grids such as 1,10,25"),
        (("training", "--at", "1", "--out", "x.mp4"), "--at goes with --film training and an --out that ends in .png"),
        (("walk", "--at", "1", "--out", "x.png"), "--at goes with --film training"),
    ],
)
def test_grids_that_cannot_stand_side_by_side_are_one_line(
    finished: Project, facegan: Command, arguments: tuple[str, ...], said: str
) -> None:
    assert said in facegan("generate", "--film", *arguments).error and not Path(arguments[-1]).exists()


def test_without_a_name_a_film_is_called_after_itself(finished: Project, facegan: Command) -> None:
    assert facegan("generate", "--film", "training").out == "training.mp4\n"
    assert facegan("generate", "--film", "walk", "--count", 1, "--steps", 2).out == "walk.mp4\n"


def test_a_training_is_this_projects(finished: Project, facegan: Command) -> None:
    assert "--model goes with --film walk" in facegan("generate", "--film", "training", "--model", "runs:/x/y").error


def test_without_a_training_there_is_none(project: Project, facegan: Command) -> None:
    assert "holds no grids" in facegan("generate", "--film", "training", "--out", "t.mp4").error


def test_options_of_a_walk_are_checked(finished: Project, facegan: Command) -> None:
    ended = facegan("generate", "--film", "walk", "--count", 0, "--out", "w.mp4")
    assert ended.code == 1 and "--count should be at least 1" in ended.err and not Path("w.mp4").exists()
