"""DCGANs that begin and end in fully connected layers, as those of the Keras examples: 8x8 instead of 4x4.

The generator's last layer is a convolution at the picture's size, where it has ``channels``; the discriminator's
``channels`` are those of its first layer.
"""

import torch
from torch import nn

from facegan.networks.blocks import Conditioned, Outputs, first_inputs, sides, spectral_norm, width
from facegan.networks.conv import doubled, halved
from facegan.params import ModelParams

FIRST = 8  # pixels a side


class DenseGenerator(nn.Module):
    """Latent to 8x8 by a fully connected layer, doubled up to the picture's size, tanh at the end."""

    def __init__(self, model: ModelParams, size: int, behind: int = 0) -> None:
        super().__init__()
        params = model.generator
        self.inputs = first_inputs(model, behind)
        self.first = width(params.channels, params.max_channels, size, FIRST)
        self.dense = nn.Linear(self.inputs, self.first * FIRST**2)
        self.layers = Conditioned(
            *doubled(params, model.latent + behind, size, sides(FIRST, size)),
            nn.Conv2d(params.channels, 3, 3, 1, 1),
            nn.Tanh(),
        )

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """float [n, latent] to float [n, 3, size, size] in [-1, 1]."""
        pictures: torch.Tensor = self.layers(
            self.dense(latent[:, : self.inputs]).view(-1, self.first, FIRST, FIRST), latent
        )
        return pictures


class DenseDiscriminator(nn.Module):
    """Halved by strided 4x4 convolutions down to 8x8, then fully connected to one logit."""

    def __init__(self, model: ModelParams, size: int, outputs: int = 1) -> None:
        super().__init__()
        layers, last = halved(model.discriminator, size, FIRST)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(last * FIRST**2, outputs), Outputs(outputs))
        if model.discriminator.norm == "spectral":
            spectral_norm(self)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """float [n, 3, size, size] to logits float [n], or [n, outputs]."""
        logits: torch.Tensor = self.layers(pictures)
        return logits
