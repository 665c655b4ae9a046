"""Derivatives that are written out: against finite differences in double precision, and against PyTorch's own."""

from collections import Counter
from typing import Any

import pytest
import torch
from parameters import model_params
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from facegan.networks import build_discriminator, initialise
from facegan.networks.blocks import BLUR, Filter, Upsample, downsample
from facegan.networks.convolutions import gradients_of_pictures, grouped

SOURCE = torch.Generator().manual_seed(0)
MAPS = {
    "up, four taps": Upsample(BLUR),
    "up, three taps": Upsample((1, 2, 1)),
    "down": downsample(),
    "down, three taps": downsample((1, 2, 1)),
    "blur before a stride": Filter(BLUR, padding=2),
    "blur behind a doubling": Filter(BLUR, padding=1, gain=4),
}


@pytest.mark.parametrize("side", [(5, 4), (6, 6)])
@pytest.mark.parametrize("name", MAPS)
def test_a_filters_derivatives_are_those_of_finite_differences(name: str, side: tuple[int, int]) -> None:
    pictures = torch.randn((2, 3, *side), generator=SOURCE, dtype=torch.float64, requires_grad=True)
    layer = MAPS[name].double()
    assert gradcheck(layer, pictures)
    assert gradgradcheck(layer, pictures)
    MAPS[name].float()


def test_a_grouped_convolutions_derivatives_are_those_of_finite_differences() -> None:
    pictures = torch.randn((2, 6, 4, 5), generator=SOURCE, dtype=torch.float64, requires_grad=True)
    weight = torch.randn((6, 2, 3, 3), generator=SOURCE, dtype=torch.float64, requires_grad=True)
    for wanted in ((True, True), (True, False)):
        pictures.requires_grad_(wanted[0]), weight.requires_grad_(wanted[1])
        assert gradcheck(lambda x, w: grouped(x, w, 1, 3), (pictures, weight))
        assert gradgradcheck(lambda x, w: grouped(x, w, 1, 3), (pictures, weight))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_penalty_through_a_grouped_convolution_is_that_through_pytorchs_own(precision: torch.dtype) -> None:
    pictures = torch.randn((2, 32, 8, 8), generator=SOURCE, requires_grad=True)
    weight = torch.randn((32, 16, 3, 3), generator=SOURCE, requires_grad=True)
    found = []
    for convolution in (grouped, lambda x, w, padding, groups: functional.conv2d(x, w, None, 1, padding, 1, groups)):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            result = functional.leaky_relu(convolution(pictures, weight, 1, 2), 0.2).float().square().sum()
        (gradient,) = torch.autograd.grad(result, pictures, create_graph=True)
        found.append(torch.autograd.grad(gradient.square().sum(), (pictures, weight)))
    tolerance = {torch.float32: 1e-4, torch.bfloat16: 0.1}[precision]
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).norm() < tolerance * theirs.norm()


class Calls(TorchDispatchMode):
    """Counts convolutions, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.wanted: list[list[bool]] = []  # of each backward: gradients of input, weight, bias

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "convolution" in str(func):
            self.found[str(func)] += 1
            if "backward" in str(func):
                self.wanted.append(args[-1])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("network", "most"), [("r3gan", 110), ("stylegan2", 110)])
def test_a_penalty_is_a_few_convolutions(network: str, most: int) -> None:
    """At 32 pixels and with 64 groups; written as PyTorch's layers, these are thousands."""
    model = model_params(network, channels=64)
    discriminator = build_discriminator(model, 32, ())
    initialise(discriminator, model, 1, "discriminator")
    pictures = torch.randn((4, 3, 32, 32), generator=SOURCE, requires_grad=True)
    with Calls() as calls:
        (gradient,) = torch.autograd.grad(discriminator(pictures).sum(), pictures, create_graph=True)
        gradient.square().sum().backward()
    assert sum(calls.found.values()) < most, calls.found


def test_a_penalty_takes_no_gradient_of_weights_on_its_way() -> None:
    pictures = torch.randn((2, 32, 8, 8), generator=SOURCE, requires_grad=True)
    weight = torch.randn((32, 16, 3, 3), generator=SOURCE, requires_grad=True)
    total = grouped(pictures, weight, 1, 2).square().sum()
    (whole,) = torch.autograd.grad(total, pictures, retain_graph=True)
    with gradients_of_pictures(), Calls() as calls:
        (gradient,) = torch.autograd.grad(total, pictures, create_graph=True)
    assert calls.wanted == [[True, False, False]] and torch.equal(gradient, whole)
    with pytest.raises(RuntimeError), gradients_of_pictures():
        raise RuntimeError
    assert torch.autograd.grad(total, weight)[0].norm() > 0  # afterwards as before


def test_nothing_is_written_out_where_a_model_is_exported() -> None:
    pictures = torch.randn((1, 3, 8, 8), generator=SOURCE)
    for layer in MAPS.values():
        assert isinstance(layer, nn.Module) and layer(pictures).grad_fn is None
