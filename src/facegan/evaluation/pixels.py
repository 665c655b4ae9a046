"""Scores of pictures as they are, with no network between: detail, diversity, colour, copies, upsampling."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from facegan.evaluation.checkerboard import checkerboard, line_spectra
from facegan.evaluation.color import color_distance, color_histograms
from facegan.evaluation.memorization import ENOUGH, NEIGHBORS, Nearest, leaning, memorized, nearest
from facegan.evaluation.ms_ssim import pair_similarity
from facegan.evaluation.neighbors import Share
from facegan.evaluation.sliced_wasserstein import Slices, quantiles, sliced_wasserstein
from facegan.evaluation.spread import entry, groups, jackknife
from facegan.randomness import generator

MOST = 5000  # pictures a side: the scores no longer move, and memory stays small at 256 pixels


@dataclass(frozen=True)
class RealPictures:
    """uint8 [n, size, size, 3] each: two disjoint sets of equal size for the floor, and the two splits."""

    first: torch.Tensor
    second: torch.Tensor
    train: torch.Tensor
    held_out: torch.Tensor

    @classmethod
    def of(cls, train: torch.Tensor, held_out: torch.Tensor, n: int, seed: int) -> "RealPictures":
        """With at most ``n`` a side, drawn from both splits. Raises ValueError for fewer than two a side."""
        count = len(train) + len(held_out)
        n = min(n, MOST, count // 2)
        if n < 2:
            raise ValueError(f"{count} real pictures are too few; a score with its floor needs at least 4")
        order = torch.randperm(count, generator=generator(seed, "pixel scores"))
        first, second = (_chosen(train, held_out, order[start : start + n]) for start in (0, n))
        return cls(first, second, train, held_out)


def _chosen(train: torch.Tensor, held_out: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Pictures at ``places`` of both splits, one behind the other: neither is copied whole."""
    inside = places < len(train)
    return torch.cat([train[places[inside]], held_out[places[~inside] - len(train)]])


def pixel_scores(real: RealPictures, fake: torch.Tensor, seed: int) -> dict[str, dict[str, Any]]:
    """Every score of uint8 ``fake`` [m, size, size, 3] that needs no network, each with spread, floor and count."""
    fake = fake[: len(real.first)]
    first, second = real.first[: len(fake)], real.second[: len(fake)]
    return {name: score(first, second, fake, seed) for name, score in PIXEL_SCORES.items()}


def copies(real: RealPictures, fake: torch.Tensor) -> tuple[Nearest, dict[str, dict[str, Any]]] | None:
    """The training pictures nearest to each of uint8 ``fake`` [m, size, size, 3], and what they say of copying.

    None where there are too few training pictures, or too few held-out ones to judge by.
    """
    if len(real.train) <= NEIGHBORS or len(real.held_out) < ENOUGH:
        return None
    found = nearest(fake, real.train)
    unseen = real.held_out[:: -(-len(real.held_out) // MOST)]
    held_out = nearest(unseen, real.train)
    floor = memorized(held_out, held_out)
    among = nearest(unseen, unseen).distance[:, 1]  # the nearest is itself
    floor_gap = leaning(held_out.distance[:, 0], among, len(real.train), len(unseen) - 1)
    to_unseen = nearest(fake, unseen).distance[:, 0]
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


def _sliced_wasserstein(first: torch.Tensor, second: torch.Tensor, fake: torch.Tensor, seed: int) -> dict[str, Any]:
    slices = Slices(len(fake), fake.shape[1], seed)
    of_first, of_second = ([quantiles(level) for level in slices.cut(images)] for images in (first, second))
    of_fake = slices.cut(fake)
    group = groups(len(fake)).to(fake.device)

    def without(number: int) -> float:
        kept = [quantiles(level[:, group != number]) for level in of_fake]
        return _mean([sliced_wasserstein(real, other) for real, other in zip(of_first, kept, strict=True)])

    values = [sliced_wasserstein(real, quantiles(level)) for real, level in zip(of_first, of_fake, strict=True)]
    floors = [sliced_wasserstein(real, other) for real, other in zip(of_first, of_second, strict=True)]
    levels = {f"at_{size}": value for size, value in zip(slices.sizes, values, strict=True)}
    levels |= {f"floor_at_{size}": floor for size, floor in zip(slices.sizes, floors, strict=True)}
    std = jackknife(len(fake), without)
    return entry(_mean(values), std, _mean(floors), None, len(fake), **levels)


def _similarity(first: torch.Tensor, second: torch.Tensor, fake: torch.Tensor, seed: int) -> dict[str, Any]:
    of_fake, of_first = (Share.of(pair_similarity(images)) for images in (fake, first))
    return entry(of_fake.value, of_fake.std, of_first.value, of_first.std, len(fake))


def _color(first: torch.Tensor, second: torch.Tensor, fake: torch.Tensor, seed: int) -> dict[str, Any]:
    of_first, of_second, of_fake = (color_histograms(images) for images in (first, second, fake))
    group = groups(len(fake)).to(fake.device)
    std = jackknife(len(fake), lambda number: color_distance(of_first, of_fake[group != number]))
    return entry(color_distance(of_first, of_fake), std, color_distance(of_first, of_second), None, len(fake))


def _checkerboard(first: torch.Tensor, second: torch.Tensor, fake: torch.Tensor, seed: int) -> dict[str, Any]:
    of_first, of_fake = line_spectra(first), line_spectra(fake)
    group = groups(len(fake)).to(fake.device)

    def spread(spectra: torch.Tensor) -> float | None:
        return jackknife(len(spectra), lambda number: checkerboard(spectra[group != number]))

    return entry(checkerboard(of_fake), spread(of_fake), checkerboard(of_first), spread(of_first), len(fake))


# By name, of uint8 pictures: real ones, others of those for the floor, generated ones; and a seed.
PIXEL_SCORES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], dict[str, Any]]] = {
    "sliced_wasserstein": _sliced_wasserstein,
    "ms_ssim": _similarity,
    "color_distance": _color,
    "checkerboard_energy": _checkerboard,
}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
