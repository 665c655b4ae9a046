"""Sliced Wasserstein distance between the patches of two sets of pictures, at every scale (Karras et al., 2018)."""

import numpy as np
import torch
from torch.nn import functional

from facegan.randomness import generator
from facegan.sharing import HERE, Compute, in_steps
from facegan.sizes import at_once

SMALLEST = 16  # pixels: the coarsest level
PATCH = 7  # pixels
PATCHES = 32_768  # of each level and set, in all
OF_A_PICTURE = 128  # of them at most, as in the paper
DIRECTIONS = 128


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Of pictures, the finest first."""
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * SMALLEST:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


class Slices:
    """Where patches are cut and which way they are projected, the same for every set of ``count`` pictures.

    Patches of a level are normalised channel by channel, over the set. So neither brightness nor contrast is seen,
    but at the coarsest level's edges.
    """

    def __init__(self, count: int, height: int, width: int, seed: int) -> None:
        self.sizes = level_sizes(height, width)
        self._per_picture = min(OF_A_PICTURE, max(1, PATCHES // count))
        source = generator(seed, "sliced wasserstein")
        self._corners = [
            torch.stack(
                [torch.randint(side - PATCH + 1, (count, self._per_picture), generator=source) for side in sides]
            )
            for sides in self.sizes
        ]
        directions = torch.randn((len(self.sizes), PATCH * PATCH * 3, DIRECTIONS), generator=source)
        self._directions = directions / directions.norm(dim=1, keepdim=True)

    def cut(self, images: torch.Tensor, compute: Compute = HERE) -> list[torch.Tensor]:
        """Projected patches of every level of uint8 [count, height, width, 3]: float32 [directions, count, patches]."""

        def work(part: slice) -> dict[str, torch.Tensor]:
            batch = images[part].to(compute.device).permute(0, 3, 1, 2).to(torch.float32)
            pyramid = laplacian_pyramid(batch, len(self.sizes))
            return {
                str(level): _patches(planes, *corners[:, part].to(compute.device))
                for level, (planes, corners) in enumerate(zip(pyramid, self._corners, strict=True))
            }

        cut = list(compute.processes.share(in_steps(len(images), at_once((images.shape[1], images.shape[2]))), work))
        return [
            _project(
                torch.cat([part[str(level)] for part in cut]).to(compute.device), directions.to(compute.device)
            ).view(DIRECTIONS, len(images), -1)
            for level, directions in enumerate(self._directions)
        ]


def quantiles(projected: torch.Tensor) -> torch.Tensor:
    """Sorted float32 [directions, patches] of [directions, pictures, patches]."""
    rows = projected.flatten(1)
    if rows.device.type == "cpu":  # numpy's vectorised sort is ten times torch's
        return torch.from_numpy(np.sort(rows.numpy(), axis=1))
    return rows.sort(dim=1).values


def sliced_wasserstein(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Distances between ``quantiles``, in standard deviations of the patches times a thousand: float64 [directions].

    Where there are more real patches, as many of their quantiles as there are generated ones are taken.
    """
    if real.shape != fake.shape:
        places = (torch.arange(fake.shape[1], device=real.device) + 0.5) * (real.shape[1] / fake.shape[1])
        real = real[:, places.long()]
    return 1000 * (real - fake).abs_().mean(1).double()


def laplacian_pyramid(images: torch.Tensor, levels: int) -> list[torch.Tensor]:
    """Float [n, 3, h, w] as differences to the next smaller level, and the smallest itself (Burt & Adelson, 1983)."""
    pyramid = []
    for _ in range(levels - 1):
        down, right = (_blur(side, images.device) for side in images.shape[2:])
        smaller = down[::2] @ images @ right[::2].T
        pyramid.append(images - 2 * down[:, ::2] @ smaller @ (2 * right[:, ::2]).T)
        images = smaller
    return [*pyramid, images]


def _blur(size: int, device: torch.device) -> torch.Tensor:
    """[1, 4, 6, 4, 1] / 16 along lines that are mirrored at their ends; a matrix is far faster than a convolution."""
    lines = torch.eye(size, device=device)[:, None]
    taps = torch.tensor([[[1.0, 4.0, 6.0, 4.0, 1.0]]], device=device) / 16
    return functional.conv1d(functional.pad(lines, (2, 2), mode="reflect"), taps)[:, 0].T


def _patches(planes: torch.Tensor, top: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    """[n * p, 3, 7, 7] of float [n, 3, h, w], with corners int64 [n, p]."""
    inside = torch.arange(PATCH, device=planes.device)
    rows = (top[..., None] + inside)[:, :, :, None]
    columns = (left[..., None] + inside)[:, :, None, :]
    picture = torch.arange(len(planes), device=planes.device)[:, None, None, None]
    return planes.permute(0, 2, 3, 1)[picture, rows, columns].flatten(0, 1).permute(0, 3, 1, 2)


def _project(patches: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    deviation, mean = torch.std_mean(patches, dim=(0, 2, 3), keepdim=True, correction=0)
    normalised = (patches - mean) / deviation.clamp_min(1e-6)
    return (normalised.flatten(1) @ directions).T.contiguous()
