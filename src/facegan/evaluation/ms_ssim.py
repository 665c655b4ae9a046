"""How alike the pictures of a set are: multi-scale structural similarity of its pairs."""

import torch
from torch.nn import functional

from facegan.sharing import HERE, Compute
from facegan.sizes import at_once

WINDOW, SIGMA = 11, 1.5  # pixels
BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first (Wang et al., 2003)


def ms_ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Multi-scale SSIM (Wang et al., 2003) of each pair of uint8 [n, height, width, 3]: float64 [n], 1 for the same.

    As many of the five scales as keep the window inside the picture: 2 at 32 pixels, 3 at 64, 4 at 128, 5 at 256, with
    weights that add up to 1. A negative contrast term counts as 0.
    """
    count = at_once((a.shape[1], a.shape[2]))
    return torch.cat([_batch(x, y) for x, y in zip(a.split(count), b.split(count), strict=True)])


def pair_similarity(images: torch.Tensor, compute: Compute = HERE) -> torch.Tensor:
    """float64 [n // 2]: MS-SSIM of consecutive pictures, two by two; diversity is a low mean (Odena et al., 2017)."""

    def work(part: slice) -> torch.Tensor:
        pairs = images[part].to(compute.device)
        return ms_ssim(pairs[::2], pairs[1::2])

    return compute.rows(len(images) // 2 * 2, 2 * at_once((images.shape[1], images.shape[2])), work)


def scales(size: int) -> int:
    """How many a picture has whose shorter side is ``size`` pixels."""
    return sum(size >> scale >= WINDOW for scale in range(len(BETAS)))


def _batch(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    x, y = (images.permute(0, 3, 1, 2).to(torch.float32) / 255 for images in (a, b))
    shorter = min(x.shape[2:])
    count = scales(shorter)
    if not count:
        raise ValueError(f"a picture of {shorter} pixels is smaller than the window of {WINDOW}")
    total = sum(BETAS[:count])
    result = torch.ones(len(x), dtype=torch.float64, device=x.device)
    for scale in range(count):
        similarity, contrast = _ssim(x, y)
        last = scale == count - 1
        term = (similarity if last else contrast).mean((1, 2, 3)).double()
        result *= term.clamp_min(0) ** (BETAS[scale] / total)
        if not last:
            x, y = functional.avg_pool2d(x, 2), functional.avg_pool2d(y, 2)
    return result


def _ssim(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of the similarity, and of its part without brightness."""
    mean_x, mean_y, square_x, square_y, product = _window(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
    variance = square_x - mean_x.square() + square_y - mean_y.square()
    contrast = (2 * (product - mean_x * mean_y) + 0.03**2) / (variance + 0.03**2)
    return contrast * (2 * mean_x * mean_y + 0.01**2) / (mean_x.square() + mean_y.square() + 0.01**2), contrast


def _window(planes: torch.Tensor) -> torch.Tensor:
    """Weighted means in a Gaussian window, where it lies inside: float [..., h, w] to [..., h - 10, w - 10]."""
    down, right = (_weights(side, planes.device) for side in planes.shape[-2:])
    return down @ planes @ right.T  # as matrices: far faster than as convolutions


def _weights(side: int, device: torch.device) -> torch.Tensor:
    """float [side - 10, side]: those of every place of the window along a line of pixels."""
    offsets = torch.arange(side, device=device) - torch.arange(side - WINDOW + 1, device=device)[:, None]
    weights = torch.exp(-((offsets - WINDOW // 2) ** 2) / (2 * SIGMA**2)) * ((offsets >= 0) & (offsets < WINDOW))
    return weights / weights.sum(1, keepdim=True)
