"""Generators and discriminators, looked up by ``model.network``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from facegan.networks import conditional, conv, dense, r3gan, resnet, stylegan2
from facegan.params import ModelParams
from facegan.randomness import generator as random_generator
from facegan.sizes import Size, at_once


@dataclass(frozen=True)
class Architecture:
    """How to build both networks for a model and a picture size, and how to initialise either."""

    generator: Callable[[ModelParams, Size, int, int], nn.Module]  # model, size, numbers behind the latent, channels
    discriminator: Callable[[ModelParams, Size, int, int], nn.Module]  # model, size, outputs, channels
    initialise: Callable[[nn.Module, torch.Generator], None]


ARCHITECTURES: dict[str, Architecture] = {
    "conv": Architecture(conv.ConvGenerator, conv.ConvDiscriminator, conv.initialise),
    "dense": Architecture(dense.DenseGenerator, dense.DenseDiscriminator, conv.initialise),
    "resnet": Architecture(resnet.ResNetGenerator, resnet.ResNetDiscriminator, resnet.initialise),
    "stylegan2": Architecture(stylegan2.StyleGenerator, stylegan2.StyleDiscriminator, stylegan2.initialise),
    "r3gan": Architecture(r3gan.R3Generator, r3gan.R3Discriminator, r3gan.initialise),
}


def build_generator(model: ModelParams, size: Size, classes: Sequence[int] = (), channels: int = 3) -> nn.Module:
    """Latents float [n, model.latent] to pictures float [n, channels, height, width]; weights are not set.

    With ``classes``, how many there are in each column of labels, it takes labels int64 [n, columns] too.
    """
    build = ARCHITECTURES[model.network].generator
    if classes:
        inner = build(model, size, conditional.EMBEDDING, channels)
        network: nn.Module = conditional.ConditionalGenerator(inner, classes)
    else:
        network = build(model, size, 0, channels)
    network.at_once = at_once(size)  # type: ignore[assignment]  # pictures of a pass outside of a step
    return _channels_last(network)


def build_discriminator(model: ModelParams, size: Size, classes: Sequence[int] = (), channels: int = 3) -> nn.Module:
    """Pictures float [n, channels, height, width], and labels as above, to logits float [n]; weights are not set."""
    build = ARCHITECTURES[model.network].discriminator
    if not classes:
        return _channels_last(build(model, size, 1, channels))
    inner = build(model, size, 1 + conditional.EMBEDDING, channels)
    return _channels_last(conditional.ProjectionDiscriminator(inner, classes))


def initialise(network: nn.Module, model: ModelParams, seed: int, purpose: str) -> None:
    """Starting weights: a pure function of (seed, purpose), drawn on the CPU whatever the device."""
    ARCHITECTURES[model.network].initialise(network, random_generator(seed, purpose))
    conditional.initialise(network, random_generator(seed, f"{purpose} labels"))


def _channels_last(network: nn.Module) -> nn.Module:
    network.to(memory_format=torch.channels_last)  # the faster layout for convolutions on CPU and GPU
    return network
