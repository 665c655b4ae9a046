"""Penalties and their gradients against finite differences in fp64."""

from collections.abc import Callable

import pytest
import torch
from parameters import model_params
from torch import nn
from torch.nn import functional

from facegan.networks import build_discriminator, initialise
from facegan.training.penalties import gradient_penalty, squared_gradient

STEP = 1e-6


def small(network: str) -> nn.Module:
    model = model_params(network, channels=2, discriminator={"norm": "none"})
    discriminator = build_discriminator(model, 32).double()
    initialise(discriminator, model, 1, "discriminator")
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.2)
    return discriminator.eval()


def smooth(x: torch.Tensor, slope: float) -> torch.Tensor:
    return (1 + slope) / 2 * x + (1 - slope) / 2 * (x.square() + 0.1).sqrt()


def pictures(number: int) -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(number))


def test_the_squared_gradient_of_a_linear_map_is_its_squared_length() -> None:
    weight = torch.randn(12, dtype=torch.float64)
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    logits = x.flatten(1) @ weight
    torch.testing.assert_close(squared_gradient(logits, x), weight.square().sum())
    expected = (weight.square().sum().sqrt() - 1) ** 2
    found = gradient_penalty(lambda y: y.flatten(1) @ weight, x.detach(), -x.detach(), torch.rand(4).double())
    torch.testing.assert_close(found, expected)


def test_interpolates_lie_between_real_and_fake() -> None:
    real, fake = torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)
    seen: list[torch.Tensor] = []

    def logits(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach())
        return x.sum((1, 2, 3))

    gradient_penalty(logits, real, fake, torch.tensor([0.0, 0.25, 1.0]))
    assert seen[0][:, 0, 0, 0].tolist() == [0.0, 0.25, 1.0]


@pytest.mark.parametrize("network", ["conv", "dense", "resnet", "stylegan2", "r3gan"])
@pytest.mark.parametrize("penalty", ["squared", "interpolated"])
def test_gradients_of_penalties_are_those_of_finite_differences(
    network: str, penalty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Second derivatives of the discriminator, along random directions of its weights."""
    # The gradient of a rectifier jumps at its corner, where a difference says nothing: a smooth one in its place.
    monkeypatch.setattr(functional, "relu", lambda x, inplace=False: smooth(x, 0.0))
    monkeypatch.setattr(functional, "leaky_relu", lambda x, slope=0.2, inplace=False: smooth(x, slope))
    discriminator, real, fake = small(network), pictures(1), pictures(2)

    def value() -> torch.Tensor:
        if penalty == "squared":
            x = real.clone().requires_grad_()
            return squared_gradient(discriminator(x), x)
        return gradient_penalty(discriminator, real, fake, torch.tensor([0.3, 0.6], dtype=torch.float64))

    compare(discriminator, value)


def compare(discriminator: nn.Module, value: Callable[[], torch.Tensor]) -> None:
    parameters = list(discriminator.parameters())
    gradients = torch.autograd.grad(value(), parameters, allow_unused=True)  # a bias may have no say
    for number in range(3):
        source = torch.Generator().manual_seed(number)
        direction = [torch.randn(p.shape, dtype=p.dtype, generator=source) for p in parameters]
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True) if g is not None)
        ends = []
        for sign in (1, -2):
            with torch.no_grad():
                for parameter, d in zip(parameters, direction, strict=True):
                    parameter.add_(d, alpha=sign * STEP)
            ends.append(value().item())
        with torch.no_grad():
            for parameter, d in zip(parameters, direction, strict=True):
                parameter.add_(d, alpha=STEP)
        assert (ends[0] - ends[1]) / (2 * STEP) == pytest.approx(slope, rel=1e-4, abs=1e-7)
