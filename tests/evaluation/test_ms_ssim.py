"""MS-SSIM is made of torchmetrics' SSIM, scale by scale, and similar pairs are similar."""

import pytest
import torch
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

from evaluation.doubles import noise
from facegan.evaluation.ms_ssim import BETAS, ms_ssim, pair_similarity, scales


def published(a: torch.Tensor, b: torch.Tensor, count: int) -> torch.Tensor:
    """With windows inside the picture at every scale (torchmetrics' own mirrors the edges at the coarsest)."""
    x, y = (images.permute(0, 3, 1, 2).float() / 255 for images in (a, b))
    betas = torch.tensor(BETAS[:count]) / sum(BETAS[:count])
    result = torch.ones(len(a))
    for scale, beta in enumerate(betas):
        if scale < count - 1:
            _, term = ssim(x, y, data_range=1.0, reduction="none", return_contrast_sensitivity=True)
        else:
            _, full = ssim(x, y, data_range=1.0, reduction="none", return_full_image=True)
            term = full[..., 5:-5, 5:-5].mean((1, 2, 3))
        result *= term.relu() ** beta
        x, y = functional.avg_pool2d(x, 2), functional.avg_pool2d(y, 2)
    return result


def test_pictures_that_are_not_square_are_scored_by_the_same_formula() -> None:
    a, b = (noise(3, seed, 96)[:, :, :64] for seed in (1, 2))
    blurred = (0.7 * a.float() + 0.3 * b.float()).to(torch.uint8)
    torch.testing.assert_close(ms_ssim(a, blurred), published(a, blurred, 3).double(), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("size", "count"), [(32, 2), (64, 3), (128, 4), (256, 5), (96, 4)])
def test_it_is_made_of_torchmetrics_ssim(faces: torch.Tensor, size: int, count: int) -> None:
    assert scales(size) == count
    planes = functional.interpolate(faces[:6].permute(0, 3, 1, 2).float(), (size, size), mode="bicubic")
    pictures = planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    noisy = (
        (pictures.float() + 30 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0)))
        .clamp(0, 255)
        .to(torch.uint8)
    )
    for a, b in ((pictures, noisy), (pictures[:3], pictures[3:])):
        torch.testing.assert_close(ms_ssim(a, b), published(a, b, count).double(), rtol=2e-4, atol=2e-5)


def test_the_same_picture_is_one_and_pairs_are_consecutive(faces: torch.Tensor) -> None:
    torch.testing.assert_close(ms_ssim(faces[:3], faces[:3]), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-5)
    torch.testing.assert_close(pair_similarity(faces[:7]), ms_ssim(faces[:6:2], faces[1:6:2]))


def test_flat_pictures_have_no_contrast_to_differ_in() -> None:
    black, white = torch.zeros((1, 32, 32, 3), dtype=torch.uint8), torch.full((1, 32, 32, 3), 255, dtype=torch.uint8)
    assert ms_ssim(black, black).item() == pytest.approx(1)
    assert ms_ssim(black, white).item() < 0.05


def test_pictures_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match="8 pixels is smaller than the window"):
        ms_ssim(noise(1), noise(1))
