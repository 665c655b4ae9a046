"""Kernel distance (KID): squared maximum mean discrepancy under a cubic kernel (Binkowski et al., 2018)."""

from dataclasses import dataclass

import torch

from facegan.evaluation.spread import groups, jackknife
from facegan.randomness import generator

SUBSETS, SUBSET_SIZE = 100, 1000
MOST = 5000  # features a side whose spread is looked at


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation over random subsets; unbiased, so it may be a little below zero.

    ``error`` is the standard error over the generated pictures: the spread of subsets is wider, as they are smaller.
    """

    mean: float
    std: float
    error: float | None
    subset_size: int


def kernel_distance(real: torch.Tensor, fake: torch.Tensor, seed: int) -> KernelDistance:
    """Between features float [n, d] and [m, d]: 100 subsets of at most 1,000, kernel (x.y / d + 1)^3.

    A subset holds at most half of the smaller side, so that subsets differ and their spread means something. Raises
    ValueError for fewer than two samples on a side.
    """
    smaller = min(len(real), len(fake))
    size = min(SUBSET_SIZE, max(2, smaller // 2))
    if smaller < 2:
        raise ValueError("a kernel distance needs at least 2 samples on each side")
    source = generator(seed, "kernel subsets")
    values = []
    for _ in range(SUBSETS):
        x = real[torch.randperm(len(real), generator=source)[:size]]
        y = fake[torch.randperm(len(fake), generator=source)[:size]]
        values.append(_unbiased(x, y))
    result = torch.tensor(values, dtype=torch.float64)
    return KernelDistance(float(result.mean()), float(result.std(correction=0)), _error(real, fake), size)


def _error(real: torch.Tensor, fake: torch.Tensor) -> float | None:
    """Of the distance between all features, at most 5,000 a side, by leaving out a tenth of the generated ones."""
    x, y = real[:MOST], fake[:MOST]
    group = torch.nn.functional.one_hot(groups(len(y))).double()  # [m, groups]
    sizes = group.sum(0)
    between = _kernel(x, y).mean(0) @ group  # summed over the pictures of each group
    inside = _kernel(y, y)
    own = inside.diagonal() @ group
    inside = group.T @ inside @ group

    def without(number: int) -> float:
        kept = torch.arange(len(sizes)) != number
        count = sizes[kept].sum()
        pairs = inside[kept][:, kept].sum() - own[kept].sum()
        return float(pairs / (count * (count - 1)) - 2 * between[kept].sum() / count)

    return jackknife(len(y), without)


def _unbiased(x: torch.Tensor, y: torch.Tensor) -> float:
    size = len(x)

    def off_diagonal(matrix: torch.Tensor) -> torch.Tensor:
        return (matrix.sum() - matrix.diagonal().sum()) / (size * (size - 1))

    return float(off_diagonal(_kernel(x, x)) + off_diagonal(_kernel(y, y)) - 2 * _kernel(x, y).mean())


def _kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a @ b.T / a.shape[1] + 1).pow(3).double()
