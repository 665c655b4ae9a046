"""Pictures in shards on disk, read by row when they are asked for: memory does not grow with the set."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from facegan.data.manifest import read_manifest, shape_of
from facegan.errors import FaceganError


class Pictures(Protocol):
    """uint8 [n, height, width, 3]: a tensor, or what reads like one."""

    @property
    def shape(self) -> torch.Size: ...

    def __len__(self) -> int: ...

    def __getitem__(self, places: torch.Tensor | slice, /) -> torch.Tensor: ...


def in_parts(pictures: Pictures, count: int) -> Iterator[torch.Tensor]:
    """``pictures`` in order, ``count`` at a time."""
    for start in range(0, len(pictures), count):
        yield pictures[start : start + count]


@dataclass(frozen=True)
class _Shard:
    """``count`` pictures that begin at byte ``offset`` of a file."""

    path: Path
    offset: int
    count: int


class StoredPictures:
    """The pictures of ``shards``, one after the other; may be read by several threads at once.

    Read with `preadv`: pages that a process maps count as its memory, pages that the kernel caches do not.
    """

    def __init__(self, shards: Sequence[_Shard], shape: tuple[int, int, int]) -> None:
        self._shards = shards
        self._starts = np.cumsum([0, *(shard.count for shard in shards)])
        self.shape = torch.Size([int(self._starts[-1]), *shape])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, places: torch.Tensor | slice, /) -> torch.Tensor:
        """The pictures at ``places``, int64 [m] or a slice, on the CPU. Raises FaceganError for a damaged shard."""
        if isinstance(places, slice):
            wanted = np.arange(*places.indices(len(self)))
        else:
            wanted = places.cpu().numpy()
            if wanted.ndim != 1 or wanted.dtype == np.bool_:
                raise IndexError(f"places should be int64 [m], not {places.dtype} {list(places.shape)}")
            if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
                raise IndexError(f"there are {len(self)} pictures, and not all of {places} are among them")
        images = torch.empty((len(wanted), *self.shape[1:]), dtype=torch.uint8)
        order = np.argsort(wanted, kind="stable")  # each file is opened once
        shards = np.searchsorted(self._starts, wanted[order], side="right") - 1
        for number in np.unique(shards):
            mine = order[shards == number]
            self._read(self._shards[number], wanted[mine] - self._starts[number], mine, images.numpy())
        return images

    def _read(self, shard: _Shard, rows: np.ndarray, targets: np.ndarray, images: np.ndarray) -> None:
        """Rows of one shard into ``images`` at ``targets``; neighbours that stay neighbours are read at once."""
        size = images[0].nbytes
        cuts = np.flatnonzero((np.diff(rows) != 1) | (np.diff(targets) != 1)) + 1
        with _named(shard.path), shard.path.open("rb", buffering=0) as file:
            for run in np.split(np.arange(len(rows)), cuts):
                target = images[targets[run[0]] : targets[run[-1]] + 1].reshape(-1).data
                begin = shard.offset + int(rows[run[0]]) * size
                done = 0
                while done < len(target):
                    got = os.preadv(file.fileno(), [target[done:]], begin + done)
                    if not got:
                        raise EOFError("it ends too early")
                    done += got


class Chosen:
    """The pictures at ``places`` int64 [m] of others, read when they are asked for."""

    def __init__(self, pictures: Pictures, places: torch.Tensor) -> None:
        self._pictures, self._places = pictures, places
        self.shape = torch.Size([len(places), *pictures.shape[1:]])

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, places: torch.Tensor | slice, /) -> torch.Tensor:
        return self._pictures[self._places[places]]


@dataclass(frozen=True)
class ImageSet:
    """Pictures uint8 [n, height, width, 3], with ``index`` int32 [n] and labels int32 [n] by column."""

    images: Pictures
    index: torch.Tensor
    labels: dict[str, torch.Tensor]

    def __len__(self) -> int:
        return len(self.images)


def load_split(folder: Path, *splits: str) -> ImageSet:
    """The pictures of ``splits`` ("train" or "held_out"), each in the order of the raw archive.

    They stay on disk; labels and places in the archive are read. Raises FaceganError for a shard that is damaged.
    """
    manifest = read_manifest(folder)
    shape = shape_of(manifest)
    shards: list[_Shard] = []
    index = [torch.empty(0, dtype=torch.int32)]
    labels = {column: [torch.empty(0, dtype=torch.int32)] for column in manifest["labels"]}
    for split in splits:
        for entry in manifest["shards"]:
            if entry["split"] != split:
                continue
            path = folder / entry["file"]
            with _named(path), safe_open(path, "pt") as tensors:
                images, columns = tensors.get_slice("images"), {"index": index}
                columns |= {f"label.{column}": values for column, values in labels.items()}
                if (images.get_dtype(), tuple(images.get_shape())) != ("U8", (entry["count"], *shape)):
                    raise ValueError("it does not hold the pictures that the manifest says")
                for name, parts in columns.items():
                    parts.append(tensors.get_tensor(name))
                    if parts[-1].shape != (entry["count"],):
                        raise ValueError(f"{name} is not of as many pictures as it holds")
                shards.append(_Shard(path, _offset(path), entry["count"]))
    tables = {column: torch.cat(values) for column, values in labels.items()}
    return ImageSet(StoredPictures(shards, shape), torch.cat(index), tables)


def _offset(path: Path) -> int:
    """Where the pictures begin: a safetensors file is the length of its header, the header as JSON, and the bytes."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        begin: int = json.loads(file.read(length))["images"]["data_offsets"][0]
    return 8 + length + begin


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever is wrong with the shard becomes one line."""
    try:
        yield
    except PermissionError:
        raise
    except (OSError, EOFError, RuntimeError, SafetensorError, ValueError) as error:
        raise FaceganError(f"{path} is damaged: {error}; run `dvc repro --force preprocess`") from error
