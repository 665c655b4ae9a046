"""Grids: every picture in its place, its pixels as they were."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facegan.pictures import grid, png, write_grid


def colours(count: int, height: int = 3, width: int = 4) -> torch.Tensor:
    """uint8 [count, height, width, 3], no two alike and none of them white."""
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 250, (count, height, width, 3), generator=generator, dtype=torch.uint8)


@given(st.integers(1, 30), st.none() | st.integers(1, 9), st.integers(0, 3))
def test_every_picture_is_in_its_place_with_its_own_pixels(count: int, columns: int | None, gap: int) -> None:
    images = colours(count)
    pixels = np.array(grid(images, columns, gap))
    across = columns or math.isqrt(count - 1) + 1
    for place in range(count):
        top, left = gap + place // across * (3 + gap), gap + place % across * (4 + gap)
        cell = pixels[top : top + 3, left : left + 4]
        np.testing.assert_array_equal(cell, images[place].numpy())
        cell[:] = 255
    assert (pixels == 255).all()  # the rest is white


@pytest.mark.parametrize(
    ("count", "columns", "size"),
    [(1, None, (8, 7)), (4, None, (14, 12)), (5, None, (20, 12)), (5, 5, (32, 7)), (3, 1, (8, 17)), (2, 4, (26, 7))],
)
def test_a_grid_is_about_as_wide_as_high_unless_told(count: int, columns: int | None, size: tuple[int, int]) -> None:
    assert grid(colours(count), columns).size == size


def test_contrast_is_not_stretched() -> None:
    flat = torch.full((2, 3, 4, 3), 128, dtype=torch.uint8)
    flat[1] += 1
    assert sorted(set(np.asarray(grid(flat)).ravel())) == [128, 129, 255]


def test_a_grid_is_read_back_from_its_png_and_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    images = colours(6)
    write_grid(tmp_path / "new" / "grid.png", images, columns=3)
    content = (tmp_path / "new" / "grid.png").read_bytes()
    assert content == png(grid(images, 3))
    picture = Image.open(io.BytesIO(content))
    assert (picture.format, picture.mode) == ("PNG", "RGB")
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(grid(images, 3)))
