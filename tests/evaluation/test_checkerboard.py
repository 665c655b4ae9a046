"""Upsampling with zeros shows in the spectrum, smooth upsampling does not."""

import pytest
import torch
from torch.nn import functional

from facegan.evaluation.checkerboard import checkerboard, line_spectra


def enlarged(images: torch.Tensor, mode: str) -> torch.Tensor:
    """At half the size, and made as large again."""
    planes = functional.avg_pool2d(images.permute(0, 3, 1, 2).float(), 2)
    if mode == "zeros":  # what a transposed convolution starts from
        large = torch.zeros(len(planes), 3, 64, 64)
        large[:, :, ::2, ::2] = planes
        large = functional.avg_pool2d(functional.pad(large, (1, 1, 1, 1)), 3, 1) * 4
    else:
        large = functional.interpolate(planes, scale_factor=2, mode=mode)
    return large.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def energy(images: torch.Tensor) -> float:
    return checkerboard(line_spectra(images))


def test_it_sees_zeros_between_pixels_and_not_smooth_enlarging(faces: torch.Tensor) -> None:
    real = energy(faces)
    assert energy(enlarged(faces, "zeros")) > 3 * real
    assert energy(enlarged(faces, "bilinear")) < 1.5 * real
    assert energy(enlarged(faces, "nearest")) < 0.7 * real  # a notch
    noise = torch.randint(0, 256, (200, 64, 64, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert energy(noise) == pytest.approx(1, abs=0.1)
