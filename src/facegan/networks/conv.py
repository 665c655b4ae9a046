"""The convolutional DCGAN (Radford et al., 2016) for pictures of any size, from one definition.

``channels`` are those of the last hidden layer of the generator and of the first of the discriminator, at half the
picture's size.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from facegan.networks.blocks import (
    ConditionalBatchNorm2d,
    Conditioned,
    Outputs,
    doubling,
    first_inputs,
    generator_norm,
    settle_spectral_norms,
    spectral_norm,
    weight_of,
    widths,
)
from facegan.networks.strided import HalvingConv2d
from facegan.params import DiscriminatorParams, GeneratorParams, ModelParams
from facegan.sizes import Size, stages


class ConvGenerator(nn.Module):
    """Latent as a 1x1 picture, doubled up to the picture's size, batch norm and ReLU between, tanh at the end."""

    def __init__(self, model: ModelParams, size: Size, behind: int = 0, channels: int = 3) -> None:
        super().__init__()
        params, given = model.generator, model.latent + behind
        self.inputs = first_inputs(model, behind)
        first, *larger = stages(size)
        wide = widths(params.channels, params.max_channels, len(larger))
        layers: list[nn.Module] = [nn.ConvTranspose2d(self.inputs, wide[0], first, 1, 0, bias=params.norm == "none")]
        if params.upsample == "transposed":
            layers += doubled(params, given, wide)
            layers += [doubling(wide[-1], channels, "transposed", bias=False)]
        else:  # a picture made by one convolution of an enlarged one is never sharp: half the channels at its own size
            last = max(1, params.channels // 2)
            layers += [*doubled(params, given, [*wide, last]), nn.Conv2d(last, channels, 3, 1, 1)]
        self.layers = Conditioned(*layers, nn.Tanh())

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """float [n, latent] to float [n, channels, height, width] in [-1, 1]."""
        pictures: torch.Tensor = self.layers(latent[:, : self.inputs, None, None], latent)
        return pictures


class ConvDiscriminator(nn.Module):
    """Halved by strided 4x4 convolutions down to a few pixels, which one more makes a logit."""

    def __init__(self, model: ModelParams, size: Size, outputs: int = 1, channels: int = 3) -> None:
        super().__init__()
        first, *larger = stages(size)
        layers, last = halved(model.discriminator, len(larger), channels)
        layers += [nn.Conv2d(last, outputs, first, 1, 0, bias=model.discriminator.norm != "batch"), Outputs(outputs)]
        self.layers = nn.Sequential(*layers)
        if model.discriminator.norm == "spectral":
            spectral_norm(self)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """float [n, channels, height, width] to logits float [n], or [n, outputs]."""
        logits: torch.Tensor = self.layers(pictures)
        return logits


def doubled(params: GeneratorParams, condition: int, wide: Sequence[int]) -> list[nn.Module]:
    """Norm and ReLU at the first of the widths ``wide``, then doubled to each other with norm and ReLU.

    ``condition`` is the width of what a norm may be given.
    """
    layers = _norm_and_relu(params, condition, wide[0])
    for before, after in pairwise(wide):
        layers += [doubling(before, after, params.upsample, bias=params.norm == "none")]
        layers += _norm_and_relu(params, condition, after)
    return layers


def _norm_and_relu(params: GeneratorParams, condition: int, channels: int) -> list[nn.Module]:
    norm = generator_norm(params.norm, channels, condition)
    return [*([norm] if norm else []), nn.ReLU(inplace=True)]


def halved(params: DiscriminatorParams, times: int, channels: int) -> tuple[list[nn.Module], int]:
    """So many strided convolutions of a picture, with norm and LeakyReLU 0.2, and the channels behind them."""
    wide = widths(params.channels, params.max_channels, times)[::-1]
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise([channels, *wide])):
        layers += [HalvingConv2d(before, after, bias=params.norm != "batch")]
        if params.norm == "batch" and (number or params.first_norm):
            layers += [nn.BatchNorm2d(after)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        if params.dropout:
            layers += [nn.Dropout(params.dropout)]
    return layers, wide[-1]


def initialise(network: nn.Module, source: torch.Generator) -> None:
    """N(0, 0.02) for kernels, N(1, 0.02) for norm scales, zero bias (Radford et al., 2016, section 4)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(weight_of(module), 0.0, 0.02, generator=source)
        elif isinstance(module, ConditionalBatchNorm2d):
            module.initialise(source)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02, generator=source)
        if isinstance(getattr(module, "bias", None), torch.Tensor):
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    settle_spectral_norms(network, source)
