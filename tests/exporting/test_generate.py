"""The shipped script draws anywhere that has onnxruntime, numpy and Pillow, and the same seed the same bytes."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from exporting.conftest import Elsewhere
from facegan.data.batches import to_uint8
from facegan.exporting.shipped.generate import Generator, arguments, draw, grid, interpolate


@pytest.fixture(scope="module")
def generator(exported: Path) -> Generator:
    return Generator(exported / "generator.onnx")


def run(elsewhere: Elsewhere, script: Path, *options: str, code: int = 0) -> str:
    """Run the script in ``elsewhere``, in a folder of its own; gives what it says."""
    work = elsewhere.home.parent / "work"
    work.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-S", "-s", "-W", "error", str(script), *options],
        cwd=work,
        env=elsewhere.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def options(*given: str) -> argparse.Namespace:
    return argparse.ArgumentParser(parents=[arguments()]).parse_args(given)


def test_elsewhere_has_nothing_else(elsewhere: Elsewhere, tmp_path: Path) -> None:
    script = tmp_path / "look.py"
    script.write_text(
        "import importlib.util as u\n"
        "print([n for n in ('torch', 'facegan', 'mlflow', 'pandas', 'scipy', 'onnx', 'numpy') if u.find_spec(n)])\n"
    )
    assert run(elsewhere, script) == "['numpy']\n"


def test_it_draws_where_nothing_else_is_installed(elsewhere: Elsewhere, exported: Path) -> None:
    work = elsewhere.home.parent / "work"
    script = exported / "generate.py"
    assert run(elsewhere, script, "--count", "5", "--seed", "3", "--out", "a.png") == "a.png\n"
    run(elsewhere, script, "--count", "5", "--seed", "3", "--out", "b.png")
    run(elsewhere, script, "--count", "5", "--seed", "4", "--out", "c.png")
    run(elsewhere, script, "--count", "2", "--seed", "3", "--interpolate", "--steps", "4", "--out", "walk.png")
    assert (work / "a.png").read_bytes() == (work / "b.png").read_bytes()
    assert (work / "a.png").read_bytes() != (work / "c.png").read_bytes()
    assert Image.open(work / "a.png").size == (3 * 34 + 2, 2 * 34 + 2)
    assert Image.open(work / "walk.png").size == (4 * 34 + 2, 2 * 34 + 2)
    assert Image.open(work / "a.png").mode == "RGB"
    assert np.asarray(Image.open(work / "a.png"))[2:34, 2:34].std() > 5
    assert list(elsewhere.home.iterdir()) == []  # ONNX Runtime leaves no device id
    assert {path.name for path in work.iterdir()} == {"a.png", "b.png", "c.png", "walk.png"}


def test_help_and_mistakes_need_no_model(elsewhere: Elsewhere, exported: Path) -> None:
    said = run(elsewhere, exported / "generate.py", "--help")
    for option in ("--count", "--seed", "--truncation", "--interpolate", "--steps", "--out"):
        assert option in said
    said = run(elsewhere, exported / "generate.py", "--count", "0", code=1)
    assert said == "error: --count should be at least 1, --steps 2, and --seed and --truncation not negative\n"


def test_the_pictures_are_those_of_pytorch(generator: Generator, network: nn.Module) -> None:
    latents = generator.latents(5, 1)
    with torch.no_grad():
        expected = to_uint8(network(torch.from_numpy(latents))).numpy()
    found = generator.pictures(latents)
    assert found.dtype == np.uint8
    assert found.shape == (5, 32, 32, 3)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 0.001


def test_pictures_do_not_depend_on_the_batch(generator: Generator) -> None:
    latents = generator.latents(7, 1)
    assert np.abs(generator.pictures(latents, 3).astype(int) - generator.pictures(latents)).max() <= 1


def test_latents_are_standard_normal_and_seeded(generator: Generator) -> None:
    latents = generator.latents(4000, 5)
    assert latents.shape == (4000, 8)
    assert latents.dtype == np.float32
    assert abs(latents.mean()) < 0.03
    assert abs(latents.std() - 1) < 0.02
    assert np.array_equal(latents, generator.latents(4000, 5))
    assert np.array_equal(latents[:3], generator.latents(3, 5))  # more pictures, the same first ones
    assert not np.array_equal(latents, generator.latents(4000, 6))


def test_truncation_scales_the_latents(generator: Generator) -> None:
    np.testing.assert_allclose(generator.latents(9, 1, 0.5), generator.latents(9, 1) / 2, rtol=1e-6)
    assert not generator.latents(9, 1, 0.0).any()
    drawn = draw(generator, options("--count", "4", "--truncation", "0"))
    pictures = np.asarray(drawn)
    assert np.array_equal(pictures[2:34, 2:34], pictures[36:68, 36:68])


@settings(max_examples=40)
@given(st.integers(2, 5), st.integers(2, 64), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_a_walk_goes_through_its_ends_at_an_even_pace(count: int, dimensions: int, steps: int, seed: int) -> None:
    ends = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    walk = interpolate(ends, steps)
    assert walk.shape == ((count - 1) * steps, dimensions)
    assert walk.dtype == np.float32
    rows = walk.reshape(count - 1, steps, dimensions)
    np.testing.assert_allclose(rows[:, 0], ends[:-1], atol=1e-3)
    np.testing.assert_allclose(rows[:, -1], ends[1:], atol=1e-3)


def test_a_walk_stays_among_likely_latents() -> None:
    """Half-way on a straight line a latent would be shorter by the square root of two."""
    ends = np.random.default_rng(0).standard_normal((2, 512)).astype(np.float32)
    lengths = np.linalg.norm(interpolate(ends, 9), axis=1)
    assert lengths.min() > 0.95 * np.linalg.norm(ends, axis=1).min()
    angles = interpolate(ends / np.linalg.norm(ends, axis=1, keepdims=True), 9)
    turns = np.arccos(np.clip((angles[:-1] * angles[1:]).sum(1), -1, 1))
    np.testing.assert_allclose(turns, turns.mean(), rtol=1e-3)


def test_a_walk_between_equal_latents_stands_still() -> None:
    ends = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(interpolate(ends, 5), np.ones((5, 4)), rtol=1e-6)


def test_each_row_of_a_walk_starts_where_the_last_one_ended(generator: Generator) -> None:
    drawn = np.asarray(draw(generator, options("--count", "3", "--interpolate", "--steps", "4")))
    cells = [
        [drawn[2 + r * 34 : 34 + r * 34, 2 + c * 34 : 34 + c * 34].astype(int) for c in range(4)] for r in range(3)
    ]
    for above, below in ((0, 1), (1, 2)):
        assert np.abs(cells[above][-1] - cells[below][0]).max() <= 1
    assert np.abs(cells[0][0] - cells[0][-1]).max() > 10


def test_a_grid_places_pictures_row_by_row_on_white() -> None:
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 4, 6, 3), np.uint8)
    drawn = np.asarray(grid(pictures, 3))
    assert drawn.shape == (2 * 6 + 2, 3 * 8 + 2, 3)
    for place in range(5):
        top, left = 2 + place // 3 * 6, 2 + place % 3 * 8
        assert (drawn[top : top + 4, left : left + 6] == place).all()
    assert (drawn[:2] == 255).all()
    assert (drawn[8:12, 18:24] == 255).all()  # the empty place


@pytest.mark.parametrize(
    "given", [("--count", "0"), ("--count", "-3"), ("--steps", "1", "--interpolate"), ("--seed", "-1")], ids=str
)
def test_options_that_make_no_sense_are_one_line(generator: Generator, given: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="should be at least 1"):
        draw(generator, options(*given))


@pytest.mark.parametrize(("count", "size"), [(1, (36, 36)), (2, (70, 36)), (25, (172, 172))])
def test_a_grid_is_about_as_wide_as_high(generator: Generator, count: int, size: tuple[int, int]) -> None:
    assert draw(generator, options("--count", str(count))).size == size
