"""Pictures from a generator."""

from collections.abc import Iterator

import torch
from torch import nn

from facegan.data.batches import input_batches, to_uint8
from facegan.data.rgb import to_rgb
from facegan.evaluation.extractor import BATCH


def generate(network: nn.Module, drawn: tuple[torch.Tensor, ...], device: torch.device) -> Iterator[torch.Tensor]:
    """uint8 [n, h, w, 3] in batches, in eval mode, from latents float [count, latent], and labels if any."""
    network.eval()
    for part in input_batches(drawn, device, BATCH):
        with torch.no_grad():
            few = input_batches(part, device, at_once_of(network))
            pictures = torch.cat([to_rgb(to_uint8(network(*inputs))) for inputs in few])
        yield pictures  # outside: the caller keeps the mode it was in


def at_once_of(network: nn.Module) -> int:
    """How many pictures the network draws in one pass: fewer when they are large."""
    count = getattr(network, "at_once", BATCH)
    return count if isinstance(count, int) else BATCH
