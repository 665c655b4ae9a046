"""The exponential moving average of the generator, and its batch-norm statistics."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def decay(batch: int, half_life_kimg: float) -> float:
    """Share of the old average kept at a step of ``batch`` images; 0 for a half-life of 0."""
    return 0.5 ** (batch / (half_life_kimg * 1000)) if half_life_kimg > 0 else 0.0


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, kept: float) -> None:
    """``average = kept * average + (1 - kept) * network`` for every parameter; buffers are not touched."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - kept)


@torch.no_grad()
def refresh(average: nn.Module, network: nn.Module, batches: Iterable[tuple[torch.Tensor, ...]]) -> None:
    """Make ``average`` ready to draw: buffers of ``network``, batch norms of its own; leaves eval mode on."""
    for theirs, ours in zip(network.buffers(), average.buffers(), strict=True):
        ours.copy_(theirs)
    reestimate_norms(average, batches)


@torch.no_grad()
def reestimate_norms(network: nn.Module, batches: Iterable[tuple[torch.Tensor, ...]]) -> None:
    """Set the running statistics of batch norms to those of ``batches`` of inputs; leaves eval mode on.

    Averaged weights never ran forward in training, so statistics gathered there belong to other weights.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    network.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        norm.train()
    for inputs in batches:
        network(*inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
