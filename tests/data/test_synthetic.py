"""The embedded data set: the same pictures everywhere, all of them different, and labels that can be seen."""

import hashlib
import io
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facegan.data.synthetic import FACTORS, Face, draw, png, sample_factors
from facegan.data.synthetic.factors import HAIR

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def pixels(picture: Image.Image) -> Pixels:
    return np.asarray(picture, dtype=np.float64)


@pytest.fixture
def face() -> Face:
    """A face whose every part is in full view."""
    return replace(
        sample_factors(0, 0), hair_style="bob", accessory="none", forehead=0.5, part=0.0, angle=0.0, turn=0.0
    )


def test_the_same_seed_and_index_give_the_same_bytes() -> None:
    assert png(7, 3, 64) == png(7, 3, 64)


def test_the_random_stream_is_the_promised_one() -> None:
    # Known values: a change here changes every picture of every data set that exists.
    face = sample_factors(0, 0)
    known = "ponytail purple purple almond neutral tan right glasses plain"
    assert " ".join(face.labels().values()) == known
    assert (face.angle, face.zoom, face.quirks[-1]) == (
        13.94504601360123,
        1.0961325947785205,
        0.06019259131606647,
    )


def test_the_pixels_are_the_promised_ones() -> None:
    # Known value, of ten faces that show every value of every factor: pixels, as packing into PNG files may differ.
    digest = hashlib.sha256()
    for index in range(10):
        change: dict[str, Any] = {factor: values[index % len(values)] for factor, values in FACTORS.items()}
        digest.update(draw(replace(sample_factors(1, index), **change), 64).tobytes())
    assert digest.hexdigest() == "6dd3b6ab84d7f646a6f0586e68427ca83012856bdfe0eef137ac8a7b6607ebe1"


def test_png_is_the_drawn_picture_with_its_labels() -> None:
    data, labels = png(1, 2, 96)
    face = sample_factors(1, 2)
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (96, 96))
    assert picture.tobytes() == draw(face, 96).tobytes()
    assert labels == face.labels()


def test_five_hundred_pictures_are_all_different() -> None:
    assert len({draw(sample_factors(0, index), 64).tobytes() for index in range(500)}) == 500


def test_seeds_are_different_data_sets() -> None:
    assert all(png(0, index, 64)[0] != png(1, index, 64)[0] for index in range(20))


def test_labels_are_the_factors_and_every_value_occurs() -> None:
    seen = {factor: Counter[str]() for factor in FACTORS}
    for index in range(2000):
        labels = sample_factors(0, index).labels()
        assert list(labels) == list(FACTORS)
        for factor, value in labels.items():
            seen[factor][value] += 1
    for factor, values in FACTORS.items():
        assert set(seen[factor]) == set(values)
        assert min(seen[factor].values()) > 2000 / 40


@pytest.mark.parametrize("factor", [factor for factor in FACTORS if factor != "tilt"])
def test_every_value_of_a_factor_can_be_seen(face: Face, factor: str) -> None:
    changes: list[dict[str, Any]] = [{factor: value} for value in FACTORS[factor]]
    pictures = [pixels(draw(replace(face, **change), 64)) for change in changes]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            changed = np.abs(one - other).max(axis=2) > 16
            assert changed.sum() >= 6


def test_tilt_says_to_which_side_the_head_leans() -> None:
    for index in range(300):
        face = sample_factors(0, index)
        assert {"left": -16, "none": -2.5, "right": 7}[face.tilt] <= face.angle
        assert face.angle <= {"left": -7, "none": 2.5, "right": 16}[face.tilt]


def test_a_head_that_leans_to_the_left_has_its_top_on_the_left(face: Face) -> None:
    # Black hair on white: the middle of the dark pixels in the upper quarter is where the top of the head is.
    dark = replace(face, hair_colour="black", background="plain", offset=0j)
    middles = []
    for angle in (-12.0, 0.0, 12.0):
        top = pixels(draw(replace(dark, angle=angle), 64))[:16].mean(axis=2) < 110
        middles.append(float(np.nonzero(top)[1].mean()))
    assert middles[0] < middles[1] - 2 < middles[2] - 4


def test_hair_has_the_colour_of_its_label(face: Face) -> None:
    bare = replace(face, forehead=0.0, warmth=0.0)
    names = list(HAIR)
    means = {n: pixels(draw(replace(bare, hair_colour=n), 64))[8:16, 24:40].mean(axis=(0, 1)) for n in names}
    for i, name in enumerate(names):
        for other in names[:i]:
            moved = means[name] - means[other]
            wanted = np.subtract(HAIR[name].base, HAIR[other].base)
            assert moved @ wanted > 0.8 * np.linalg.norm(moved) * np.linalg.norm(wanted), (name, other)


@pytest.mark.parametrize("size", [128, 200, 256])
def test_every_size_shows_the_same_picture(size: int) -> None:
    for index in range(12):
        face = sample_factors(3, index)
        large = draw(face, size)
        assert large.size == (size, size)
        small = pixels(large.resize((64, 64), Image.Resampling.BOX))
        expected = pixels(draw(face, 64))
        other = pixels(draw(sample_factors(3, index + 1), 64))
        assert np.abs(small - expected).mean() < 4
        assert np.abs(small - expected).mean() < np.abs(small - other).mean() / 5


@pytest.mark.parametrize("size", [0, 32, 63, 257, 1024])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size: {size}; .* 64 to 256"):
        png(0, 0, size)
