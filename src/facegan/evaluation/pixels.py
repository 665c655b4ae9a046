"""Scores of pictures as they are, with no network between: detail, diversity, colour, copies, upsampling."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from facegan.data.stored import Pictures
from facegan.evaluation.checkerboard import checkerboard, line_spectra
from facegan.evaluation.color import color_distance, color_histograms
from facegan.evaluation.memorization import ENOUGH, NEIGHBORS, Nearest, leaning, memorized, nearest
from facegan.evaluation.ms_ssim import pair_similarity
from facegan.evaluation.neighbors import Share
from facegan.evaluation.sliced_wasserstein import DIRECTIONS, Slices, quantiles, sliced_wasserstein
from facegan.evaluation.spread import entry, groups, jackknife
from facegan.randomness import generator
from facegan.sharing import HERE, Compute, in_steps

MOST, MOST_BYTES = 5000, 2**30  # of pictures a side: the scores no longer move, and memory stays small


def most(shape: Sequence[int]) -> int:
    """How many pictures of uint8 [n, height, width, channels] are looked at: 5,000, or fewer above 256 pixels."""
    return max(2, min(MOST, MOST_BYTES // math.prod(shape[1:])))


@dataclass(frozen=True)
class RealPictures:
    """uint8 [n, h, w, 3] each: two disjoint sets of equal size for the floor, and the two splits."""

    first: torch.Tensor
    second: torch.Tensor
    train: Pictures
    held_out: Pictures

    @classmethod
    def of(cls, train: Pictures, held_out: Pictures, n: int, seed: int) -> "RealPictures":
        """With at most ``n`` a side, drawn from both splits. Raises ValueError for fewer than two a side."""
        count = len(train) + len(held_out)
        n = min(n, most(train.shape), count // 2)
        if n < 2:
            raise ValueError(f"{count} real pictures are too few; a score with its floor needs at least 4")
        order = torch.randperm(count, generator=generator(seed, "pixel scores"))
        first, second = (_chosen(train, held_out, order[start : start + n]) for start in (0, n))
        return cls(first, second, train, held_out)


def _chosen(train: Pictures, held_out: Pictures, places: torch.Tensor) -> torch.Tensor:
    """Pictures at ``places`` of both splits, one behind the other: neither is copied whole."""
    inside = places < len(train)
    return torch.cat([train[places[inside]], held_out[places[~inside] - len(train)]])


def pixel_scores(
    real: RealPictures, fake: torch.Tensor, seed: int, compute: Compute = HERE
) -> dict[str, dict[str, Any]]:
    """Every score of uint8 ``fake`` [m, h, w, 3] that needs no network, each with spread, floor and count."""
    fake = fake[: len(real.first)]
    first, second = real.first[: len(fake)], real.second[: len(fake)]
    return {name: score(first, second, fake, seed, compute) for name, score in PIXEL_SCORES.items()}


def copies(
    real: RealPictures, fake: torch.Tensor, compute: Compute = HERE
) -> tuple[Nearest, dict[str, dict[str, Any]]] | None:
    """The training pictures nearest to each of uint8 ``fake`` [m, h, w, 3], and what they say of copying.

    None where there are too few training pictures, or too few held-out ones to judge by.
    """
    if len(real.train) <= NEIGHBORS or len(real.held_out) < ENOUGH:
        return None
    found = nearest(fake, real.train, compute)
    unseen = real.held_out[:: -(-len(real.held_out) // most(fake.shape))]
    held_out = nearest(unseen, real.train, compute)
    floor = memorized(held_out, held_out)
    among = nearest(unseen, unseen, compute).distance[:, 1]  # the nearest is itself
    floor_gap = leaning(held_out.distance[:, 0], among, len(real.train), len(unseen) - 1)
    to_unseen = nearest(fake, unseen, compute).distance[:, 0]
    gap = leaning(found.distance[:, 0], to_unseen, len(real.train), len(unseen))
    return found, {
        "memorization": memorized(found, held_out).beside(
            floor,
            held_out_n=floor.n,
            closeness=float(found.closeness.median()),
            floor_closeness=float(held_out.closeness.median()),
        ),
        "generalization_gap": gap.beside(floor_gap, held_out_n=floor_gap.n),
    }


def _sliced_wasserstein(
    first: torch.Tensor, second: torch.Tensor, fake: torch.Tensor, seed: int, compute: Compute
) -> dict[str, Any]:
    height, width = fake.shape[1:3]
    slices = Slices(len(fake), height, width, seed)
    of_first, of_second, of_fake = (slices.cut(images, compute) for images in (first, second, fake))
    group = groups(len(fake)).to(compute.device)

    def work(part: tuple[int, slice]) -> dict[str, torch.Tensor]:
        """Distances of a few directions of a level: float64 [2 + groups, directions]."""
        level, directions = part
        real, other, generated = (cut[level][directions] for cut in (of_first, of_second, of_fake))
        sets = [generated, other, *(generated[:, group != number] for number in group.unique().tolist())]
        ordered = quantiles(real)
        return {"distances": torch.stack([sliced_wasserstein(ordered, quantiles(each)) for each in sets])}

    parts = [(level, few) for level in range(len(slices.sizes)) for few in in_steps(DIRECTIONS, 32)]
    found = [part["distances"] for part in compute.processes.share(parts, work)]
    per_level = torch.stack(found).unflatten(0, (len(slices.sizes), -1)).transpose(1, 2).flatten(2).mean(2)
    values, floors = per_level[:, 0].tolist(), per_level[:, 1].tolist()

    def without(number: int) -> float:
        return float(per_level[:, 2 + number].mean())

    names = [str(height) if height == width else f"{height}x{width}" for height, width in slices.sizes]
    levels = {f"at_{name}": value for name, value in zip(names, values, strict=True)}
    levels |= {f"floor_at_{name}": floor for name, floor in zip(names, floors, strict=True)}
    std = jackknife(len(fake), without)
    return entry(_mean(values), std, _mean(floors), None, len(fake), **levels)


def _similarity(
    first: torch.Tensor, second: torch.Tensor, fake: torch.Tensor, seed: int, compute: Compute
) -> dict[str, Any]:
    of_fake, of_first = (Share.of(pair_similarity(images, compute)) for images in (fake, first))
    return entry(of_fake.value, of_fake.std, of_first.value, of_first.std, len(fake))


def _color(
    first: torch.Tensor, second: torch.Tensor, fake: torch.Tensor, seed: int, compute: Compute
) -> dict[str, Any]:
    of_first, of_second, of_fake = (color_histograms(images, compute) for images in (first, second, fake))
    group = groups(len(fake))
    std = jackknife(len(fake), lambda number: color_distance(of_first, of_fake[group != number]))
    return entry(color_distance(of_first, of_fake), std, color_distance(of_first, of_second), None, len(fake))


def _checkerboard(
    first: torch.Tensor, second: torch.Tensor, fake: torch.Tensor, seed: int, compute: Compute
) -> dict[str, Any]:
    of_first, of_fake = line_spectra(first, compute), line_spectra(fake, compute)
    group = groups(len(fake))

    def spread(spectra: torch.Tensor) -> float | None:
        return jackknife(len(spectra), lambda number: checkerboard(spectra[group != number]))

    return entry(checkerboard(of_fake), spread(of_fake), checkerboard(of_first), spread(of_first), len(fake))


# By name, of uint8 pictures: real ones, others of those for the floor, generated ones; a seed; where it is done.
PIXEL_SCORES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int, Compute], dict[str, Any]]] = {
    "sliced_wasserstein": _sliced_wasserstein,
    "ms_ssim": _similarity,
    "color_distance": _color,
    "checkerboard_energy": _checkerboard,
}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
