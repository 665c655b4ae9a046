"""The sliced Wasserstein distance is scipy's, slice by slice, on patches that can be cut by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from scipy.stats import wasserstein_distance
from torch.nn import functional

from facegan.evaluation import sliced_wasserstein as module
from facegan.evaluation.sliced_wasserstein import (
    DIRECTIONS,
    PATCH,
    Slices,
    laplacian_pyramid,
    level_sizes,
    quantiles,
    sliced_wasserstein,
)


def distance(real: torch.Tensor, fake: torch.Tensor) -> list[float]:
    slices = Slices(len(real), *real.shape[1:3], 1)
    return [
        float(sliced_wasserstein(quantiles(a), quantiles(b)).mean())
        for a, b in zip(slices.cut(real), slices.cut(fake), strict=True)
    ]


def test_levels_end_at_sixteen_pixels_or_a_few_more() -> None:
    found = {
        side: [height for height, width in level_sizes(side, side) if height == width] for side in (32, 64, 96, 256)
    }
    assert found == {32: [32, 16], 64: [64, 32, 16], 96: [96, 48, 24], 256: [256, 128, 64, 32, 16]}
    assert level_sizes(128, 96) == [(128, 96), (64, 48), (32, 24)]


def test_pictures_that_are_not_square_have_a_distance_too() -> None:
    source = torch.Generator().manual_seed(0)
    real, fake = (torch.randint(0, 256, (100, 48, 32, 3), dtype=torch.uint8, generator=source) for _ in range(2))
    blurred = real.float().view(100, 24, 2, 16, 2, 3).mean((2, 4)).repeat_interleave(2, 1).repeat_interleave(2, 2)
    near, far = distance(real, fake), distance(real, blurred.to(torch.uint8))
    assert len(near) == 2 and near[0] < 0.5 * far[0]


def test_a_pyramid_of_a_picture_is_that_of_its_transpose_transposed() -> None:
    image = torch.rand((2, 3, 48, 32), generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(laplacian_pyramid(image, 2), laplacian_pyramid(image.mT, 2), strict=True):
        torch.testing.assert_close(ours, theirs.mT)


def test_a_pyramid_is_blurred_halved_and_what_that_lost() -> None:
    image = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    fine, coarse = laplacian_pyramid(image, 2)
    taps = np.array([1, 4, 6, 4, 1]) / 16

    def blur(planes: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(planes, taps, axis=2, mode="mirror"), taps, axis=3, mode="mirror")

    smaller = blur(image.numpy())[..., ::2, ::2]
    spread = np.zeros_like(image.numpy())
    spread[..., ::2, ::2] = 4 * smaller
    np.testing.assert_allclose(coarse.numpy(), smaller, atol=1e-6)
    np.testing.assert_allclose(fine.numpy(), image.numpy() - blur(spread), atol=1e-6)


def test_every_slice_is_scipys_wasserstein_distance(faces: torch.Tensor) -> None:
    slices = Slices(80, 64, 64, 1)
    a, b = slices.cut(faces[:80])[0], slices.cut(faces[80:])[0]
    expected = [
        wasserstein_distance(a[place].flatten().numpy(), b[place].flatten().numpy()) for place in range(DIRECTIONS)
    ]
    assert float(sliced_wasserstein(quantiles(a), quantiles(b)).mean()) == pytest.approx(
        1000 * np.mean(expected), rel=1e-5
    )


def test_patches_are_cut_normalised_and_projected(faces: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATCHES", 60)
    slices = Slices(20, 64, 64, 3)
    planes = laplacian_pyramid(faces[:20].permute(0, 3, 1, 2).float(), 3)[1]
    unfolded = functional.unfold(planes, PATCH).view(20, 3 * PATCH * PATCH, 26, 26)
    top, left = slices._corners[1]
    patches = torch.stack([unfolded[i, :, top[i, j], left[i, j]] for i in range(20) for j in range(3)])
    patches = patches.view(60, 3, -1)
    patches = (patches - patches.mean((0, 2), keepdim=True)) / patches.std((0, 2), keepdim=True, correction=0)
    expected = (patches.flatten(1) @ slices._directions[1]).T.view(DIRECTIONS, 20, 3)
    torch.testing.assert_close(slices.cut(faces[:20])[1], expected, rtol=1e-3, atol=1e-4)


def test_blur_shows_at_the_finest_level_first_and_brightness_is_not_seen(faces: torch.Tensor) -> None:
    real, other = faces[:80], faces[80:]
    floor = distance(real, other)
    planes = other.permute(0, 3, 1, 2).float()
    blurred = functional.avg_pool2d(planes, 3, 1, 1).to(torch.uint8).permute(0, 2, 3, 1)
    found = [value / least for value, least in zip(distance(real, blurred), floor, strict=True)]
    assert found[0] > 3 and found[0] > 2 * found[2]
    darker = distance(real, (other.float() * 0.8).to(torch.uint8))
    assert all(value < 1.4 * least for value, least in zip(darker, floor, strict=True))


def test_fewer_patches_are_held_against_as_many_quantiles() -> None:
    source = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn((4, 1000), generator=source).sort(1).values,
        torch.randn((4, 900), generator=source).sort(1).values,
    )
    expected = np.mean([wasserstein_distance(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True)])
    assert float(sliced_wasserstein(a, b).mean()) == pytest.approx(1000 * expected, rel=0.05)
