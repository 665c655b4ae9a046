"""The convolutional DCGAN: one definition for every size, and the published one at 64."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from parameters import model_params
from torch import nn

from facegan.networks import build_discriminator, build_generator, initialise
from facegan.params import ModelParams
from facegan.strict_yaml import read_yaml

SIZES = (32, 64, 128, 256)
RECIPES = Path(__file__).parents[2] / "recipes"


def conv(latent: int = 8, generator: int = 4, discriminator: int = 4, first_norm: bool = False) -> ModelParams:
    return model_params(
        latent=latent,
        generator={"channels": generator},
        discriminator={"channels": discriminator, "first_norm": first_norm},
    )


def widths(network: nn.Module) -> list[int]:
    """What each convolution gives, in order."""
    return [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture
def paper() -> ModelParams:
    """The DCGAN of the paper, as every tutorial has it."""
    return conv(latent=100, generator=64, discriminator=64)


@pytest.fixture
def conv_64() -> ModelParams:
    """The model of the conv-64 recipe over the base, as `facegan recipe use conv-64` merges them."""
    model = read_yaml((RECIPES / "base.yaml").read_text(), "base.yaml")["model"]
    overlay = read_yaml((RECIPES / "conv-64.yaml").read_text(), "conv-64.yaml")["model"]
    for key, value in overlay.items():
        model[key] = {**model[key], **value} if isinstance(value, dict) else value
    return ModelParams.model_validate(model)


@pytest.mark.parametrize("size", SIZES)
def test_latents_become_pictures_of_the_size_asked_for(size: int) -> None:
    network = build_generator(conv(), size)
    pictures = network(torch.randn(2, 8))
    assert pictures.shape == (2, 3, size, size)
    assert pictures.dtype == torch.float32


@pytest.mark.parametrize("first_norm", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_pictures_become_one_logit_each(size: int, first_norm: bool) -> None:
    network = build_discriminator(conv(first_norm=first_norm), size)
    assert network(torch.randn(2, 3, size, size)).shape == (2,)
    assert network.eval()(torch.randn(1, 3, size, size)).shape == (1,)


@pytest.mark.parametrize("size", SIZES)
def test_every_layer_doubles_or_halves_the_picture(size: int) -> None:
    sides: list[int] = []

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        sides.append(output.shape[-1])

    halvings = [side for side in (256, 128, 64, 32, 16, 8, 4) if side < size]
    for network, given in (
        (build_generator(conv(), size), torch.randn(2, 8)),
        (build_discriminator(conv(), size), torch.randn(2, 3, size, size)),
    ):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(note)
        network(given)
    assert sides == [*reversed(halvings), size, *halvings, 1]


def test_pictures_lie_between_minus_one_and_one() -> None:
    network = build_generator(conv(), 32)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(100)
        pictures = network(torch.randn(4, 8))
    assert pictures.min() >= -1
    assert pictures.max() <= 1
    assert pictures.std() > 0.5


def test_logits_are_not_squashed() -> None:
    network = build_discriminator(conv(), 32).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(100)
        assert network(torch.randn(8, 3, 32, 32)).abs().max() > 1


def test_the_published_dcgan_has_its_published_number_of_parameters(paper: ModelParams) -> None:
    assert count(build_generator(paper, 64)) == 3_576_704
    assert count(build_discriminator(paper, 64)) == 2_765_568


@pytest.mark.parametrize("size", SIZES)
def test_parameters_are_kernels_and_norms_and_nothing_else(size: int) -> None:
    latent, c = 10, 6
    blocks = [c * 2**k for k in reversed(range(size.bit_length() - 3))]  # widest first, c at half the size
    kernels = 16 * (latent * blocks[0] + sum(a * b for a, b in pairwise(blocks)) + c * 3)
    assert count(build_generator(conv(latent, c), size)) == kernels + 2 * sum(blocks)
    kernels = 16 * (3 * c + sum(a * b for a, b in pairwise(blocks)) + blocks[0])
    norms = 2 * (sum(blocks) - c)
    assert count(build_discriminator(conv(discriminator=c), size)) == kernels + norms
    assert count(build_discriminator(conv(discriminator=c, first_norm=True), size)) == kernels + norms + 2 * c


def test_the_conv_64_recipe_has_the_published_widths(conv_64: ModelParams) -> None:
    generator, discriminator = build_generator(conv_64, 64), build_discriminator(conv_64, 64)
    assert conv_64.latent == 128
    assert widths(generator) == [512, 256, 128, 64, 3]
    assert widths(discriminator) == [64, 128, 256, 512, 1]
    for network in (generator, discriminator):
        norms = [layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
        assert norms == [width for width in widths(network) if width > 3]  # the first block of D too


def test_the_first_block_of_the_discriminator_has_a_norm_only_when_asked() -> None:
    def norms(first_norm: bool) -> list[int]:
        network = build_discriminator(conv(first_norm=first_norm), 32)
        return [layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]

    assert norms(True) == [4, 8, 16]
    assert norms(False) == [8, 16]


def test_the_two_networks_have_widths_of_their_own() -> None:
    model = conv(generator=4, discriminator=16)
    assert widths(build_generator(model, 32)) == [16, 8, 4, 3]
    assert widths(build_discriminator(model, 32)) == [16, 32, 64, 1]


def test_activations_are_those_of_the_paper(paper: ModelParams) -> None:
    def kinds(network: nn.Module) -> list[type[nn.Module]]:
        wanted = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid)
        return [type(layer) for layer in network.modules() if isinstance(layer, wanted)]

    discriminator = build_discriminator(paper, 64)
    assert kinds(build_generator(paper, 64)) == [nn.ReLU] * 4 + [nn.Tanh]
    assert kinds(discriminator) == [nn.LeakyReLU] * 4
    assert {layer.negative_slope for layer in discriminator.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_starting_weights_follow_the_paper(build: Callable[[ModelParams, int], nn.Module]) -> None:
    model = conv(latent=64, generator=32, discriminator=32, first_norm=True)
    network = build(model, 64)
    initialise(network, model, 5, "any")
    kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for values, mean in ((torch.cat([k.flatten() for k in kernels]), 0.0), (torch.cat([n.weight for n in norms]), 1.0)):
        error = 0.02 / len(values) ** 0.5
        assert abs(values.mean() - mean) < 5 * error
        assert abs(values.std() - 0.02) < 5 * error  # the error of a deviation is smaller by sqrt(2)
        assert (values - mean).abs().max() > 0.04  # a normal has tails, a uniform has none
    for kernel in kernels:  # every layer for itself: no fan-in
        assert abs(kernel.std() / 0.02 - 1) < 5 / kernel.numel() ** 0.5
    assert all((norm.bias == 0).all() for norm in norms)


def test_starting_weights_are_a_function_of_seed_and_purpose_alone() -> None:
    def start(seed: int, purpose: str) -> torch.Tensor:
        network = build_generator(conv(), 32)
        initialise(network, conv(), seed, purpose)
        return torch.cat([parameter.flatten() for parameter in network.parameters()])

    first = start(1, "generator")
    torch.manual_seed(99)  # the global generator has no say
    assert torch.equal(first, start(1, "generator"))
    assert not torch.equal(first, start(2, "generator"))
    assert not torch.equal(first, start(1, "discriminator"))


def test_building_and_initialising_leave_the_global_generator_to_no_effect() -> None:
    # Nothing that is built may keep a weight that the global generator drew.
    networks = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        for build in (build_generator, build_discriminator):
            network = build(conv(first_norm=True), 32)
            initialise(network, conv(), 1, "same")
            networks.append(network.state_dict())
    for left, right in ((networks[0], networks[2]), (networks[1], networks[3])):
        assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_kernels_are_channels_last_in_memory(build: Callable[[ModelParams, int], nn.Module]) -> None:
    network = build(conv(), 32)
    initialise(network, conv(), 1, "any")
    kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
