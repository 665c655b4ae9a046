"""Grids of pictures as PNG."""

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facegan.files import write_atomic

CLASS_ROWS = 24  # of a grid with one class a row, at most


def grid(images: torch.Tensor, columns: int | None = None, gap: int = 2) -> Image.Image:
    """uint8 [n, h, w, 3] side by side on white, row by row; about as wide as high unless ``columns`` says."""
    count, height, width, _ = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for place, image in enumerate(images.cpu().numpy()):
        top, left = gap + place // columns * (height + gap), gap + place % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return Image.fromarray(canvas)


def png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def write_grid(path: Path, images: torch.Tensor, columns: int | None = None) -> None:
    """Write a grid of uint8 [n, h, w, 3] as PNG, whole or not at all."""
    write_atomic(path, png(grid(images, columns)))
