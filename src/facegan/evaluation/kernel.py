"""Kernel distance (KID): squared maximum mean discrepancy under a cubic kernel (Binkowski et al., 2018)."""

from dataclasses import dataclass

import torch

from facegan.randomness import generator

SUBSETS, SUBSET_SIZE = 100, 1000


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation over random subsets; unbiased, so it may be a little below zero."""

    mean: float
    std: float
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
    return KernelDistance(float(result.mean()), float(result.std(correction=0)), size)


def _unbiased(x: torch.Tensor, y: torch.Tensor) -> float:
    size, dimensions = x.shape

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a @ b.T / dimensions + 1).pow(3).double()

    def off_diagonal(matrix: torch.Tensor) -> torch.Tensor:
        return (matrix.sum() - matrix.diagonal().sum()) / (size * (size - 1))

    return float(off_diagonal(kernel(x, x)) + off_diagonal(kernel(y, y)) - 2 * kernel(x, y).mean())
