"""Whether generated pictures are copies of training pictures, judged by pictures that no training has seen."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from facegan.data.stored import Pictures
from facegan.evaluation.neighbors import Share, squared_distances
from facegan.sharing import HERE, Compute
from facegan.sizes import at_once

SIDE = 16  # pixels at which pictures are compared
NEIGHBORS = 5
EXPECTED = 0.05  # share of held-out pictures that count as copies, which sets the threshold
ENOUGH = 20  # held-out pictures, for such a share to be one
BATCH = 2048


@dataclass(frozen=True)
class Nearest:
    """Of m pictures ``distance`` float32 [m, k] to the nearest k training pictures and their ``index`` int64 [m, k]."""

    distance: torch.Tensor
    index: torch.Tensor

    @property
    def closeness(self) -> torch.Tensor:
        """float32 [m]: distance to the nearest over the mean of the others'; near 0 for a copy.

        A blurred or common face is near to many pictures, and has a ratio near 1 for all that (cf. Carlini et al.,
        2023, section 4.2, on ratios to several neighbours).
        """
        return self.distance[:, 0] / self.distance[:, 1:].mean(1).clamp_min(1e-6)


def nearest(images: Pictures, train: Pictures, compute: Compute = HERE) -> Nearest:
    """Of uint8 ``images`` [m, h, w, 3] in ``train`` [n, h, w, 3] or its mirror images, seen at 16x16.

    Raises ValueError for fewer than six training pictures.
    """
    if len(train) <= NEIGHBORS:
        raise ValueError(f"nearest neighbours need at least {NEIGHBORS + 1} training pictures, there are {len(train)}")
    wanted = _small(images, slice(0, len(images)), compute.device).flatten(1)

    def work(start: int) -> dict[str, torch.Tensor]:
        small = _small(train, slice(start, min(start + BATCH, len(train))), compute.device)
        found = torch.minimum(
            squared_distances(wanted, small.flatten(1)), squared_distances(wanted, small.flip(3).flatten(1))
        ).topk(min(NEIGHBORS + 1, len(small)), largest=False)
        return {"squares": found.values, "index": found.indices + start}

    squares, index = torch.empty(len(images), 0), torch.empty(len(images), 0, dtype=torch.int64)
    for found in compute.processes.share(range(0, len(train), BATCH), work):
        squares, index = (torch.cat(both, 1) for both in ((squares, found["squares"]), (index, found["index"])))
        best = squares.topk(min(NEIGHBORS + 1, squares.shape[1]), largest=False)
        squares, index = best.values, index.gather(1, best.indices)
    return Nearest(squares.sqrt(), index)


def memorized(generated: Nearest, held_out: Nearest) -> Share:
    """Share of generated pictures that are closer to one training picture than all but 5 % of held-out pictures are.

    0.05 is what held-out pictures themselves have, by this definition: a generator that knows no training picture
    better than they do has about as much.
    """
    return Share.of(generated.closeness < held_out.closeness.quantile(EXPECTED))


def leaning(to_train: torch.Tensor, to_held_out: torch.Tensor, train: int, held_out: int) -> Share:
    """How much more rarely the nearest picture is a held-out one than by chance: 0 as rarely, 1 never.

    Of the distances float [m] of pictures to the nearest of ``train`` training pictures and of ``held_out`` others (cf.
    the privacy loss of Yale et al., 2020): 0 is a generator that knows what it was trained on no better than what it
    never saw. It sees what memorization does not, a leaning without copies.
    """
    unseen = (1 + (to_train - to_held_out).sign()) / 2  # a half where they are equal
    return Share.of(1 - unseen * (train + held_out) / held_out)


def _small(images: Pictures, places: slice, device: torch.device) -> torch.Tensor:
    """float32 [n, 3, 16, 16] about 0, in grey levels; a few at a time, as they are large before."""
    parts = []
    step = at_once((images.shape[1], images.shape[2]))
    for start in range(places.start, places.stop, step):
        planes = images[start : min(start + step, places.stop)].to(device).permute(0, 3, 1, 2).to(torch.float32) - 127.5
        parts.append(functional.interpolate(planes, (SIDE, SIDE), mode="area"))
    return torch.cat(parts)
