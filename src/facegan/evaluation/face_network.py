"""A feature space for faces that needs no download: a small encoder of our own, trained on drawn ones.

It learned to tell what faces are drawn from (hair, eyes, mouth, tilt, accessories), whatever their colours, and what
is wrong with pictures that were made worse: blur, noise, patterns of upsampling, eyes that are moved, halves of two
faces. ``python -m benchmarks.rankings.encoder`` makes its weights.
"""

from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from facegan.data.batches import to_network
from facegan.evaluation.extractor import Extractor
from facegan.files import sha256

WEIGHTS = Path(__file__).with_name("face-encoder.safetensors")
SHA256 = "d0b5c0a857b0e0d76cdcf19fbe5b9f7d5e7df0e7a167052c068c2f336abc9786"
SPACE = "a small network that was trained on drawn faces"
SIDE = 64  # pixels that pictures are resized to
WIDTHS = (24, 48, 72, 96)  # channels at 32x32, 16x16, 8x8 and 4x4
BLOCKS = (1, 2, 2, 1)


class Residual(nn.Module):
    """float [n, c, h, w] to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.relu(features + self.conv2(functional.relu(self.conv1(features))))


class FaceEncoder(nn.Module):
    """Pictures float [n, 3, 64, 64] in [-1, 1] to float [n, 24, 32, 32], [n, 48, 16, 16], [n, 72, 8, 8], [n, 96, 4, 4].

    Without norms: those that it is trained with are folded into the convolutions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for (before, after), blocks in zip(pairwise((3, *WIDTHS)), BLOCKS, strict=True):
            kernel = 5 if before == 3 else 3
            halving = nn.Conv2d(before, after, kernel, 2, kernel // 2)
            self.stages.append(nn.Sequential(halving, nn.ReLU(), *(Residual(after) for _ in range(blocks))))

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        features = []
        for stage in self.stages:
            pictures = stage(pictures)
            features.append(pictures)
        return features


def features_of(stages: list[torch.Tensor]) -> torch.Tensor:
    """What the encoder's stages say of pictures, as float [n, 4 * 96]."""
    return functional.avg_pool2d(stages[-1], 2).flatten(1)


def face_extractor(device: torch.device) -> Extractor:
    """Means of the last stage's channels over each quarter of the picture, so that layout counts.

    Distances in it are not FID. Raises ValueError when the weights are not those that this version belongs to.
    """
    if (found := sha256(WEIGHTS)) != SHA256:
        raise ValueError(f"{WEIGHTS.name} has the digest {found}, and should have {SHA256}")
    encoder = FaceEncoder()
    encoder.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    encoder.requires_grad_(False).eval().to(device)
    encoder.to(memory_format=torch.channels_last)

    def extract(images: torch.Tensor) -> torch.Tensor:
        pictures = to_network(images.to(device))
        if pictures.shape[2:] != (SIDE, SIDE):
            pictures = functional.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True)
        return features_of(encoder(pictures))

    protocol = {"resize": f"bilinear, antialiased, to {SIDE}x{SIDE}", "space": SPACE}
    return Extractor("face", "_face", SHA256, 4 * WIDTHS[-1], protocol, extract)
