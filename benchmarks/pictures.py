"""JPEG pictures to measure on: given ones (``--pictures FOLDER_OR_ZIP``), else the synthetic faces at 96 pixels."""

import io
from pathlib import Path

from PIL import Image

from facegan.data.folder import open_pictures
from facegan.data.synthetic import draw, sample_factors


def jpeg_folder(folder: Path, count: int, given: Path | None) -> list[Path]:
    """``count`` JPEG files below ``folder``/faces, repeating what is given when that is less."""
    target = folder / "faces"
    target.mkdir(parents=True)
    contents: list[bytes] = []
    if given is not None:
        with open_pictures(given) as pictures:
            contents = [pictures.read(name) for name in pictures.names[:count]]
    else:
        for index in range(min(count, 2000)):
            stream = io.BytesIO()
            drawn: Image.Image = draw(sample_factors(1, index), 96)
            drawn.save(stream, "JPEG", quality=90)
            contents.append(stream.getvalue())
    files = []
    for index in range(count):
        file = target / f"{index:06d}.jpg"
        file.write_bytes(contents[index % len(contents)])
        files.append(file)
    return files
