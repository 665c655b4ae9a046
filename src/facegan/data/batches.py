"""The batch of step t as a pure function of (seed, t), and pixels as networks have them."""

from collections.abc import Iterator

import torch

from facegan.randomness import generator


class BatchSequence:
    """Which pictures each step sees: without replacement within an epoch, reshuffled for each.

    A pure function of (seed, images seen): nothing need be saved to resume, and the sequence does not depend on
    how many processes share a batch.
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        if count < 1:
            raise ValueError("a batch sequence needs at least one picture")
        self._count, self._batch, self._seed = count, batch, seed
        self._orders: dict[int, torch.Tensor] = {}  # of the last two epochs: a step may see both

    def indices(self, step: int) -> torch.Tensor:
        """int64 [batch]: the pictures of ``step`` (0, 1, ...)."""
        places = torch.arange(step * self._batch, (step + 1) * self._batch)
        parts = []
        for epoch in range(int(places[0]) // self._count, int(places[-1]) // self._count + 1):
            inside = places[(places // self._count) == epoch] % self._count
            parts.append(self._shuffled(epoch)[inside])
        return torch.cat(parts)

    def _shuffled(self, epoch: int) -> torch.Tensor:
        if epoch not in self._orders:
            order = torch.randperm(self._count, generator=generator(self._seed, "order", epoch))
            self._orders = {**dict(list(self._orders.items())[-1:]), epoch: order}
        return self._orders[epoch]


def input_batches(
    inputs: tuple[torch.Tensor, ...], device: torch.device, count: int
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
