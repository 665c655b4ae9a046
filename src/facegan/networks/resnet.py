"""The residual networks of spectral normalisation (Miyato et al., 2018, appendix B.4), for pictures of any size.

``channels`` are those at the picture's size.
"""

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from facegan.networks.blocks import (
    ConditionalBatchNorm2d,
    Conditioned,
    Outputs,
    first_inputs,
    generator_norm,
    resized,
    settle_spectral_norms,
    spectral_norm,
    weight_of,
    widths,
)
from facegan.params import GeneratorParams, ModelParams
from facegan.sizes import Size, stages


class ResNetGenerator(nn.Module):
    """Latent to a few pixels by a fully connected layer, residual blocks that double, tanh at the end."""

    def __init__(self, model: ModelParams, size: Size, behind: int = 0, channels: int = 3) -> None:
        super().__init__()
        params, given = model.generator, model.latent + behind
        self.inputs = first_inputs(model, behind)
        sizes = stages(size)
        wide = widths(params.channels, params.max_channels, len(sizes))
        self.first = wide[0], *sizes[0]
        self.dense = nn.Linear(self.inputs, math.prod(self.first))
        self.blocks = Conditioned(*(_Doubling(*pair, params, given) for pair in pairwise(wide)))
        norm = generator_norm(params.norm, wide[-1], given)
        last = [norm] if norm else []
        self.to_rgb = Conditioned(*last, nn.ReLU(inplace=True), nn.Conv2d(wide[-1], channels, 3, 1, 1), nn.Tanh())

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """float [n, latent] to float [n, channels, height, width] in [-1, 1]."""
        features = self.blocks(self.dense(latent[:, : self.inputs]).view(-1, *self.first), latent)
        pictures: torch.Tensor = self.to_rgb(features, latent)
        return pictures


class ResNetDiscriminator(nn.Module):
    """Residual blocks that halve down to a few pixels and one more there, summed over the picture, one logit."""

    def __init__(self, model: ModelParams, size: Size, outputs: int = 1, channels: int = 3) -> None:
        super().__init__()
        params = model.discriminator
        wide = widths(params.channels, params.max_channels, len(stages(size)))[::-1]
        blocks = [
            _Halving(before, after, first=number == 0) for number, (before, after) in _numbered([channels, *wide[1:]])
        ]
        self.blocks = nn.Sequential(*blocks, _Keeping(wide[-1]), nn.ReLU())
        self.to_logit, self.outputs = nn.Linear(wide[-1], outputs), Outputs(outputs)
        if params.norm == "spectral":
            spectral_norm(self)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """float [n, channels, height, width] to logits float [n], or [n, outputs]."""
        logits: torch.Tensor = self.outputs(self.to_logit(self.blocks(pictures).sum((2, 3))))
        return logits


def _numbered(wide: list[int]) -> list[tuple[int, tuple[int, int]]]:
    return list(enumerate(pairwise(wide)))


class _Doubling(nn.Module):
    conditioned = True

    def __init__(self, channels_in: int, channels_out: int, params: GeneratorParams, condition: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (
            Conditioned(generator_norm(params.norm, channels, condition) or nn.Identity(), nn.ReLU())
            for channels in (channels_in, channels_out)
        )
        self.resized = resized(params.upsample)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, pictures: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        residual = self.conv1(self.resized(self.norm1(pictures, condition)))
        residual = self.conv2(self.norm2(residual, condition))
        total: torch.Tensor = residual + self.resized(self.shortcut(pictures))  # 1x1 first: the same, a quarter of it
        return total


class _Halving(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, first: bool) -> None:
        super().__init__()
        hidden = channels_out if first else channels_in
        self.first = first  # sees a picture: no ReLU before it
        self.conv1 = nn.Conv2d(channels_in, hidden, 3, 1, 1)
        self.conv2 = nn.Conv2d(hidden, channels_out, 3, 1, 1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        residual = self.conv1(pictures if self.first else functional.relu(pictures))
        residual = functional.avg_pool2d(self.conv2(functional.relu(residual)), 2)
        total: torch.Tensor = residual + self.shortcut(functional.avg_pool2d(pictures, 2))
        return total


class _Keeping(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = pictures + self.conv2(functional.relu(self.conv1(functional.relu(pictures))))
        return total


def initialise(network: nn.Module, source: torch.Generator) -> None:
    """Xavier uniform, with gain sqrt(2) on the 3x3 kernels of the residual branches; zero bias, unit scales."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = 2**0.5 if name.endswith(("conv1", "conv2")) else 1.0
            nn.init.xavier_uniform_(weight_of(module), gain, generator=source)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
        elif isinstance(module, ConditionalBatchNorm2d):
            module.initialise(source)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    settle_spectral_norms(network, source)
