"""Pictures from a generator, and the quick score that chooses the best weights of a training."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from facegan.data.batches import input_batches, to_uint8
from facegan.evaluation.extractor import BATCH, Extractor
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance
from facegan.randomness import Inputs
from facegan.randomness import generator as random_generator


def generate(network: nn.Module, inputs: tuple[torch.Tensor, ...], device: torch.device) -> Iterator[torch.Tensor]:
    """uint8 [n, size, size, 3] in batches, in eval mode, from latents float [count, latent], and labels if any."""
    network.eval()
    for part in input_batches(inputs, device, BATCH):
        with torch.no_grad():
            pictures = to_uint8(network(*part))
        yield pictures  # outside: the caller keeps the mode it was in


def quick_score(
    images: torch.Tensor, extractor: Extractor, inputs: Inputs, seed: int, device: torch.device
) -> Callable[[nn.Module], float]:
    """A judge for use while training: Frechet distance of 1,000 generated pictures to at most 10,000 of ``images``.

    Its inputs are not those of ``scores``.
    """
    real = FeatureStatistics(extractor.sha256)
    chosen = torch.randperm(len(images), generator=random_generator(seed, "judge"))[:10_000]
    for features in extractor.batches(images[chosen]):
        real.update(features)
    drawn = inputs.draw(1000, seed, "judge")

    def score(network: nn.Module) -> float:
        fake = FeatureStatistics(extractor.sha256)
        for pictures in generate(network, drawn, device):
            for features in extractor.batches(pictures):
                fake.update(features)
        return frechet_distance(real, fake)

    return score
