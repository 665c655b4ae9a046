"""Resampling against scipy's upfirdn, spectral norm against a singular value decomposition."""

import numpy as np
import pytest
import torch
from scipy import linalg, signal
from torch import nn
from torch.nn import functional

from facegan.networks.blocks import (
    BLUR,
    Upsample,
    doubling,
    downsample,
    iterate_spectral_norms,
    settle_spectral_norms,
    spectral_norm,
    weight_of,
    widths,
)


def upfirdn(picture: np.ndarray, taps: tuple[int, ...], up: int, down: int, before: int, after: int) -> np.ndarray:
    """StyleGAN2's upfirdn2d on [h, w]: zeros between, zeros around, a filter of sum 1, every ``down``-th pixel."""
    filtered = picture
    for _ in range(2):
        rows = []
        for row in filtered:
            wide = np.zeros(len(row) * up)
            wide[::up] = row
            wide = np.pad(wide, (before, after))
            kernel = np.asarray(taps, float) / sum(taps) * up
            full = signal.upfirdn(kernel, wide, 1, 1)
            rows.append(full[len(taps) - 1 : len(wide)][::down])  # only where the filter is inside
        filtered = np.stack(rows).T
    return filtered


@pytest.mark.parametrize("taps", [BLUR, (1, 2, 1)])
def test_upsampling_is_upfirdn(taps: tuple[int, ...]) -> None:
    picture = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    enlarged = Upsample(taps)(picture)
    size = len(taps)
    for channel, expected in zip(enlarged[1], picture[1], strict=True):
        theirs = upfirdn(expected.numpy(), taps, 2, 1, (size + 1) // 2, (size - 2) // 2)
        np.testing.assert_allclose(channel.numpy(), theirs, atol=1e-7)


@pytest.mark.parametrize("taps", [BLUR, (1, 2, 1)])
def test_downsampling_is_upfirdn(taps: tuple[int, ...]) -> None:
    picture = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    reduced = downsample(taps)(picture)
    assert reduced.shape == (2, 3, 4, 3)
    size = len(taps)
    for channel, expected in zip(reduced[1], picture[1], strict=True):
        theirs = upfirdn(expected.numpy(), taps, 1, 2, (size - 1) // 2, (size - 2) // 2)
        np.testing.assert_allclose(channel.numpy(), theirs, atol=1e-7)


def test_a_flat_picture_stays_flat_away_from_the_border() -> None:
    flat = torch.ones(1, 2, 8, 8)
    torch.testing.assert_close(Upsample()(flat)[:, :, 2:-2, 2:-2], torch.ones(1, 2, 12, 12))
    torch.testing.assert_close(downsample()(flat)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 2, 2))


@pytest.mark.parametrize("upsample", ["transposed", "resize", "blur"])
@pytest.mark.parametrize("bias", [True, False])
def test_doubling_doubles(upsample: str, bias: bool) -> None:
    layer = doubling(3, 5, upsample, bias)
    assert layer(torch.randn(2, 3, 4, 6)).shape == (2, 5, 8, 12)
    assert any(name.endswith("bias") for name, _ in layer.named_parameters()) == bias


def test_widths_double_at_every_halving_up_to_a_most() -> None:
    assert widths(64, 512, 6) == [512, 512, 512, 256, 128, 64]


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    source = torch.Generator().manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.Flatten(), nn.Linear(32, 1))
    plain = [layer.weight.detach().clone() for layer in (network[0], network[2])]
    spectral_norm(network)
    settle_spectral_norms(network, source)
    settled = [value.clone() for value in network.buffers()]
    network.train()(torch.randn(2, 3, 4, 4, generator=source))
    assert all(map(torch.equal, network.buffers(), settled))  # a forward pass changes nothing
    for _ in range(60):
        iterate_spectral_norms(network)
    for layer, weight in zip((network[0], network[2]), plain, strict=True):
        assert torch.equal(weight_of(layer), weight)
        largest = linalg.svdvals(weight.flatten(1).numpy())[0]
        torch.testing.assert_close(layer.weight.detach(), weight / largest, rtol=1e-4, atol=1e-6)


def test_settled_norms_are_near_from_the_start_and_come_from_the_source() -> None:
    values = []
    for number in (1, 1, 2):
        torch.manual_seed(len(values))
        layer = nn.Sequential(nn.Conv2d(3, 8, 4))
        nn.init.normal_(layer[0].weight, generator=torch.Generator().manual_seed(0))
        spectral_norm(layer)
        settle_spectral_norms(layer, torch.Generator().manual_seed(number))
        values.append(layer.eval()[0].weight.detach().clone())
        assert functional.normalize(values[-1].flatten(1), dim=1).isfinite().all()
        assert linalg.svdvals(values[-1].flatten(1).numpy())[0] == pytest.approx(1, rel=0.02)
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])
