"""One encoded picture to uint8 of one size, or the reason why not."""

import hashlib
import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from facegan.params_data import PreprocessParams
from facegan.sizes import height_and_width

MAX_PIXELS = 50_000_000  # a decompression bomb is a small file with a huge picture; memory is bounded by it
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "TGA", "ICO")  # JPEG opens MPO too
FILTERS = {"lanczos": Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}


class Rejected(Exception):
    """The picture is not used; the message is the reason, worded so that equal reasons can be counted."""


class Decoded(NamedTuple):
    """``image`` uint8 [height, width, channels], whether it had to be ``enlarged``, and the SHA-256 of the ``source``:
    the pixels before any change of size, in RGB over white, which are the same in every lossless format, at every
    ``size`` and with any ``channels``.
    """

    image: np.ndarray
    enlarged: bool
    source: bytes


def decode(content: bytes, params: PreprocessParams) -> Decoded:
    """The picture in the size that the parameters ask for.

    Oriented by EXIF, as small as covers ``size`` with one antialiased filter, centre crop. Transparency is kept with
    4 ``channels``, where what is invisible is white, and laid over white otherwise.
    The first frame stands for an animation; 16 bits a channel are scaled to 8. Raises Rejected.
    """
    if not content:
        raise Rejected("empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the pixels are what counts
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except Image.DecompressionBombError:
            raise Rejected("too many pixels") from None
        except Exception:
            raise Rejected("not a picture") from None
        if image.width * image.height > MAX_PIXELS:
            raise Rejected("too many pixels")
        if min(image.size) < params.min_side:
            raise Rejected("smaller than min_side")
        try:
            image.load()  # verify() accepts truncated JPEGs
            ImageOps.exif_transpose(image, in_place=True)
            upright = to_rgb(image)
            wanted = upright.convert("L") if params.channels == 1 else upright
            if params.channels == 4:
                wanted = image.convert("RGBA") if _is_transparent(image) else upright.convert("RGBA")
        except Rejected:
            raise
        except MemoryError:
            raise Rejected("too many pixels") from None
        except Exception:
            raise Rejected("truncated or damaged") from None
    source = hashlib.sha256(b"%d %d\n" % upright.size + upright.tobytes())
    return Decoded(*fit(wanted, params), source.digest())


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode that Pillow decodes to RGB, 8 bits a channel, transparency over white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if (transparent := image.info.get("transparency")) is not None:
            values = np.where(values == transparent, 65535, values)
        if values.min() < 0 or values.max() > 65535:
            raise Rejected("unsupported depth")
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise Rejected("unsupported depth")
    if _is_transparent(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _is_transparent(image: Image.Image) -> bool:
    return "A" in image.mode or "a" in image.mode or ("transparency" in image.info and image.mode[0] not in "IF")


def fit(image: Image.Image, params: PreprocessParams) -> tuple[np.ndarray, bool]:
    """As small as covers the size, centre crop: uint8 [height, width, channels], and whether it was enlarged."""
    height, width = height_and_width(params.size)
    # The side that is just covered: compared as products, which are exact.
    wanted, given = (height, image.height) if height * image.width > width * image.height else (width, image.width)
    if given != wanted:
        scaled = (
            max(width, round(image.width * wanted / given)),
            max(height, round(image.height * wanted / given)),
        )
        if scaled[0] * scaled[1] > MAX_PIXELS:
            raise Rejected("too many pixels")
        image = image.resize(scaled, FILTERS[params.filter])
    left, top = (image.width - width) // 2, (image.height - height) // 2
    pixels = np.asarray(image)[top : top + height, left : left + width].reshape(height, width, -1)
    if image.mode == "RGBA":  # what is invisible has no colour; a network would learn one
        pixels = np.where(pixels[..., 3:] == 0, np.array((255, 255, 255, 0), np.uint8), pixels)
    return pixels, given < wanted
