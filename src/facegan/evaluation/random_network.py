"""A feature space that needs no download."""

import hashlib
from itertools import pairwise

import torch
from torch.nn import functional

from facegan.data.batches import to_network
from facegan.evaluation.extractor import Extractor

SPACE = "a fixed random network, which sees colour and texture but no layout"


def random_extractor(device: torch.device) -> Extractor:
    """A fixed random convolutional network (random embeddings: Naeem et al., 2020, section 5).

    Four strided convolutions with LeakyReLU; the features are the mean and the standard deviation of every channel of
    every layer, over the picture. It needs no download; its numbers compare runs with each other, and are not FID.
    """
    source = torch.Generator().manual_seed(20200)
    widths = (3, 16, 32, 64, 128)
    weights = [
        torch.randn((after, before, 4, 4), generator=source) * (2 / (before * 16)) ** 0.5
        for before, after in pairwise(widths)
    ]
    digest = hashlib.sha256(b"".join(weight.numpy().tobytes() for weight in weights)).hexdigest()
    on_device = [weight.to(device).contiguous(memory_format=torch.channels_last) for weight in weights]

    def extract(images: torch.Tensor) -> torch.Tensor:
        activations = to_network(images.to(device))
        features = []
        for weight in on_device:
            activations = functional.leaky_relu(functional.conv2d(activations, weight, stride=2, padding=1), 0.2)
            deviation, mean = torch.std_mean(activations, dim=(2, 3), correction=0)
            features += [mean, deviation]
        return torch.cat(features, 1)

    return Extractor("random", "_random", digest, 2 * sum(widths[1:]), {"resize": "none", "space": SPACE}, extract)
