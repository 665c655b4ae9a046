"""The colours of two sets of pictures, whatever they show."""

import torch

from facegan.sharing import HERE, Compute
from facegan.sizes import at_once

BINS = 8  # of each channel


def color_histograms(images: torch.Tensor, compute: Compute = HERE) -> torch.Tensor:
    """The share of each picture's pixels in 8x8x8 bins of R, G and B: float64 [n, 512] of uint8 [n, h, w, 3]."""

    def work(part: slice) -> torch.Tensor:
        bins = (images[part] // (256 // BINS)).to(torch.int64).flatten(1, 2)  # on the CPU: counts are added atomically
        codes = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]
        counts = torch.zeros((len(bins), BINS**3), dtype=torch.float64)
        return counts.scatter_add_(1, codes, torch.ones_like(codes, dtype=torch.float64)) / codes.shape[1]

    return compute.rows(len(images), at_once((images.shape[1], images.shape[2])), work)


def color_distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    """Share of pixels that would have to change colour: half the L1 distance between the mean histograms (0 to 1).

    The intersection of histograms (Swain & Ballard, 1991) is 1 less this. ``real`` and ``fake`` float64 [n, 512].
    """
    return float((real.mean(0) - fake.mean(0)).abs().sum() / 2)
