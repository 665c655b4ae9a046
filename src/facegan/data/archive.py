"""The raw archive: every picture's original bytes in one stored ZIP, the same bytes every time it is written.

One file, because DVC handles twenty thousand small ones in minutes and one large one in seconds; stored, so that
worker processes can read a picture at its offset.
"""

import csv
import io
import os
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from facegan.data.pictures import PictureSet
from facegan.errors import FaceganError
from facegan.files import new_folder, read_json, sha256, write_json
from facegan.processes import end_with
from facegan.progress import progress

IMAGES, LABELS, MANIFEST = "images.zip", "labels.csv", "manifest.json"


class Entry(NamedTuple):  # one a picture: a frozen dataclass takes ten times as long to make
    """A picture in the raw archive: its name and where its local header begins (bytes)."""

    name: str
    offset: int


def write_raw(pictures: PictureSet, folder: Path, workers: int) -> dict[str, Any]:
    """Write ``images.zip`` (with ``labels.csv`` in it) and ``manifest.json``; gives the manifest."""
    unreadable = dict(pictures.unreadable)
    count = size = 0
    with new_folder(folder) as partial:
        with zipfile.ZipFile(partial / IMAGES, "w", zipfile.ZIP_STORED) as archive:
            for name, content in progress(_contents(pictures, workers), len(pictures.names), "download"):
                if isinstance(content, str):
                    unreadable[name] = content
                    continue
                archive.writestr(_dated(name), content)
                count, size = count + 1, size + len(content)
            columns = sorted({column for labels in pictures.labels.values() for column in labels})
            if columns:
                archive.writestr(_dated(LABELS), _label_table(pictures, columns))
        manifest = {
            "description": dict(pictures.description),
            "pictures": count,
            "bytes": size,
            "labels": columns,
            "unreadable": unreadable,
            "sha256": sha256(partial / IMAGES),
        }
        write_json(partial / MANIFEST, manifest)
    return manifest


def read_raw(folder: Path) -> tuple[list[Entry], dict[str, dict[str, str]], dict[str, Any]]:
    """Entries in order of name, labels by name, and the manifest. Raises FaceganError when it is damaged."""
    try:
        manifest = read_json(folder / MANIFEST)
        with zipfile.ZipFile(folder / IMAGES) as archive:
            entries = [Entry(info.filename, info.header_offset) for info in archive.infolist()]
            labels: dict[str, dict[str, str]] = {}
            if manifest["labels"]:
                entries.pop()  # the table is written last
                with io.TextIOWrapper(archive.open(LABELS), "utf-8", newline="") as table:
                    for row in csv.DictReader(table):
                        name = row.pop("file")  # first: Python evaluates the right side before the subscript
                        labels[name] = {column: value for column, value in row.items() if value}
    except (OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
        raise FaceganError(
            f"{folder / IMAGES} is damaged ({error}); `dvc repro --force download` writes it again"
        ) from error
    return entries, labels, manifest


def read_content(archive: "io.BufferedReader", entry: Entry) -> bytes:
    """The picture's original bytes, straight from its place in the stored archive."""
    archive.seek(entry.offset)
    header = archive.read(30)  # PKWARE APPNOTE 4.3.7: sizes at 18 and 22, name and extra lengths at 26 and 28
    size, name, extra = (int.from_bytes(header[a:b], "little") for a, b in ((18, 22), (26, 28), (28, 30)))
    archive.seek(name + extra, io.SEEK_CUR)
    return archive.read(size)


def _contents(pictures: PictureSet, workers: int) -> Iterator[tuple[str, bytes | str]]:
    """Each name with its bytes, or with the reason why there are none."""
    if pictures.drawn and workers > 1:
        pool = ProcessPoolExecutor(workers, initializer=end_with, initargs=(os.getpid(),))
        try:
            yield from zip(pictures.names, pool.map(pictures.read, pictures.names, chunksize=32), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)  # asked to stop: what waits is not drawn first
        return
    for name in pictures.names:
        try:
            yield name, pictures.read(name)
        except Exception as error:  # a damaged member: counted against max_reject_fraction by preprocess
            reason = str(error).partition(" for file ")[0]  # equal damage is one reason, whatever the name
            yield name, f"cannot be read: {reason or type(error).__name__}"


def _dated(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o644 << 16  # the same on every platform
    return info


def _label_table(pictures: PictureSet, columns: Iterable[str]) -> str:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, ["file", *columns], lineterminator="\n", restval="", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows({"file": name, **pictures.labels.get(name, {})} for name in pictures.names)
    return table.getvalue()
