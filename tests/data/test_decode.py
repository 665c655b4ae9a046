"""One picture file to one square: every kind of file on purpose, the pixels as a plain Pillow call gives them."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from facegan.data.decode import FILTERS, MAX_PIXELS, Rejected, decode, fit
from facegan.params import Params
from facegan.params_data import PreprocessParams

Encode = Callable[..., bytes]
Noise = Callable[..., Image.Image]
Pixels = np.ndarray[Any, np.dtype[Any]]

WHITE = (255, 255, 255)


@pytest.fixture(scope="session")
def square(params: Params) -> PreprocessParams:
    """To 32 pixels, from at least 8."""
    return PreprocessParams.model_validate({**params.preprocess.model_dump(), "size": 32, "min_side": 8})


def changed(params: PreprocessParams, **values: Any) -> PreprocessParams:
    return PreprocessParams.model_validate({**params.model_dump(), **values})


def pixels(content: bytes, params: PreprocessParams) -> Pixels:
    image, _, _ = decode(content, params)
    assert (image.shape, image.dtype) == ((params.size, params.size, 3), np.uint8)
    return image.astype(np.int64)


def reason(content: bytes, params: PreprocessParams) -> str:
    with pytest.raises(Rejected) as caught:
        decode(content, params)
    return str(caught.value)


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file by hand, for what Pillow does not write."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        *chunks,
        (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


# Size


@pytest.mark.parametrize("filter", ["lanczos", "bicubic"])
@pytest.mark.parametrize("size", [(32, 32), (40, 40), (90, 61), (61, 90), (20, 31), (33, 32), (200, 33), (8, 9)])
def test_pixels_are_those_of_a_plain_pillow_resize_and_crop(
    size: tuple[int, int], filter: str, square: PreprocessParams, noise: Noise, encode: Encode
) -> None:
    image = noise(1, size)
    width, height = size
    scale = 32 / min(size)
    plain = image.resize(
        (max(32, round(width * scale)), max(32, round(height * scale))),
        {"lanczos": Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}[filter],
    )
    left, top = (plain.width - 32) // 2, (plain.height - 32) // 2
    plain = plain.crop((left, top, left + 32, top + 32))
    np.testing.assert_array_equal(pixels(encode(image), changed(square, filter=filter)), np.asarray(plain))


def test_the_two_filters_differ(square: PreprocessParams, noise: Noise, encode: Encode) -> None:
    content = encode(noise(1, (90, 90)))
    assert (pixels(content, square) != pixels(content, changed(square, filter="bicubic"))).any()


def test_making_smaller_is_antialiased(square: PreprocessParams, encode: Encode) -> None:
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    image = pixels(encode(Image.fromarray(stripes)), square)
    assert abs(image[4:-4, 4:-4] - 127.5).max() < 3


@pytest.mark.parametrize(("side", "enlarged"), [(31, True), (32, False), (33, False)])
def test_an_enlarged_picture_is_reported(side: int, enlarged: bool, square: PreprocessParams, encode: Encode) -> None:
    assert decode(encode(Image.new("RGB", (side, 100))), square)[1] is enlarged


def test_the_centre_is_kept(square: PreprocessParams, encode: Encode) -> None:
    wide = Image.new("RGB", (96, 32), "red")
    wide.paste("blue", (32, 0, 64, 32))
    assert (pixels(encode(wide), square) == (0, 0, 255)).all()
    assert (pixels(encode(wide.transpose(Image.Transpose.ROTATE_90)), square) == (0, 0, 255)).all()


@pytest.mark.parametrize("size", [(9, 4000), (4000, 9), (12_000, 64), (64, 12_000)])
def test_a_strip_is_cut_to_its_middle(size: tuple[int, int], square: PreprocessParams, encode: Encode) -> None:
    assert (pixels(encode(Image.new("RGB", size, "red")), square) == (255, 0, 0)).all()


def test_a_strip_that_would_grow_too_large_is_rejected(
    square: PreprocessParams, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegan.data.decode.MAX_PIXELS", 40_000)
    assert reason(encode(Image.new("RGB", (8, 400))), square) == "too many pixels"  # 32 x 1600 when enlarged
    assert pixels(encode(Image.new("RGB", (8, 300))), square).max() == 0


@pytest.mark.parametrize("size", [(8, 8), (8, 100), (100, 8)])
def test_min_side_is_the_smallest_side_that_is_taken(
    size: tuple[int, int], square: PreprocessParams, encode: Encode
) -> None:
    content = encode(Image.new("RGB", size))
    assert pixels(content, square).shape == (32, 32, 3)
    assert reason(content, changed(square, min_side=9)) == "smaller than min_side"


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_a_single_pixel_is_tiny(size: tuple[int, int], square: PreprocessParams, encode: Encode) -> None:
    content = encode(Image.new("RGB", size, "red"))
    assert reason(content, square) == "smaller than min_side"
    assert (pixels(content, changed(square, min_side=1)) == (255, 0, 0)).all()


# Orientation


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(9))
def test_a_picture_stands_as_exif_says(orientation: int, format: str, square: PreprocessParams, encode: Encode) -> None:
    """Four colours in the corners tell the eight positions apart (Exif 2.32, tag 0x0112)."""
    upright = Image.new("RGB", (64, 64))
    for box, colour in {(0, 0): "red", (32, 0): "lime", (0, 32): "blue", (32, 32): "white"}.items():
        upright.paste(colour, (*box, box[0] + 32, box[1] + 32))
    stored_from_upright = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # shown turned clockwise, so stored turned the other way
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    image = upright.transpose(stored_from_upright) if stored_from_upright is not None else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = pixels(encode(image, format, exif=exif.tobytes() if format != "TIFF" else exif), square)
    corners = {(4, 4): (255, 0, 0), (4, 28): (0, 255, 0), (28, 4): (0, 0, 255), (28, 28): WHITE}
    for place, colour in corners.items():
        assert abs(seen[place] - colour).max() < 12, (place, seen[place])


def test_a_lying_strip_that_stands_by_exif_is_cut_to_its_middle(square: PreprocessParams, encode: Encode) -> None:
    wide = Image.new("RGB", (96, 32), "red")
    wide.paste("blue", (32, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert (pixels(encode(wide, "PNG", exif=exif), square) == (0, 0, 255)).all()


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"garbage",
        b"Exif\0\0",
        b"Exif\0\0garbage garbage",
        b"Exif\0\0II*\0\xff\xff\xff\0",
        b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",
    ],
)
def test_broken_metadata_costs_no_picture(exif: bytes, square: PreprocessParams, encode: Encode) -> None:
    plain = encode(Image.new("RGB", (40, 40), "red"), "JPEG")
    content = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # and none of it is printed a hundred thousand times
        np.testing.assert_array_equal(pixels(content, square), pixels(plain, square))


# Colour


def half(mode: str, left: Any, right: Any) -> Image.Image:
    image = Image.new(mode, (32, 32), left)
    image.paste(right, (16, 0, 32, 32))
    return image


def halves(content: bytes, params: PreprocessParams) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colours of the left and the right half."""
    seen = pixels(content, params)
    assert (seen[:, :16] == seen[0, 0]).all()
    assert (seen[:, 16:] == seen[0, 31]).all()
    return tuple(seen[0, 0].tolist()), tuple(seen[0, 31].tolist())


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "ICO", "TGA"])
def test_transparency_is_over_white(format: str, square: PreprocessParams, encode: Encode) -> None:
    image = half("RGBA", (10, 20, 30, 0), (200, 0, 0, 128))
    options = {"lossless": True} if format == "WEBP" else {"sizes": [(32, 32)]} if format == "ICO" else {}
    left, right = halves(encode(image, format, **options), square)
    assert left == WHITE
    assert np.allclose(right, (227, 127, 127), atol=1)


def test_grey_transparency_is_over_white(square: PreprocessParams, encode: Encode) -> None:
    left, right = halves(encode(half("LA", (0, 0), (100, 128))), square)
    assert left == WHITE
    assert np.allclose(right, (177, 177, 177), atol=1)


def palette(*colours: int) -> Image.Image:
    image = half("P", 0, 1)
    image.putpalette(list(colours))
    return image


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "TIFF"])
def test_a_palette_becomes_its_colours(format: str, square: PreprocessParams, encode: Encode) -> None:
    assert halves(encode(palette(10, 20, 30, 200, 100, 0), format), square) == ((10, 20, 30), (200, 100, 0))


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_transparent_palette_colour_is_white(format: str, square: PreprocessParams, encode: Encode) -> None:
    content = encode(palette(10, 20, 30, 200, 100, 0), format, transparency=0)
    assert halves(content, square) == (WHITE, (200, 100, 0))


def test_a_half_transparent_palette_colour_is_mixed_with_white(square: PreprocessParams, encode: Encode) -> None:
    content = encode(palette(10, 20, 30, 200, 100, 0), transparency=bytes([0, 128]))
    left, right = halves(content, square)
    assert left == WHITE
    assert np.allclose(right, (227, 177, 127), atol=1)


def test_a_transparent_colour_without_an_alpha_channel_is_white(square: PreprocessParams, encode: Encode) -> None:
    assert halves(encode(half("RGB", (1, 2, 3), (4, 5, 6)), transparency=(1, 2, 3)), square) == (WHITE, (4, 5, 6))
    assert halves(encode(half("L", 7, 9), transparency=7), square) == (WHITE, (9, 9, 9))


def test_a_transparent_grey_of_16_bits_is_white(square: PreprocessParams) -> None:
    row = struct.pack(">32H", *[1000] * 16, *[51_400] * 16)
    content = png(32, 32, 16, 0, [row] * 32, (b"tRNS", struct.pack(">H", 1000)))
    assert halves(content, square) == (WHITE, (200, 200, 200))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_to_8(format: str, square: PreprocessParams, encode: Encode) -> None:
    values = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    content = encode(Image.fromarray(values), format)
    assert Image.open(io.BytesIO(content)).mode == "I;16"
    expected = np.round(values / 257).astype(np.int64)
    np.testing.assert_array_equal(pixels(content, square), np.stack([expected] * 3, axis=-1))


def test_16_bit_grey_of_the_other_byte_order_is_scaled_too(square: PreprocessParams, encode: Encode) -> None:
    content = encode(Image.new("I;16B", (32, 32), 51_400), "TIFF")
    assert (pixels(content, square) == 200).all()


def test_16_bit_grey_stands_as_exif_says(square: PreprocessParams, encode: Encode) -> None:
    values = np.zeros((40, 60), np.uint16)
    values[:20] = 65535
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = pixels(encode(Image.fromarray(values), "PNG", exif=exif), square)
    assert (seen[:, 20:] == 255).all()
    assert (seen[:, :12] == 0).all()


def test_16_bit_colour_keeps_its_upper_bits(square: PreprocessParams) -> None:
    row = struct.pack(">96H", *[0, 0x8000, 0xFFFF] * 32)
    assert np.allclose(pixels(png(32, 32, 16, 2, [row] * 32), square), (0, 128, 255), atol=1)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_black_and_white(format: str, square: PreprocessParams, encode: Encode) -> None:
    assert halves(encode(half("1", 0, 1), format), square) == ((0, 0, 0), WHITE)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(format: str, square: PreprocessParams, encode: Encode) -> None:
    image = Image.new("RGB", (32, 32), (250, 120, 30))
    content = encode(image.convert("CMYK"), format)
    assert Image.open(io.BytesIO(content)).mode == "CMYK"
    assert np.allclose(pixels(content, square), (250, 120, 30), atol=3)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "PPM"])
def test_grey_becomes_three_equal_channels(format: str, square: PreprocessParams, encode: Encode) -> None:
    assert abs(pixels(encode(Image.new("L", (32, 32), 77), format), square) - 77).max() <= 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "MPO", "TGA", "ICO"])
def test_every_format_on_the_list_is_decoded(format: str, square: PreprocessParams, encode: Encode) -> None:
    options = {"sizes": [(40, 40)]} if format == "ICO" else {}
    content = encode(Image.new("RGB", (40, 40), (200, 100, 50)), format, **options)
    assert np.allclose(pixels(content, square), (200, 100, 50), atol=8)


def test_floating_point_pixels_are_rejected(square: PreprocessParams, encode: Encode) -> None:
    assert reason(encode(Image.new("F", (32, 32), 0.5), "TIFF"), square) == "unsupported depth"


@pytest.mark.parametrize("value", [-1, 65536])
def test_more_than_16_bits_are_rejected(value: int, square: PreprocessParams, encode: Encode) -> None:
    assert reason(encode(Image.new("I", (32, 32), value), "TIFF"), square) == "unsupported depth"


# Animations


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "MPO", "AVIF"])
def test_the_first_frame_stands_for_an_animation(format: str, square: PreprocessParams, encode: Encode) -> None:
    red, *others = (Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue"))
    options = {"lossless": True} if format == "WEBP" else {}
    content = encode(red, format, save_all=True, append_images=others, **options)
    assert getattr(Image.open(io.BytesIO(content)), "n_frames", 1) == 3
    assert abs(pixels(content, square) - (255, 0, 0)).max() <= 2


# What is no picture


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "WEBP", "AVIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.98])
def test_a_truncated_picture_is_rejected(
    share: float, format: str, square: PreprocessParams, noise: Noise, encode: Encode
) -> None:
    content = encode(noise(1, (64, 64)), format)
    assert reason(content[: int(len(content) * share)], square) in ("truncated or damaged", "not a picture")


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_that_breaks_off_is_not_filled_with_grey(
    options: dict[str, Any], square: PreprocessParams, noise: Noise, encode: Encode
) -> None:
    content = encode(noise(1, (64, 64)), "JPEG", **options)
    assert reason(content[:-10], square) == "truncated or damaged"


def test_a_changed_byte_in_a_png_is_noticed(square: PreprocessParams, noise: Noise, encode: Encode) -> None:
    content = bytearray(encode(noise(1, (64, 64))))
    content[len(content) // 2] ^= 1
    assert reason(bytes(content), square) == "truncated or damaged"


def test_an_empty_file_is_rejected_by_that_name(square: PreprocessParams) -> None:
    assert reason(b"", square) == "empty file"


SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'><rect width='64' height='64'/></svg>"


@pytest.mark.parametrize(
    "content",
    [
        b"a text\n" * 100,
        b"\0" * 5000,
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        SVG,
        b"<html>404</html>",
        b"8BPS\0\1",
        b"x",
    ],
)
def test_what_is_no_picture_is_rejected(content: bytes, square: PreprocessParams) -> None:
    assert reason(content, square) in ("not a picture", "truncated or damaged")


@pytest.mark.parametrize("format", ["EPS", "PDF", "PCX", "SGI", "IM", "SPIDER"])
def test_formats_that_are_not_on_the_list_are_not_opened(
    format: str, square: PreprocessParams, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EPS would start Ghostscript on what a stranger wrote."""
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    mode = "F" if format == "SPIDER" else "RGB"
    assert reason(encode(Image.new(mode, (64, 64)), format), square) == "not a picture"


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\0"]))
@settings(max_examples=200)
def test_no_bytes_end_in_anything_but_a_picture_or_a_reason(
    square: PreprocessParams, content: bytes, start: bytes
) -> None:
    try:
        image, _, _ = decode(start + content, square)
    except Rejected as rejected:
        assert str(rejected)
    else:
        assert image.shape == (32, 32, 3)


@given(st.data(), st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]))
@settings(max_examples=150)
def test_a_damaged_picture_is_decoded_or_rejected(
    square: PreprocessParams, noise: Noise, encode: Encode, data: st.DataObject, format: str
) -> None:
    content = bytearray(encode(noise(1, (16, 16)), format))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        image, _, _ = decode(bytes(content), square)
    except Rejected as rejected:
        assert str(rejected)
    else:
        assert image.shape == (32, 32, 3)


# Bombs


@pytest.mark.parametrize("size", [(10_001, 10_000), (13_000, 13_000), (50_000, 50_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_known_by_its_header(
    size: tuple[int, int], square: PreprocessParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert size[0] * size[1] > MAX_PIXELS
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("pixels were decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("pixels were decoded"))
    assert reason(png(*size, 8, 2, [bytes(30)]), square) == "too many pixels"


def test_a_picture_of_just_as_many_pixels_as_allowed_is_decoded(
    square: PreprocessParams, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegan.data.decode.MAX_PIXELS", 100 * 100)
    assert pixels(encode(Image.new("RGB", (100, 100))), square).max() == 0
    assert reason(encode(Image.new("RGB", (100, 101))), square) == "too many pixels"


def test_memory_that_cannot_be_had_is_a_reason(
    square: PreprocessParams, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(_: object) -> None:
        raise MemoryError

    content = encode(Image.new("RGB", (64, 64)))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", no_memory)
    assert reason(content, square) == "too many pixels"


@given(
    given_size=st.tuples(st.integers(20, 200), st.integers(20, 200)),
    wanted=st.sampled_from([(64, 32), (32, 48), (40, 32), (32, 40)]),
)
def test_what_is_not_square_is_cropped_in_the_middle_to_that_shape(
    given_size: tuple[int, int], wanted: tuple[int, int], square: PreprocessParams
) -> None:
    """As Pillow's own ``fit`` has it, of a picture that is smooth."""
    width, height = given_size
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    picture = Image.fromarray(np.stack([across, down, (across + down) / 2], 2).astype(np.uint8))
    params = square.model_copy(update={"size": wanted})
    image, enlarged = fit(picture, params)
    assert image.shape == (*wanted, 3)
    expected = ImageOps.fit(picture, (wanted[1], wanted[0]), FILTERS[params.filter])
    assert np.abs(image.astype(int) - np.asarray(expected)).mean() < 4
    assert enlarged == (max(wanted[0] / height, wanted[1] / width) > 1)
