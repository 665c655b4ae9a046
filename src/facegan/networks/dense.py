"""DCGANs that begin and end in fully connected layers, as those of the Keras examples: 8x8 for 64 pixels, where others
have 4x4.

The generator's last layer is a convolution at the picture's size, where it has ``channels``; the discriminator's
``channels`` are those of its first layer.
"""

import math

import torch
from torch import nn

from facegan.networks.blocks import Conditioned, Outputs, first_inputs, spectral_norm, widths
from facegan.networks.conv import doubled, halved
from facegan.params import ModelParams
from facegan.sizes import Size, stages


class DenseGenerator(nn.Module):
    """Latent to 8x8 or a few more by a fully connected layer, doubled up to the picture's size, tanh at the end."""

    def __init__(self, model: ModelParams, size: Size, behind: int = 0, channels: int = 3) -> None:
        super().__init__()
        params = model.generator
        self.inputs = first_inputs(model, behind)
        _, first, *larger = stages(size)
        wide = widths(params.channels, params.max_channels, 1 + len(larger))
        self.first = wide[0], *first
        self.dense = nn.Linear(self.inputs, math.prod(self.first))
        self.layers = Conditioned(
            *doubled(params, model.latent + behind, wide),
            nn.Conv2d(params.channels, channels, 3, 1, 1),
            nn.Tanh(),
        )

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """float [n, latent] to float [n, channels, height, width] in [-1, 1]."""
        pictures: torch.Tensor = self.layers(self.dense(latent[:, : self.inputs]).view(-1, *self.first), latent)
        return pictures


class DenseDiscriminator(nn.Module):
    """Halved by strided 4x4 convolutions down to 8x8 or a few more, then fully connected to one logit."""

    def __init__(self, model: ModelParams, size: Size, outputs: int = 1, channels: int = 3) -> None:
        super().__init__()
        _, first, *larger = stages(size)
        layers, last = halved(model.discriminator, len(larger), channels)
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(last * math.prod(first), outputs), Outputs(outputs)
        )
        if model.discriminator.norm == "spectral":
            spectral_norm(self)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """float [n, channels, height, width] to logits float [n], or [n, outputs]."""
        logits: torch.Tensor = self.layers(pictures)
        return logits
