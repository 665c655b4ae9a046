"""The fast weight gradient is PyTorch's, taken in another order, and only where it is wanted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from facegan.networks import strided
from facegan.networks.strided import DoublingConv2d, HalvingConv2d, weight_gradient


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The larger picture's shape of every gradient that is taken as a matrix product."""
    taken: list[tuple[int, ...]] = []

    def note(large: torch.Tensor, small: torch.Tensor) -> torch.Tensor:
        taken.append(tuple(large.shape))
        return weight_gradient(large, small)

    monkeypatch.setattr(strided, "weight_gradient", note)
    return taken


@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_the_product_is_the_gradient_of_both_convolutions(
    count: int, channels: int, out: int, height: int, width: int, channels_last: bool
) -> None:
    source = torch.Generator().manual_seed(height * 7 + width)
    large = torch.randn(count, channels, 2 * height, 2 * width, generator=source, dtype=torch.float64)
    small = torch.randn(count, out, height, width, generator=source, dtype=torch.float64)
    if channels_last:
        large, small = (value.contiguous(memory_format=torch.channels_last) for value in (large, small))
    weight = torch.zeros(out, channels, 4, 4, dtype=torch.float64, requires_grad=True)
    found = weight_gradient(large, small)
    (halving,) = torch.autograd.grad(functional.conv2d(large, weight, stride=2, padding=1), weight, small)
    (doubling,) = torch.autograd.grad(functional.conv_transpose2d(small, weight, stride=2, padding=1), weight, large)
    torch.testing.assert_close(found, halving)
    torch.testing.assert_close(found, doubling)


@pytest.mark.parametrize("layer", [HalvingConv2d, DoublingConv2d])
def test_a_layer_is_pytorchs_own(layer: type[nn.Module]) -> None:
    ours = layer(3, 5)
    plain = nn.Conv2d if layer is HalvingConv2d else nn.ConvTranspose2d
    theirs = plain(3, 5, 4, 2, 1, bias=False)
    assert isinstance(ours, plain)
    theirs.load_state_dict(ours.state_dict())
    pictures = torch.randn(2, 3, 8, 8)
    assert torch.equal(ours(pictures), theirs(pictures))
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled), torch.no_grad():
            assert torch.equal(ours(pictures), theirs(pictures))


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("layer", [HalvingConv2d, DoublingConv2d])
def test_bf16_gradients_are_as_exact_as_pytorchs(
    layer: type[nn.Module], channels_last: bool, products: list[tuple[int, ...]]
) -> None:
    source = torch.Generator().manual_seed(0)
    ours = layer(6, 10)
    theirs = (nn.Conv2d if layer is HalvingConv2d else nn.ConvTranspose2d)(6, 10, 4, 2, 1, bias=False)
    theirs.load_state_dict(ours.state_dict())
    given = torch.randn(16, 6, 8, 8, generator=source)
    if channels_last:
        given = given.contiguous(memory_format=torch.channels_last)
    out = functional.conv2d if layer is HalvingConv2d else functional.conv_transpose2d
    wanted = torch.randn(out(given, ours.weight, stride=2, padding=1).shape, generator=source)

    def gradients(network: nn.Module, bf16: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pictures = given.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            drawn = network(pictures)
        weight_slope, picture_slope = torch.autograd.grad(drawn, (network.weight, pictures), wanted.to(drawn.dtype))
        return drawn.float(), weight_slope, picture_slope

    exact, plain = gradients(theirs, False), gradients(theirs, True)
    assert products == []
    found = gradients(ours, True)
    assert len(products) == 1
    for value, reference, comparison in zip(found, exact, plain, strict=True):
        assert value.dtype == torch.float32
        error, allowed = (value - reference).abs().max(), (comparison - reference).abs().max()
        assert error <= 1.5 * allowed + 1e-6
        assert reference.abs().max() > 20 * error


@pytest.mark.parametrize("layer", [HalvingConv2d, DoublingConv2d])
def test_a_frozen_layer_passes_the_gradient_on_and_takes_none(
    layer: type[nn.Module], products: list[tuple[int, ...]]
) -> None:
    network = layer(3, 4).requires_grad_(False)
    pictures = torch.randn(2, 3, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        network(pictures).float().sum().backward()
    assert network.weight.grad is None
    assert pictures.grad is not None
    assert pictures.grad.abs().sum() > 0
    assert products == []


@pytest.mark.parametrize("layer", [HalvingConv2d, DoublingConv2d])
def test_a_penalty_can_differentiate_twice(layer: type[nn.Module], products: list[tuple[int, ...]]) -> None:
    """|grad D(x)|^2 through the layer: the gradient of the penalty is PyTorch's."""
    ours = layer(3, 4)
    theirs = (nn.Conv2d if layer is HalvingConv2d else nn.ConvTranspose2d)(3, 4, 4, 2, 1, bias=False)
    theirs.load_state_dict(ours.state_dict())

    def penalty(network: nn.Module) -> torch.Tensor:
        pictures = torch.ones(2, 3, 8, 8, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            drawn = network(pictures)
        (slope,) = torch.autograd.grad(drawn.float().square().sum(), pictures, create_graph=True)
        (gradient,) = torch.autograd.grad(slope.square().sum(), network.weight)
        return gradient

    expected = penalty(theirs)
    torch.testing.assert_close(penalty(ours), expected, rtol=0.05, atol=0.03 * float(expected.abs().max()))


def test_the_product_is_taken_for_small_pictures_in_bf16_only(products: list[tuple[int, ...]]) -> None:
    halving, doubling = HalvingConv2d(3, 4), DoublingConv2d(3, 4)
    for side, bf16 in ((32, True), (16, False), (16, True), (8, True)):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            halving(torch.randn(2, 3, side, side)).float().sum().backward()
            doubling(torch.randn(2, 3, side // 2, side // 2)).float().sum().backward()
    assert [shape[-1] for shape in products] == [16, 16, 8, 8]
