"""The pattern that upsampling leaves, seen in the spectrum."""

import torch

from facegan.sharing import HERE, Compute
from facegan.sizes import at_once


def line_spectra(images: torch.Tensor, compute: Compute = HERE) -> torch.Tensor:
    """Energy of brightness along rows and along columns, by frequency: float64 [n, 2, side / 2 + 1].

    ``images`` uint8 [n, height, width, 3]; of what is not square the middle is seen, whose ``side`` is the shorter one.
    """
    side = min(images.shape[1:3])
    top, left = ((whole - side) // 2 for whole in images.shape[1:3])

    def work(part: slice) -> torch.Tensor:
        gray = images[part, top : top + side, left : left + side].to(compute.device).double().mean(3)
        return torch.stack([torch.fft.rfft(lines).abs().square().mean(1) for lines in (gray, gray.mT)], 1)

    return compute.rows(len(images), at_once((images.shape[1], images.shape[2])), work)


def checkerboard(spectra: torch.Tensor) -> float:
    """Energy at the frequencies that upsampling leaves, over that of their neighbours; about 1 without.

    A transposed convolution repeats the spectrum of what it enlarges (Odena et al., 2016; Durall et al., 2020): its
    last two layers show as lines at a half and a quarter of the sampling frequency. Mean over both and both directions.
    """
    ratios = []
    for energy in spectra.mean(0) + 1e-6:  # pictures of one colour have none anywhere, and no pattern
        half, quarter = len(energy) - 1, (len(energy) - 1) // 2
        beside = ([half - 2, half - 1], [quarter - 2, quarter - 1, quarter + 1, quarter + 2])
        ratios += [energy[at] / energy[near].mean() for at, near in zip((half, quarter), beside, strict=True)]
    return float(torch.stack(ratios).mean())
