"""Losses on logits, looked up by ``train.objective``. D(x) and D(G(z)) are float [n]; every loss is a scalar."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import relu, softplus

Tensor = torch.Tensor


@dataclass(frozen=True)
class Objective:
    """``discriminator(D(x), D(G(z)))`` and ``generator(D(x), D(G(z)))``, both to be minimised.

    ``pairs``: the generator's loss looks at real pictures too. ``bounded``: the discriminator's loss reaches 0 when it
    has won.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    pairs: bool = False
    bounded: bool = True


OBJECTIVES: dict[str, Objective] = {
    # Goodfellow et al., 2014: binary cross-entropy, non-saturating for the generator (section 3).
    "bce": Objective(
        lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        lambda _, fake: softplus(-fake).mean(),
    ),
    # Lim & Ye, 2017; Miyato et al., 2018 (section 3, equations 16 and 17).
    "hinge": Objective(
        lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
        lambda _, fake: -fake.mean(),
    ),
    # Arjovsky et al., 2017 (section 3); D has to be kept Lipschitz by a penalty or spectral norm.
    "wasserstein": Objective(
        lambda real, fake: fake.mean() - real.mean(),
        lambda _, fake: -fake.mean(),
        bounded=False,
    ),
    # Mao et al., 2017 (section 3.2), with labels 0 and 1.
    "least-squares": Objective(
        lambda real, fake: (real - 1).square().mean() + fake.square().mean(),
        lambda _, fake: (fake - 1).square().mean(),
    ),
    # Jolicoeur-Martineau, 2019; R3GAN's, Huang et al., 2024 (section 2): each fake against a real picture.
    "relativistic": Objective(
        lambda real, fake: softplus(fake - real).mean(),
        lambda real, fake: softplus(real - fake).mean(),
        pairs=True,
    ),
}
