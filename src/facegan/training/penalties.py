"""Penalties on the gradient of the discriminator's logits with respect to its input.

In fp32, and differentiable themselves. A discriminator must treat the pictures of a batch alone for a gradient to
belong to one of them.
"""

from collections.abc import Callable

import torch

from facegan.networks.convolutions import gradients_of_pictures

Logits = Callable[[torch.Tensor], torch.Tensor]


def squared_gradient(logits: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of |grad D(x)|^2, of ``logits`` [n] made from ``pictures`` [n, ...] that require gradients.

    R1 on real pictures (Mescheder et al., 2018, equation 9) and R2 on fakes are gamma / 2 times it.
    """
    return _gradient(logits, pictures).square().flatten(1).sum(1).mean()


def gradient_penalty(
    discriminator: Logits, real: torch.Tensor, fake: torch.Tensor, shares: torch.Tensor
) -> torch.Tensor:
    """Mean over the batch of (|grad D(x)| - 1)^2 on ``shares`` [n] of the way from ``real`` to ``fake``.

    Gulrajani et al., 2017 (section 4), where its weight is 10.
    """
    between = torch.lerp(real, fake, shares[:, None, None, None]).requires_grad_()
    length = _gradient(discriminator(between), between).square().flatten(1).sum(1)
    return ((length + 1e-12).sqrt() - 1).square().mean()  # the root of 0 has no gradient


def _gradient(logits: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    with gradients_of_pictures():
        (gradient,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return gradient
