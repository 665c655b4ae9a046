"""Sizes of pictures: those that can be halved down to a few pixels, and one line for all others."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facegan.data.batches import to_uint8
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.generation import generate
from facegan.networks import build_generator, initialise
from facegan.params import ModelParams, Params
from facegan.sizes import at_once, height_and_width, in_words, size_of, stages

SIDES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024)


def test_squares_are_those_that_people_have() -> None:
    def possible(side: int) -> bool:
        try:
            return bool(stages(side))
        except ValueError:
            return False

    assert tuple(side for side in range(1, 1300) if possible(side)) == SIDES


@given(st.sampled_from(SIDES), st.integers(1, 4), st.booleans())
def test_every_stage_is_half_of_the_next(shorter: int, longer: int, tall: bool) -> None:
    first, *_ = stages(shorter)
    other = shorter + longer * shorter // first[0]
    if other > 1024:
        return
    size = (other, shorter) if tall else (shorter, other)
    found = stages(size)
    assert found[-1] == size
    assert 4 <= min(found[0]) <= 7
    for (height, width), (higher, wider) in pairwise(found):
        assert (2 * height, 2 * width) == (higher, wider)


@pytest.mark.parametrize(
    ("size", "line"),
    [
        (100, "a side of 100 pixels; next to it there is 96 and 112"),
        (31, "31 pixels; a side should have 32 to 1024"),
        (0, "0 pixels; a side should have 32 to 1024"),
        (-64, "-64 pixels; a side should have 32 to 1024"),
        (2048, "2048 pixels; a side should have 32 to 1024"),
        ((64, 70), "the longer side of 70 pixels; next to it there is 64 and 80"),
        ((128, 100), "a side of 100 pixels; next to it there is 96 and 112"),
        ((64, 2048), "2048 pixels; a side should have 32 to 1024"),
    ],
)
def test_what_cannot_be_halved_is_one_line_that_says_what_can(size: int | tuple[int, int], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        stages(size)


def test_a_size_is_height_first() -> None:
    assert height_and_width((128, 96)) == (128, 96) and height_and_width(64) == (64, 64)
    assert in_words((128, 96)) == "128x96" and in_words(64) == "64x64"
    assert size_of({"size": [128, 96]}) == (128, 96) and size_of({"size": 64}) == 64


def test_fewer_large_pictures_are_taken_at_once() -> None:
    assert [at_once(size) for size in (32, 128, (128, 160), 256, 512, 1024)] == [64, 64, 51, 16, 4, 1]
    assert at_once(1024, 1000) == 15


def test_passes_outside_the_step_take_few_large_pictures(params: Params) -> None:
    """64 pictures of 512x512 with the 64 channels of a first layer are 4 GB."""
    seen: list[int] = []

    def extract(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return images.float().mean((1, 2))

    images = torch.randint(0, 256, (10, 512, 512, 3), dtype=torch.uint8)
    extractor = Extractor("mean", "_mean", "0" * 64, 3, {}, extract)
    (features,) = extractor.batches(images)
    assert torch.equal(features, images.float().mean((1, 2))) and seen == [4, 4, 2]
    changed = {"channels": 1, "max_channels": 4}
    tiny = {"latent": 4, "generator": {**params.model.generator.model_dump(), **changed}}
    model = ModelParams.model_validate({**params.model.model_dump(), **tiny})
    network = build_generator(model, 512)
    initialise(network, model, 1, "generator")
    latents = torch.randn(10, 4)
    hook = network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    seen.clear()
    (drawn,) = generate(network, (latents,), torch.device("cpu"))
    hook.remove()
    assert seen == [4, 4, 2]
    with torch.no_grad():
        assert torch.equal(drawn, to_uint8(network(latents)))
