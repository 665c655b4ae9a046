"""Pictures in the shards of a WebDataset: .tar files in which the parts of a sample share a name.

``a/0001.jpg``, ``a/0001.json`` and ``a/0001.cls`` are one sample: its key is the name up to the first dot of the
last part, what follows is the kind of the part (https://github.com/webdataset/webdataset, "The WebDataset Format").
"""

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from facegan.data.columns import MAX_PICTURE_BYTES, label_text
from facegan.data.local import files_at, printable
from facegan.data.pictures import PictureSet
from facegan.errors import FaceganError
from facegan.files import sha256, tree_digest
from facegan.progress import progress

PICTURES = ("png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm", "pnm", "avif")
TEXTS = ("cls", "txt")
MAX_TEXT_BYTES = 2**20
MAX_NAME = 4096  # characters
_NAME = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)", re.DOTALL)


@dataclass(frozen=True)
class _Part:
    """A member of a shard: where its content begins and how long it is, in bytes; or why it cannot be read."""

    shard: Path
    offset: int
    size: int
    fault: str | None

    def read(self, file: IO[bytes]) -> bytes:
        file.seek(self.offset)
        content = file.read(self.size)
        if len(content) < self.size:
            raise ValueError("the shard ends in the middle of it")
        return content


@dataclass
class _Found:
    """What the shards hold, by the name of the picture."""

    pictures: dict[str, _Part] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)  # what labels may be asked for
    unread: list[str] = field(default_factory=list)  # names of parts that labels cannot be read from
    beside: list[str] = field(default_factory=list)  # pictures that are not their sample's first


@contextmanager
def open_webdataset(path: Path, labels: Sequence[str]) -> Iterator[PictureSet]:
    """The pictures of a .tar, or of all below a folder, by shard and name. Raises FaceganError.

    ``labels`` are ``cls`` and ``txt``, for the text of these parts, or keys of the object in ``.json``. A sample
    without a picture counts as unreadable. Of several pictures in a sample the first kind of ``PICTURES`` is taken.
    """
    shards = files_at(path, ".tar", "data.webdataset.path")
    found = _Found()
    for name, shard in progress(shards.items(), len(shards), "list", "shards"):
        try:
            samples = _samples(shard)
        except (tarfile.TarError, OSError, UnicodeDecodeError) as error:
            raise FaceganError(f"data.webdataset.path: {name} is damaged: {str(error).splitlines()[0]}") from error
        with shard.open("rb") as file:
            for key, parts in samples.items():
                _take(f"{name.removesuffix('.tar')}/{key}", parts, labels, file, found)
    for label in labels:
        if label not in found.there:
            has = f"what they have is {', '.join(sorted(found.there))}" if found.there else "they have none"
            raise FaceganError(f"data.webdataset.labels: no sample has {label!r}; {has}")
    looked_at = progress(shards.items(), len(shards), "check", "shards")
    digest = tree_digest((name, shard.stat().st_size, sha256(shard)) for name, shard in looked_at)
    reader = _Reader(found.pictures)
    try:
        yield PictureSet(
            names=tuple(sorted(found.pictures)),
            read=reader,
            labels=found.labels,
            description={"source": "webdataset", "name": path.name, "digest": digest, "licence": None},
            unreadable=found.refused,
            notes=tuple(_notes(found)),
        )
    finally:
        reader.close()


def _samples(shard: Path) -> dict[str, dict[str, _Part]]:
    """Parts by kind, by key, in the order of the shard."""
    samples: dict[str, dict[str, _Part]] = {}
    with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            name = printable(info.name)
            if info.isdir() or not (match := _NAME.fullmatch(name)):
                continue
            fault = None
            if not info.isreg() or info.issparse():
                fault = "not a regular file"
            elif info.size > MAX_PICTURE_BYTES:
                fault = f"larger than {MAX_PICTURE_BYTES // 2**20} MiB"
            parts = samples.setdefault(match[1], {})
            kind = match[2].lower()
            if kind in parts:
                fault = "the same name stands twice in the shard"
            parts[kind] = _Part(shard, info.offset_data, info.size, fault)
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a broken header for the end
            raise tarfile.ReadError("a header in the middle cannot be read")
    return samples


def _take(key: str, parts: dict[str, _Part], labels: Sequence[str], file: IO[bytes], found: _Found) -> None:
    """Add a sample."""
    values = _values(key, parts, file, found)
    found.there.update(values)
    pictures = [kind for kind in PICTURES if kind in parts]
    if not pictures:
        found.refused[key] = f"the sample has no picture, but {', '.join(sorted(parts))}"
        return
    name, part = f"{key}.{pictures[0]}", parts[pictures[0]]
    if len(name) > MAX_NAME or name in found.pictures:  # a/b.tar with 1.png, and a.tar with b/1.png
        found.refused[f"{name[:MAX_NAME]} (again)"] = (
            "another sample has this name" if name in found.pictures else "its name is too long"
        )
        return
    found.beside += [f"{key}.{kind}" for kind in pictures[1:]]
    if part.fault:
        found.refused[name] = part.fault
        return
    found.pictures[name] = part
    if known := {label: values[label] for label in labels if values.get(label)}:
        found.labels[name] = known


def _values(key: str, parts: dict[str, _Part], file: IO[bytes], found: _Found) -> dict[str, str]:
    """What a sample's other parts say, as labels."""
    values: dict[str, str] = {}
    for kind in (*TEXTS, "json"):
        if not (part := parts.get(kind)):
            continue
        try:
            if part.fault or part.size > MAX_TEXT_BYTES:
                raise ValueError
            text = part.read(file).decode("utf-8-sig")
            values |= _object(text) if kind == "json" else {kind: label_text(text)}
        except (ValueError, RecursionError):
            found.unread.append(f"{key}.{kind}")
    return values


def _object(text: str) -> dict[str, str]:
    """The texts, whole numbers and booleans of a JSON object; null is unknown. Raises ValueError for anything else."""
    values: Any = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError
    values = {key: "" if value is None else value for key, value in values.items()}
    return {key: label_text(value) for key, value in values.items() if isinstance(value, str | int)}


def _notes(found: _Found) -> Iterator[str]:
    if found.unread:
        yield f"{len(found.unread):,} files of labels cannot be read, such as {found.unread[0]}; these are unknown"
    if found.beside:
        many = f"{len(found.beside):,} pictures stand beside another one of their sample"
        yield f"{many}, such as {found.beside[0]}; they are not taken"


class _Reader:
    """Reads pictures by name. Names come in sorted order, so that one shard after the other is open."""

    def __init__(self, parts: dict[str, _Part]) -> None:
        self._parts = parts
        self._open: tuple[Path, IO[bytes]] | None = None

    def __call__(self, name: str) -> bytes:
        part = self._parts[name]
        if self._open is None or self._open[0] != part.shard:
            self.close()
            self._open = part.shard, part.shard.open("rb")
        return part.read(self._open[1])

    def close(self) -> None:
        if self._open:
            self._open[1].close()
            self._open = None
