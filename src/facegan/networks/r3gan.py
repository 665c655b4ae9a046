"""R3GAN's networks (Huang et al., 2024, section 4): residual, without any normalisation.

``channels`` are those at the picture's size; one block a size. Pictures are not squashed.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from facegan.networks.blocks import Outputs, Upsample, downsample, widths
from facegan.networks.convolutions import grouped
from facegan.params import ModelParams
from facegan.sizes import Size, stages

TAPS = (1, 2, 1)
GROUP = 16  # channels a group of the 3x3 convolutions
EXPANSION = 2  # of the channels inside a block


class R3Generator(nn.Module):
    """A learned basis of a few pixels scaled by a linear map of the latent, then blocks and doublings."""

    def __init__(self, model: ModelParams, size: Size, behind: int = 0, channels: int = 3) -> None:
        super().__init__()
        params = model.generator
        sizes = stages(size)
        wide = widths(params.channels, params.max_channels, len(sizes))
        self.basis = nn.Parameter(torch.empty(wide[0], *sizes[0]))
        self.dense = nn.Linear(model.latent + behind, wide[0], bias=False)
        layers: list[nn.Module] = [_Block(wide[0])]
        for before, after in pairwise(wide):
            layers += [_mixing(before, after), Upsample(TAPS), _Block(after)]
        self.layers = nn.Sequential(*layers)
        self.to_rgb = nn.Conv2d(wide[-1], channels, 1, bias=False)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """float [n, latent] to float [n, channels, height, width], nearly all of it in [-1, 1]."""
        pictures: torch.Tensor = self.to_rgb(self.layers(self.basis * self.dense(latent)[:, :, None, None]))
        return pictures


class R3Discriminator(nn.Module):
    """The generator's mirror: blocks and halvings, a weight for all that is left, one linear map to the logit."""

    def __init__(self, model: ModelParams, size: Size, outputs: int = 1, channels: int = 3) -> None:
        super().__init__()
        params = model.discriminator
        sizes = stages(size)
        wide = widths(params.channels, params.max_channels, len(sizes))[::-1]
        self.from_rgb = nn.Conv2d(channels, wide[0], 1, bias=False)
        layers: list[nn.Module] = [_Block(wide[0])]
        for before, after in pairwise(wide):
            layers += [downsample(TAPS), _mixing(before, after), _Block(after)]
        self.layers = nn.Sequential(*layers)
        self.pool = Pool(wide[-1], sizes[0])
        self.to_logit, self.outputs = nn.Linear(wide[-1], outputs, bias=False), Outputs(outputs)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """float [n, channels, height, width] to logits float [n], or [n, outputs]."""
        logits: torch.Tensor = self.outputs(self.to_logit(self.pool(self.layers(self.from_rgb(pictures)))))
        return logits


class _Block(nn.Module):
    """1x1, grouped 3x3, 1x1, each after a bias and LeakyReLU but the first; the last starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels * EXPANSION
        groups = inner // GROUP if inner % GROUP == 0 else 1
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.conv2 = GroupedConv2d(inner, groups)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        residual = functional.leaky_relu(self.conv1(features), 0.2)
        residual = self.conv3(functional.leaky_relu(self.conv2(residual), 0.2))
        total: torch.Tensor = features + residual
        return total


class GroupedConv2d(nn.Conv2d):
    """3x3, with a second derivative that is no loop over the groups."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, channels, 3, 1, 1, groups=groups)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        assert self.bias is not None
        result = grouped(features, self.weight, padding=1, groups=self.groups)
        return result + self.bias.to(result.dtype)[:, None, None]


class Pool(nn.Conv2d):
    """float [n, c, h, w] to [n, c]: a weight for every pixel of every channel."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__(channels, channels, size, groups=channels, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (features * self.weight[:, 0]).sum((2, 3))


def _mixing(before: int, after: int) -> nn.Module:
    return nn.Identity() if before == after else nn.Conv2d(before, after, 1, bias=False)


def initialise(network: nn.Module, source: torch.Generator) -> None:
    """He's scale, in blocks times L^(-1/4) for L blocks, and zero at their end (Zhang et al., 2019); basis N(0, 1)."""
    blocks = [module for module in network.modules() if isinstance(module, _Block)]
    inside = {id(conv) for block in blocks for conv in (block.conv1, block.conv2)}
    ends = {id(block.conv3) for block in blocks}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan = module.weight[0].numel()
            gain = (2 / (1 + 0.2**2)) ** 0.5 * len(blocks) ** -0.25 if id(module) in inside else 1.0
            scale = 0.0 if id(module) in ends else gain / fan**0.5
            nn.init.normal_(module.weight, 0.0, scale, generator=source)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, R3Generator):
            nn.init.normal_(module.basis, generator=source)
