"""Shards in memory, and the batch of step t as a pure function of (seed, t)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from facegan.data.manifest import read_manifest
from facegan.errors import FaceganError
from facegan.randomness import generator


@dataclass(frozen=True)
class ImageSet:
    """Pictures of one split: ``images`` uint8 [n, size, size, 3], ``index`` int32 [n], labels int32 [n] by column."""

    images: torch.Tensor
    index: torch.Tensor
    labels: dict[str, torch.Tensor]

    def __len__(self) -> int:
        return len(self.images)

    def chosen(self, places: torch.Tensor) -> "ImageSet":
        """The pictures at ``places`` int64 [m]."""
        labels = {column: values[places] for column, values in self.labels.items()}
        return ImageSet(self.images[places], self.index[places], labels)


def load_split(folder: Path, split: str) -> ImageSet:
    """All pictures of ``split`` ("train" or "held_out"), in the order of the raw archive. Raises FaceganError."""
    manifest = read_manifest(folder)
    size, count = manifest["size"], manifest["pictures"][split]
    images = torch.empty((count, size, size, 3), dtype=torch.uint8)
    index = torch.empty(count, dtype=torch.int32)
    labels = {column: torch.empty(count, dtype=torch.int32) for column in manifest["labels"]}
    start = 0
    for shard in manifest["shards"]:
        if shard["split"] != split:
            continue
        rows = slice(start, start + shard["count"])
        try:
            with safe_open(folder / shard["file"], "pt") as tensors:
                images[rows], index[rows] = tensors.get_tensor("images"), tensors.get_tensor("index")
                for column, values in labels.items():
                    values[rows] = tensors.get_tensor(f"label.{column}")
        except (OSError, RuntimeError, SafetensorError) as error:
            raise FaceganError(
                f"{folder / shard['file']} is damaged: {error}; run `dvc repro --force preprocess`"
            ) from error
        start += shard["count"]
    return ImageSet(images, index, labels)


class BatchSequence:
    """Which pictures each step sees: without replacement within an epoch, reshuffled for each.

    A pure function of (seed, images seen): nothing need be saved to resume, and the sequence does not depend on
    how many processes share a batch.
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        if count < 1:
            raise ValueError("a batch sequence needs at least one picture")
        self._count, self._batch, self._seed = count, batch, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def indices(self, step: int) -> torch.Tensor:
        """int64 [batch]: the pictures of ``step`` (0, 1, ...)."""
        places = torch.arange(step * self._batch, (step + 1) * self._batch)
        parts = []
        for epoch in range(int(places[0]) // self._count, int(places[-1]) // self._count + 1):
            inside = places[(places // self._count) == epoch] % self._count
            parts.append(self._shuffled(epoch)[inside])
        return torch.cat(parts)

    def _shuffled(self, epoch: int) -> torch.Tensor:
        if epoch != self._epoch:
            self._epoch, self._order = (
                epoch,
                torch.randperm(self._count, generator=generator(self._seed, "order", epoch)),
            )
        return self._order


def input_batches(
    inputs: tuple[torch.Tensor, ...], device: torch.device, count: int = 64
) -> Iterator[tuple[torch.Tensor, ...]]:
    """What a generator takes, ``count`` pictures at a time, on ``device``."""
    for parts in zip(*(values.split(count) for values in inputs), strict=True):
        yield tuple(part.to(device) for part in parts)


def to_network(images: torch.Tensor) -> torch.Tensor:
    """uint8 [n, h, w, 3] to float32 [n, 3, h, w] in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """float [n, 3, h, w] in [-1, 1] to uint8 [n, h, w, 3]: rounded and clamped, no stretching of contrast."""
    return images.detach().float().mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
