"""A portrait: all layers from back to front, as a picture or as a file."""

import io

from PIL import Image

from facegan.data.synthetic.accessories import ON_TOP, UNDER_FRINGE
from facegan.data.synthetic.backgrounds import background
from facegan.data.synthetic.canvas import Canvas
from facegan.data.synthetic.drawing import mix
from facegan.data.synthetic.face import brows, eye, mouth, shoulders, visage
from facegan.data.synthetic.factors import INK, Face, sample_factors
from facegan.data.synthetic.hair import back_hair, front_hair

SMALLEST, LARGEST = 64, 256  # pixels


def draw(face: Face, size: int) -> Image.Image:
    """The portrait as an RGB picture of size x size pixels; every size shows the same picture.

    Raises ValueError unless 64 <= size <= 256.
    """
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size: {size}; synthetic portraits are drawn {SMALLEST} to {LARGEST} pixels wide")
    canvas = Canvas(face, size)
    background(canvas)
    back_hair(canvas)
    shoulders(canvas)
    visage(canvas)
    mouth(canvas)
    lashes = [eye(canvas, s) for s in (-1, 1)]
    browlines = brows(face)
    for brow in browlines:
        canvas.head.fill(brow, mix(canvas.hair_line, canvas.hair.shade, 0.3))
    if face.accessory in UNDER_FRINGE:
        UNDER_FRINGE[face.accessory](canvas)
    front_hair(canvas)
    # Brows and lashes are seen through the fringe, as in drawn animation.
    for path in (*lashes, *browlines):
        canvas.head.fill(path, INK, opacity=0.35, within=canvas.front_mask)
    if face.accessory in ON_TOP:
        ON_TOP[face.accessory](canvas)
    return canvas.finished()


def png(seed: int, index: int, size: int) -> tuple[bytes, dict[str, str]]:
    """Picture `index` of the data set `seed` as a PNG file, and its labels.

    The pixels are the same everywhere; how zlib packs them may differ between builds of Pillow.
    Raises ValueError unless 64 <= size <= 256.
    """
    face = sample_factors(seed, index)
    buffer = io.BytesIO()
    draw(face, size).save(buffer, "PNG")
    return buffer.getvalue(), face.labels()
