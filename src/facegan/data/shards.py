"""Raw pictures to tensor shards: uint8, channels last, split into training and held out by content.

A shard is a safetensors file: ``images`` uint8 [n, size, size, 3], ``index`` int32 [n] (place in the raw archive's
sorted names) and ``label.COLUMN`` int32 [n] for every label column (-1 is unknown).
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from facegan.data.archive import IMAGES, Entry, read_content, read_raw
from facegan.data.decode import Rejected, decode
from facegan.data.manifest import MANIFEST, SPLITS
from facegan.errors import FaceganError
from facegan.files import new_folder, sha256, write_atomic, write_json
from facegan.params import PreprocessParams
from facegan.progress import progress

SHARD_BYTES = 64 * 2**20
_CHUNK = 64  # pictures that a worker takes at a time


@dataclass
class _Decoded:
    """What became of one chunk: pictures that passed, in order, and the reasons for the others."""

    index: list[int]
    images: np.ndarray  # uint8 [n, size, size, 3]
    digests: list[bytes]  # SHA-256 of each image
    enlarged: int
    rejected: list[tuple[int, str]]


@dataclass
class _Shard:
    """Pictures of one split that wait to fill a shard."""

    split: str
    number: int = 0
    waiting: int = 0
    images: list[np.ndarray] = field(default_factory=list)
    index: list[int] = field(default_factory=list)


def write_shards(raw: Path, folder: Path, params: PreprocessParams, workers: int) -> dict[str, Any]:
    """Decode everything in ``raw`` into shards and a manifest; gives the manifest.

    Memory holds a few chunks and one shard of each split, whatever the size of the set. The bytes do not depend
    on ``workers``. Raises FaceganError, with the table of reasons, above ``max_reject_fraction``.
    """
    entries, labels, source = read_raw(raw)
    columns = {name: sorted({row[name] for row in labels.values() if name in row}) for name in source["labels"]}
    codes = {name: {value: code for code, value in enumerate(values)} for name, values in columns.items()}
    rejected = [{"file": name, "reason": reason} for name, reason in source["unreadable"].items()]
    seen: set[bytes] = set()
    shards: list[dict[str, Any]] = []
    duplicates = enlarged = 0

    with new_folder(folder) as partial:

        def flush(shard: _Shard) -> None:
            if not shard.index:
                return
            tensors = {"images": np.concatenate(shard.images), "index": np.asarray(shard.index, np.int32)}
            names = [entries[index].name for index in shard.index]
            for column, code in codes.items():
                values = (labels.get(name, {}).get(column) for name in names)
                tensors[f"label.{column}"] = np.asarray(
                    [code.get(value, -1) if value else -1 for value in values], np.int32
                )
            path = partial / f"{shard.split}-{shard.number:05d}.safetensors"
            write_atomic(path, save(tensors))
            shards.append({"file": path.name, "split": shard.split, "count": len(names), "sha256": sha256(path)})
            shard.number, shard.waiting, shard.images, shard.index = shard.number + 1, 0, [], []

        open_shards = {split: _Shard(split) for split in SPLITS}
        per_shard = max(1, SHARD_BYTES // (params.size**2 * 3))
        for chunk in progress(
            _decode_all(raw / IMAGES, entries, params, workers), -(-len(entries) // _CHUNK), "preprocess", scale=_CHUNK
        ):
            rejected += [{"file": entries[index].name, "reason": reason} for index, reason in chunk.rejected]
            enlarged += chunk.enlarged
            keep: dict[str, list[int]] = {split: [] for split in SPLITS}
            for place, digest in enumerate(chunk.digests):
                if params.deduplicate:
                    if digest in seen:
                        duplicates += 1
                        continue
                    seen.add(digest)
                keep[_split(digest, params.held_out)].append(place)
            for split, places in keep.items():
                shard = open_shards[split]
                for part in _cut(places, per_shard - shard.waiting, per_shard):
                    shard.images.append(chunk.images[part])
                    shard.index += [chunk.index[place] for place in part]
                    shard.waiting += len(part)
                    if shard.waiting == per_shard:
                        flush(shard)
        _refuse_many(rejected, len(entries) + len(source["unreadable"]), params)
        for shard in open_shards.values():
            flush(shard)
        counts = {split: sum(shard["count"] for shard in shards if shard["split"] == split) for split in SPLITS}
        if counts["train"] < 2:
            raise FaceganError(f"preprocess: {counts['train']} pictures are left to train on; at least 2 are needed")
        manifest = {
            "size": params.size,
            "filter": params.filter,
            "pictures": counts,
            "duplicates": duplicates,
            "enlarged": enlarged / max(1, len(entries) - len(rejected) + len(source["unreadable"])),
            "rejected": sorted(rejected, key=lambda entry: entry["file"]),
            "labels": columns,
            "shards": sorted(shards, key=lambda shard: shard["file"]),
            "source": source["description"],
        }
        write_json(partial / MANIFEST, manifest)
    return manifest


def summary(manifest: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a manifest that ``dvc metrics`` compares."""
    rejected = Counter(entry["reason"] for entry in manifest["rejected"])
    return {
        "pictures": manifest["pictures"],
        "duplicates": manifest["duplicates"],
        "enlarged": round(manifest["enlarged"], 6),
        "rejected": {"total": rejected.total(), **dict(sorted(rejected.items()))},
        "size": manifest["size"],
    }


def _decode_all(path: Path, entries: list[Entry], params: PreprocessParams, workers: int) -> Iterator[_Decoded]:
    """Every chunk in order, with no more than a few chunks for each worker under way."""
    tasks = ((path, start, chunk, params) for start, chunk in _chunks(entries))
    if workers == 1:
        yield from (_decode_chunk(*task) for task in tasks)
        return
    with ProcessPoolExecutor(workers) as pool:
        under_way: list[Future[_Decoded]] = [pool.submit(_decode_chunk, *task) for task in islice(tasks, 4 * workers)]
        while under_way:
            yield under_way.pop(0).result()
            under_way += [pool.submit(_decode_chunk, *task) for task in islice(tasks, 1)]


def _chunks(entries: list[Entry]) -> Iterator[tuple[int, list[Entry]]]:
    for start in range(0, len(entries), _CHUNK):
        yield start, entries[start : start + _CHUNK]


def _decode_chunk(path: Path, start: int, entries: list[Entry], params: PreprocessParams) -> _Decoded:
    index, images, digests, rejected, enlarged = [], [], [], [], 0
    with path.open("rb") as archive:
        for place, entry in enumerate(entries, start):
            try:
                image, larger = decode(read_content(archive, entry), params)
            except Rejected as reason:
                rejected.append((place, str(reason)))
                continue
            index.append(place)
            images.append(image)
            digests.append(hashlib.sha256(image.tobytes()).digest())
            enlarged += larger
    stacked = np.stack(images) if images else np.empty((0, params.size, params.size, 3), np.uint8)
    return _Decoded(index, stacked, digests, enlarged, rejected)


def _split(digest: bytes, held_out: float) -> str:
    """By content, so that equal pictures fall on the same side whatever else is in the set."""
    return "held_out" if int.from_bytes(digest[:8], "big") < held_out * 2**64 else "train"


def _cut(places: list[int], first: int, size: int) -> Iterator[list[int]]:
    """``places`` in runs: at most ``first``, then at most ``size`` each."""
    if places[:first]:
        yield places[:first]
    for start in range(first, len(places), size):
        yield places[start : start + size]


def _refuse_many(rejected: list[dict[str, str]], total: int, params: PreprocessParams) -> None:
    share = len(rejected) / max(1, total)
    if share <= params.max_reject_fraction:
        return
    examples = {entry["reason"]: entry["file"] for entry in reversed(rejected)}
    counts = Counter(entry["reason"] for entry in rejected)
    table = "".join(f"\n  {count:7d}  {reason}, such as {examples[reason]!r}" for reason, count in counts.most_common())
    raise FaceganError(
        f"preprocess: {len(rejected)} of {total} pictures ({share:.1%}) are rejected, more than "
        f"preprocess.max_reject_fraction ({params.max_reject_fraction:.1%}) allows:{table}"
    )
