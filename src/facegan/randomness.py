"""All randomness is a pure function of what it is for.

Nothing draws from a global generator: each use names itself and its step, and gets a generator of its own. So no
random state need be saved, and a resumed run draws what an uninterrupted one would have.
"""

import hashlib

import torch


def derived_seed(seed: int, purpose: str, number: int = 0) -> int:
    """63 bits from (seed, purpose, number), by SHA-256."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """A CPU generator for one use at one step; drawn there, a number is the same on every device.

    PyTorch's takes the low 32 bits of the seed: of 100,000 steps, a pair or so may share its noise, which is harmless.
    """
    return torch.Generator().manual_seed(derived_seed(seed, purpose, number))


def latents(count: int, dimensions: int, seed: int, purpose: str, number: int = 0) -> torch.Tensor:
    """Standard normal float32 [count, dimensions]."""
    return torch.randn((count, dimensions), generator=generator(seed, purpose, number))
