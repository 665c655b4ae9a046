"""Raw pictures to tensor shards: uint8, channels last, split into training and held out by content.

A shard is a safetensors file: ``images`` uint8 [n, height, width, channels], ``index`` int32 [n] (place in the raw
archive's sorted names) and ``label.COLUMN`` int32 [n] for every label column (-1 is unknown).
"""

import csv
import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from facegan.data.archive import IMAGES, Entry, read_content, read_raw
from facegan.data.decode import Rejected, decode
from facegan.data.manifest import MANIFEST, SCHEME, SPLITS, shape_of
from facegan.errors import FaceganError
from facegan.files import new_folder, sha256, write_json
from facegan.params_data import PreprocessParams
from facegan.processes import end_with
from facegan.progress import progress
from facegan.sizes import Size, height_and_width

_CHUNK = 64  # pictures that a worker takes at a time
SCRATCH_BYTES = 256 * 2**20
_SCRATCH = ".scratch"
REJECTED, EXAMPLES = "rejected.csv", 5  # what was rejected, and so many names of each reason in the manifest


@dataclass
class _Decoded:
    """What became of one chunk: pictures that passed, in order, and the reasons for the others.

    ``images`` uint8 [n, height, width, channels] holds until the next chunk is asked for.
    """

    index: list[int]
    digests: list[bytes]  # SHA-256 of each image
    sources: list[bytes]  # SHA-256 of each picture's pixels as decoded
    enlarged: int
    rejected: list[tuple[int, str]]
    images: np.ndarray


class _Labels:
    """Labels as numbers: int32 by column, -1 where a picture has none."""

    def __init__(self, columns: Sequence[str], labels: dict[str, dict[str, str]]) -> None:
        self.values = {name: sorted({row[name] for row in labels.values() if name in row}) for name in columns}
        self._codes = {name: {value: code for code, value in enumerate(rows)} for name, rows in self.values.items()}
        self._labels = labels

    def tensors(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        rows = [self._labels.get(name, {}) for name in names]
        return {
            f"label.{column}": np.asarray([code.get(row.get(column, ""), -1) for row in rows], np.int32)
            for column, code in self._codes.items()
        }


def shard_pictures(size: Size, channels: int = 3) -> int:
    """How many pictures a full shard has: 32 MiB of them up to 64 pixels, as many of larger ones up to 128 MiB, and
    128 at least. So a million pictures are hundreds of files up to 128 pixels, and a few thousand above.
    """
    one = channels * math.prod(height_and_width(size))
    return max(128, min(128 * 2**20 // one, max(32 * 2**20 // one, 2730)))


class _ShardWriter:
    """Gathers the pictures of one split and writes a shard whenever it is full."""

    def __init__(
        self, folder: Path, split: str, params: PreprocessParams, names: Sequence[str], labels: _Labels
    ) -> None:
        self._folder, self._split, self._names, self._labels = folder, split, names, labels
        count = shard_pictures(params.size, params.channels)
        self._images = np.empty((count, *_shape(params)), np.uint8)  # memory is taken as it is filled
        self._index: list[int] = []
        self.written: list[dict[str, Any]] = []

    def add(self, chunk: _Decoded, places: list[int]) -> None:
        for part in _cut(places, len(self._images) - len(self._index), len(self._images)):
            start = len(self._index)
            np.take(chunk.images, part, axis=0, out=self._images[start : start + len(part)])
            self._index += [chunk.index[place] for place in part]
            if len(self._index) == len(self._images):
                self.flush()

    def flush(self) -> None:
        if not self._index:
            return
        tensors: dict[str, np.ndarray] = {
            "images": self._images[: len(self._index)],
            "index": np.asarray(self._index, np.int32),
            **self._labels.tensors([self._names[index] for index in self._index]),
        }
        path = self._folder / f"{self._split}-{len(self.written):05d}.safetensors"
        save_file(tensors, path)  # straight from memory; the folder is renamed when all are there
        with path.open("rb") as file:
            os.fsync(file.fileno())
        self.written.append(
            {"file": path.name, "split": self._split, "count": len(self._index), "sha256": sha256(path)}
        )
        self._index = []


def write_shards(raw: Path, folder: Path, params: PreprocessParams, workers: int) -> dict[str, Any]:
    """Decode everything in ``raw`` into shards and a manifest; gives the manifest.

    Memory holds a few chunks and one shard of each split, whatever the size of the set. The bytes do not depend
    on ``workers``. Raises FaceganError, with the table of reasons, above ``max_reject_fraction``.
    """
    entries, labelled, raw_manifest = read_raw(raw)
    names = [entry.name for entry in entries]
    labels = _Labels(raw_manifest["labels"], labelled)
    rejected = list(raw_manifest["unreadable"].items())
    total = len(entries) + len(rejected)
    seen: set[bytes] = set()
    duplicates = enlarged = 0

    with new_folder(folder) as partial:
        writers = {split: _ShardWriter(partial, split, params, names, labels) for split in SPLITS}
        chunks = _decode_all(raw / IMAGES, entries, params, workers, partial / _SCRATCH)
        for chunk in progress(chunks, -(-len(entries) // _CHUNK), "preprocess", scale=_CHUNK):
            rejected += [(names[index], reason) for index, reason in chunk.rejected]
            enlarged += chunk.enlarged
            keep: dict[str, list[int]] = {split: [] for split in SPLITS}
            for place, (digest, source) in enumerate(zip(chunk.digests, chunk.sources, strict=True)):
                if params.deduplicate:
                    if digest in seen:
                        duplicates += 1
                        continue
                    seen.add(digest)
                keep[_split(source, params.held_out)].append(place)
            for split, places in keep.items():
                writers[split].add(chunk, places)
        _refuse_many(rejected, total, params)
        for writer in writers.values():
            writer.flush()
        (partial / _SCRATCH).unlink(missing_ok=True)
        shards = [shard for writer in writers.values() for shard in writer.written]
        counts = {split: sum(shard["count"] for shard in shards if shard["split"] == split) for split in SPLITS}
        if counts["train"] < 2:
            raise FaceganError(f"preprocess: {counts['train']} pictures are left to train on; at least 2 are needed")
        manifest = {
            "size": params.size,
            "channels": params.channels,
            "filter": params.filter,
            "pictures": counts,
            "split": {"scheme": SCHEME, "held_out": params.held_out},
            "duplicates": duplicates,
            "enlarged": enlarged / max(1, total - len(rejected)),
            "rejected": _by_reason(rejected),
            "labels": labels.values,
            "shards": sorted(shards, key=lambda shard: shard["file"]),
            "source": raw_manifest["description"],
        }
        _write_rejects(partial / REJECTED, rejected)
        write_json(partial / MANIFEST, manifest)
    return manifest


def summary(manifest: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a manifest that ``dvc metrics`` compares."""
    rejected = {reason: found["count"] for reason, found in manifest["rejected"].items()}
    return {
        "pictures": manifest["pictures"],
        "duplicates": manifest["duplicates"],
        "enlarged": round(manifest["enlarged"], 6),
        "rejected": {"total": sum(rejected.values()), **rejected},
        **dict(zip(("height", "width", "channels"), shape_of(manifest), strict=True)),
    }


def _decode_all(
    path: Path, entries: list[Entry], params: PreprocessParams, workers: int, scratch: Path
) -> Iterator[_Decoded]:
    """Every chunk in order, with no more than a few chunks for each worker under way.

    Pixels come from the workers through ``scratch``, a file that all of them map: sent as objects they would be
    copied four times.
    """
    shape = (_CHUNK, *_shape(params))
    slots = 1 if workers == 1 else min(4 * workers, max(workers, SCRATCH_BYTES // int(np.prod(shape))))
    with scratch.open("wb") as file:
        for _ in range(slots):  # written, not only made as long: a full disk is an error here, and a crash once mapped
            file.write(bytes(int(np.prod(shape))))
    pixels = np.memmap(scratch, np.uint8, "r+", shape=(slots, *shape))
    tasks = ((path, start, chunk, params, number % slots) for number, (start, chunk) in enumerate(_chunks(entries)))
    if workers == 1:
        yield from (_decode_chunk(*task, pixels) for task in tasks)
        return
    with ProcessPoolExecutor(workers, initializer=_begin_worker, initargs=(os.getpid(), scratch, pixels.shape)) as pool:
        under_way: list[Future[_Decoded]] = [pool.submit(_decode_in_worker, *task) for task in islice(tasks, slots)]
        for slot in cycle(range(slots)):
            if not under_way:
                return
            decoded = under_way.pop(0).result()
            decoded.images = pixels[slot]
            yield decoded
            under_way += [pool.submit(_decode_in_worker, *task) for task in islice(tasks, 1)]


def _shape(params: PreprocessParams) -> tuple[int, int, int]:
    """Of a picture: height, width, channels."""
    return *height_and_width(params.size), params.channels


def _chunks(entries: list[Entry]) -> Iterator[tuple[int, list[Entry]]]:
    for start in range(0, len(entries), _CHUNK):
        yield start, entries[start : start + _CHUNK]


_pixels: np.ndarray  # of a worker process: the scratch file


def _begin_worker(parent: int, scratch: Path, shape: tuple[int, ...]) -> None:
    global _pixels
    end_with(parent)
    _pixels = np.memmap(scratch, np.uint8, "r+", shape=shape)


def _decode_in_worker(path: Path, start: int, entries: list[Entry], params: PreprocessParams, slot: int) -> _Decoded:
    decoded = _decode_chunk(path, start, entries, params, slot, _pixels)
    decoded.images = decoded.images[:0]  # the other side has them
    return decoded


def _decode_chunk(
    path: Path, start: int, entries: list[Entry], params: PreprocessParams, slot: int, pixels: np.ndarray
) -> _Decoded:
    decoded = _Decoded([], [], [], 0, [], pixels[slot])
    with path.open("rb") as archive:
        for place, entry in enumerate(entries, start):
            try:
                image, larger, source = decode(read_content(archive, entry), params)
            except Rejected as reason:
                decoded.rejected.append((place, str(reason)))
                continue
            kept = decoded.images[len(decoded.index)]
            kept[:] = image
            decoded.index.append(place)
            decoded.digests.append(hashlib.sha256(kept).digest())
            decoded.sources.append(source)
            decoded.enlarged += larger
    return decoded


def _split(source: bytes, held_out: float) -> str:
    """By what was decoded, so that a picture is on the same side in every set, at every size and in every format."""
    return "held_out" if int.from_bytes(source[:8], "big") < held_out * 2**64 else "train"


def _cut(places: list[int], first: int, size: int) -> Iterator[list[int]]:
    """``places`` in runs: at most ``first``, then at most ``size`` each."""
    if places[:first]:
        yield places[:first]
    for start in range(first, len(places), size):
        yield places[start : start + size]


def _by_reason(rejected: list[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """How many there are of each reason, and the names of the first few."""
    counts = Counter(reason for _, reason in rejected)
    examples: dict[str, list[str]] = {reason: [] for reason in sorted(counts)}
    for name, reason in sorted(rejected):
        if len(examples[reason]) < EXAMPLES:
            examples[reason].append(name)
    return {reason: {"count": counts[reason], "examples": names} for reason, names in examples.items()}


def _write_rejects(path: Path, rejected: list[tuple[str, str]]) -> None:
    """All of them, a row each."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "reason"))
        table.writerows(sorted(rejected))


def _refuse_many(rejected: list[tuple[str, str]], total: int, params: PreprocessParams) -> None:
    share = len(rejected) / max(1, total)
    if share <= params.max_reject_fraction:
        return
    found = sorted(_by_reason(rejected).items(), key=lambda item: -item[1]["count"])
    table = "".join(f"\n  {each['count']:7d}  {reason}, such as {each['examples'][0]!r}" for reason, each in found)
    raise FaceganError(
        f"preprocess: {len(rejected)} of {total} pictures ({share:.1%}) are rejected, more than "
        f"preprocess.max_reject_fraction ({params.max_reject_fraction:.1%}) allows:{table}"
    )
