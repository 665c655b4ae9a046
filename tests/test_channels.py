"""Gray and transparent pictures as such: decoded, trained, drawn in their channels, and scored as they are seen."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegan.data.decode import Decoded, decode
from facegan.data.rgb import in_rgb, to_rgb
from facegan.evaluation.generation import generate
from facegan.exporting.onnx import export_onnx
from facegan.exporting.shipped.generate import Generator, grid, image, rgb
from facegan.networks import ARCHITECTURES, build_discriminator, build_generator, initialise
from facegan.params import ModelParams, Params
from facegan.params_data import PreprocessParams
from facegan.training.augment import NUMBERS, augment

CHANNELS = (1, 3, 4)


def decoded(picture: Image.Image, params: Params, channels: int, size: int = 32, format: str = "PNG") -> Decoded:
    content = io.BytesIO()
    picture.save(content, format)
    values = {**params.preprocess.model_dump(), "size": size, "channels": channels}
    return decode(content.getvalue(), PreprocessParams.model_validate(values))


def half_transparent(side: int = 64) -> Image.Image:
    """Red on the left, fading to nothing on the right, where an invisible green lies."""
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[:, : side // 2] = (200, 10, 30, 255)
    pixels[:, side // 2 :] = (0, 255, 0, 0)
    return Image.fromarray(pixels)


def test_transparency_is_kept_and_what_is_invisible_is_white(params: Params) -> None:
    found = decoded(half_transparent(), params, 4).image
    assert found.shape == (32, 32, 4)
    assert (found[:, :13] == (200, 10, 30, 255)).all() and (found[:, 20:] == (255, 255, 255, 0)).all()
    edge = found[:, 13:20].reshape(-1, 4)
    seen = edge[edge[:, 3] > 32]
    assert len(seen) and (seen[:, 1] < 30).all()  # no green comes through where they meet


def test_opaque_pictures_of_any_mode_get_the_channels_that_are_asked_for(params: Params) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    colour = Image.fromarray(noise)
    assert np.array_equal(decoded(colour, params, 4).image, np.dstack([noise, np.full((32, 32), 255, np.uint8)]))
    assert np.array_equal(decoded(colour, params, 1).image[..., 0], np.asarray(colour.convert("L")))
    for mode in ("1", "L", "P", "LA", "I;16"):
        picture = colour.convert("L").convert("I").convert("I;16") if mode == "I;16" else colour.convert(mode)
        for channels in CHANNELS:
            assert decoded(picture, params, channels).image.shape == (32, 32, channels)
    assert decoded(colour, params, 1, format="JPEG").image.shape == (32, 32, 1)


def test_gray_pictures_are_over_white(params: Params) -> None:
    assert (decoded(half_transparent(), params, 1).image[:, 20:] == 255).all()


def test_a_picture_is_on_the_same_side_whatever_its_channels(params: Params) -> None:
    """The held-out ones are chosen by what is seen."""
    assert len({decoded(half_transparent(), params, channels).source for channels in CHANNELS}) == 1


def test_gray_and_transparent_pictures_are_seen_as_people_see_them() -> None:
    pictures = torch.randint(0, 256, (5, 8, 9, 4), dtype=torch.uint8)
    for seen, own in zip(to_rgb(pictures), pictures, strict=True):
        white = Image.new("RGBA", (9, 8), (255, 255, 255, 255))
        expected = np.asarray(Image.alpha_composite(white, Image.fromarray(own.numpy())).convert("RGB"))
        assert np.abs(seen.numpy().astype(int) - expected).max() <= 1
    assert np.array_equal(rgb(pictures.numpy()), to_rgb(pictures).numpy())
    gray = pictures[..., :1]
    assert torch.equal(to_rgb(gray), gray.repeat(1, 1, 1, 3)) and np.array_equal(rgb(gray.numpy()), to_rgb(gray))
    assert to_rgb(pictures[..., :3]) is not None and in_rgb(pictures[..., :3]).shape[-1] == 3
    lazily = in_rgb(pictures)
    assert len(lazily) == 5 and torch.equal(lazily[torch.tensor([3, 1])], to_rgb(pictures[[3, 1]]))


def test_colour_is_augmented_and_transparency_is_not() -> None:
    pictures, uniform = torch.rand(4, 4, 16, 16) * 2 - 1, torch.rand(4, 3 * NUMBERS)
    found = augment(pictures, ["color"], uniform)
    assert torch.equal(found[:, 3:], pictures[:, 3:])
    assert torch.equal(found[:, :3], augment(pictures[:, :3], ["color"], uniform))
    assert augment(pictures[:, :1], ["color", "translation", "cutout"], uniform).shape == (4, 1, 16, 16)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("network", ARCHITECTURES)
def test_every_network_draws_and_judges_them(params: Params, network: str, channels: int, tmp_path: Path) -> None:
    values = params.model.model_dump()
    values |= {"network": network, "latent": 8}
    for player in ("generator", "discriminator"):
        values[player] |= {"channels": 4, "max_channels": 16, "norm": "none"}
    values["generator"]["upsample"] = {"conv": "transposed", "dense": "resize", "resnet": "resize"}.get(network, "blur")
    model = ModelParams.model_validate(values)
    generator, discriminator = build_generator(model, 32, (), channels), build_discriminator(model, 32, (), channels)
    initialise(generator, model, 1, "generator")
    initialise(discriminator, model, 1, "discriminator")
    latents = torch.randn(4, 8)
    drawn = generator(latents)
    assert drawn.shape == (4, channels, 32, 32) and discriminator(drawn).shape == (4,)
    (seen,) = generate(generator, (latents,), torch.device("cpu"))
    assert seen.shape == (4, 32, 32, 3)
    path = tmp_path / "generator.onnx"
    path.write_bytes(export_onnx(generator, 8, {}, 18))
    pictures = Generator(path).pictures(latents.numpy())
    assert pictures.shape == (4, 32, 32, channels)
    assert np.abs(rgb(pictures).astype(int) - seen.numpy()).max() <= 1
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    assert image(pictures[0]).mode == mode and grid(pictures, 2).mode == mode
