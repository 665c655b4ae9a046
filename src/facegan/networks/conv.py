"""The convolutional DCGAN (Radford et al., 2016) for any power-of-two size from 32 to 256, from one definition."""

import torch
from torch import nn

from facegan.networks.strided import DoublingConv2d, HalvingConv2d
from facegan.params import ModelParams


class ConvGenerator(nn.Module):
    """Latent as a 1x1 picture, doubled by transposed 4x4 convolutions, batch norm and ReLU, tanh at the end."""

    def __init__(self, model: ModelParams, size: int) -> None:
        super().__init__()
        self.latent = model.latent
        width = model.generator.channels * size // 8
        layers: list[nn.Module] = [nn.ConvTranspose2d(model.latent, width, 4, 1, 0, bias=False)]
        while width > model.generator.channels:
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            layers += [DoublingConv2d(width, width // 2)]
            width //= 2
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers += [DoublingConv2d(width, 3), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """float [n, latent] to float [n, 3, size, size] in [-1, 1]."""
        pictures: torch.Tensor = self.layers(latent[:, :, None, None])
        return pictures


class ConvDiscriminator(nn.Module):
    """Halved by strided 4x4 convolutions, batch norm (in the first block by parameter) and LeakyReLU 0.2."""

    def __init__(self, model: ModelParams, size: int) -> None:
        super().__init__()
        width = model.discriminator.channels
        layers: list[nn.Module] = [HalvingConv2d(3, width)]
        layers += [nn.BatchNorm2d(width)] if model.discriminator.first_norm else []
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        for _ in range(size.bit_length() - 4):  # from size / 2 down to 4
            layers += [HalvingConv2d(width, width * 2), nn.BatchNorm2d(width * 2)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
            width *= 2
        layers += [nn.Conv2d(width, 1, 4, 1, 0, bias=False), nn.Flatten(0)]
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """float [n, 3, size, size] to logits float [n]."""
        logits: torch.Tensor = self.layers(pictures)
        return logits


def initialise(network: nn.Module, source: torch.Generator) -> None:
    """N(0, 0.02) for convolutions, N(1, 0.02) for norm scales, zero bias (Radford et al., 2016, section 4)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=source)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=source)
            nn.init.zeros_(module.bias)
