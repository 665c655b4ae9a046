"""Pictures in shards on disk, read by row when they are asked for: memory does not grow with the set."""

import itertools
import json
import os
import weakref
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

OPEN_FILES = 256  # of a set at most: a process may have 1024 on many systems


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
        self._open: dict[int, int] = {}  # file descriptors of shards by place
        weakref.finalize(self, _close, self._open)

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
        if len(wanted):
            self._read(wanted, images.view(-1).numpy().data)
        return images

    def _read(self, wanted: np.ndarray, target: memoryview) -> None:
        """Pictures into ``target``, in order of the files; those that are neighbours in both are read at once."""
        size = self.shape[1:].numel()
        order = np.argsort(wanted, kind="stable")
        rows = wanted[order]
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        begins = np.asarray([shard.offset for shard in self._shards])[shards] + (rows - self._starts[shards]) * size
        apart = (np.diff(shards) != 0) | (np.diff(rows) != 1) | (np.diff(order) != 1)
        cuts = [0, *(np.flatnonzero(apart) + 1).tolist(), len(rows)]
        for start, end in itertools.pairwise(cuts):
            first = int(order[start]) * size
            self._fill(int(shards[start]), int(begins[start]), target[first : first + (end - start) * size])

    def _fill(self, number: int, begin: int, target: memoryview) -> None:
        """Bytes of a shard."""
        try:
            file = self._open.get(number)
            kept = file is not None
            if file is None:
                file = os.open(self._shards[number].path, os.O_RDONLY | os.O_CLOEXEC)
                if len(self._open) < OPEN_FILES:
                    kept = self._open.setdefault(number, file) == file  # or another thread's is kept
            try:
                done = 0
                while done < len(target):
                    got = os.preadv(file, [target[done:]], begin + done)
                    if not got:
                        raise EOFError("it ends too early")
                    done += got
            finally:
                if not kept:
                    os.close(file)
        except (OSError, EOFError) as error:
            raise _damaged(self._shards[number].path, error) from error


def _close(files: dict[int, int]) -> None:
    for file in files.values():
        os.close(file)


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
    except (OSError, EOFError, RuntimeError, SafetensorError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> Exception:
    if isinstance(error, PermissionError):
        return error
    return FaceganError(f"{path} is damaged: {error}; run `dvc repro --force preprocess`")
