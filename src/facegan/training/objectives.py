"""Losses on logits, looked up by ``train.objective``. D(x) and D(G(z)) are float [n]; every loss is a scalar."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import softplus

Tensor = torch.Tensor


@dataclass(frozen=True)
class Objective:
    """``discriminator(D(x), D(G(z)))`` and ``generator(D(G(z)))``, both to be minimised."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _bce_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def _bce_generator(fake: Tensor) -> Tensor:
    return softplus(-fake).mean()


OBJECTIVES: dict[str, Objective] = {
    # Goodfellow et al., 2014: binary cross-entropy, non-saturating for the generator (section 3).
    "bce": Objective(_bce_discriminator, _bce_generator),
}
