"""Pictures from a generator, and the quick score that chooses the best weights of a training."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from facegan.data.batches import to_uint8
from facegan.evaluation.extractor import BATCH, Extractor
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance
from facegan.randomness import generator as random_generator
from facegan.randomness import latents


def generate(network: nn.Module, latent: torch.Tensor, device: torch.device) -> Iterator[torch.Tensor]:
    """uint8 [n, size, size, 3] in batches, in eval mode, from float [count, latent]."""
    network.eval()
    for part in latent.split(BATCH):
        with torch.no_grad():
            pictures = to_uint8(network(part.to(device)))
        yield pictures  # outside: the caller keeps the mode it was in


def quick_score(
    images: torch.Tensor, extractor: Extractor, dimensions: int, seed: int, device: torch.device
) -> Callable[[nn.Module], float]:
    """A judge for use while training: Frechet distance of 1,000 generated pictures to at most 10,000 of ``images``.

    Its latents are not those of ``scores``.
    """
    real = FeatureStatistics(extractor.sha256)
    chosen = torch.randperm(len(images), generator=random_generator(seed, "judge"))[:10_000]
    for features in extractor.batches(images[chosen]):
        real.update(features)
    latent = latents(1000, dimensions, seed, "judge")

    def score(network: nn.Module) -> float:
        fake = FeatureStatistics(extractor.sha256)
        for pictures in generate(network, latent, device):
            for features in extractor.batches(pictures):
                fake.update(features)
        return frechet_distance(real, fake)

    return score
