"""Kernel distance (KID): squared maximum mean discrepancy under a cubic kernel (Binkowski et al., 2018)."""

from dataclasses import dataclass

import torch

from facegan.evaluation.spread import groups, jackknife
from facegan.randomness import generator
from facegan.sharing import HERE, Compute, in_steps

SUBSETS, SUBSET_SIZE = 100, 1000
MOST, ROWS = 5000, 512  # features a side whose spread is looked at, and as many of them at a time


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation over random subsets; unbiased, so it may be a little below zero.

    ``error`` is the standard error over the generated pictures: the spread of subsets is wider, as they are smaller.
    """

    mean: float
    std: float
    error: float | None
    subset_size: int


def kernel_distance(real: torch.Tensor, fake: torch.Tensor, seed: int, compute: Compute = HERE) -> KernelDistance:
    """Between features float [n, d] and [m, d]: 100 subsets of at most 1,000, kernel (x.y / d + 1)^3.

    A subset holds at most half of the smaller side, so that subsets differ and their spread means something. Raises
    ValueError for fewer than two samples on a side.
    """
    smaller = min(len(real), len(fake))
    size = min(SUBSET_SIZE, max(2, smaller // 2))
    if smaller < 2:
        raise ValueError("a kernel distance needs at least 2 samples on each side")
    source = generator(seed, "kernel subsets")
    subsets = [
        tuple(torch.randperm(len(side), generator=source)[:size] for side in (real, fake)) for _ in range(SUBSETS)
    ]
    x, y = real.to(compute.device), fake.to(compute.device)

    def work(few: slice) -> torch.Tensor:
        return torch.stack([_unbiased(x[ours.to(x.device)], y[theirs.to(y.device)]) for ours, theirs in subsets[few]])

    result = compute.rows(SUBSETS, 5, work)
    return KernelDistance(float(result.mean()), float(result.std(correction=0)), _error(x, y, compute), size)


def _error(real: torch.Tensor, fake: torch.Tensor, compute: Compute) -> float | None:
    """Of the distance between all features, at most 5,000 a side, by leaving out a tenth of the generated ones."""
    x, y = real[:MOST], fake[:MOST]
    group = torch.nn.functional.one_hot(groups(len(y))).double()  # [m, groups]
    sizes = group.sum(0)
    group = group.to(y.device)

    def work(rows: slice) -> dict[str, torch.Tensor]:
        """Sums over pairs of a few generated pictures with all others, by group."""
        inside, mine = _kernel(y[rows], y), group[rows]
        own = inside[:, rows].diagonal() @ mine
        return {"between": _kernel(y[rows], x).mean(1) @ mine, "inside": mine.T @ inside @ group, "own": own}

    found = list(compute.processes.share(in_steps(len(y), ROWS), work))
    between, inside, own = (torch.stack([part[name] for part in found]).sum(0) for name in ("between", "inside", "own"))

    def without(number: int) -> float:
        kept = torch.arange(len(sizes)) != number
        count = sizes[kept].sum()
        pairs = inside[kept][:, kept].sum() - own[kept].sum()
        return float(pairs / (count * (count - 1)) - 2 * between[kept].sum() / count)

    return jackknife(len(y), without)


def _unbiased(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    size = len(x)

    def off_diagonal(matrix: torch.Tensor) -> torch.Tensor:
        return (matrix.sum() - matrix.diagonal().sum()) / (size * (size - 1))

    return off_diagonal(_kernel(x, x)) + off_diagonal(_kernel(y, y)) - 2 * _kernel(x, y).mean()


def _kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a @ b.T / a.shape[1] + 1).pow(3).double()
