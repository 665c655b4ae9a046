"""All randomness is a pure function of what it is for.

Nothing draws from a global generator: each use names itself and its step, and gets a generator of its own. So no
random state need be saved, and a resumed run draws what an uninterrupted one would have.
"""

import hashlib
from dataclasses import dataclass, field

import torch


def derived_seed(seed: int, purpose: str, number: int = 0) -> int:
    """63 bits from (seed, purpose, number), by SHA-256."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """A CPU generator for one use at one step; drawn there, a number is the same on every device.

    PyTorch's takes the low 32 bits of the seed: of 100,000 steps, a pair or so may share its noise, which is harmless.
    """
    return torch.Generator().manual_seed(derived_seed(seed, purpose, number))


@dataclass(frozen=True)
class Inputs:
    """What a generator is drawn from: latents and, for one that knows labels, labels as often as pictures have them.

    ``labels`` int64 [pictures, columns]; without columns a generator takes latents alone.
    """

    dimensions: int
    labels: torch.Tensor = field(default_factory=lambda: torch.empty((1, 0), dtype=torch.int64))

    def draw(self, count: int, seed: int, purpose: str, number: int = 0) -> tuple[torch.Tensor, ...]:
        """Latents float32 [count, dimensions] and, where there are columns, labels int64 [count, columns]."""
        latent = latents(count, self.dimensions, seed, purpose, number)
        if not self.labels.shape[1]:
            return (latent,)
        rows = torch.randint(len(self.labels), (count,), generator=generator(seed, f"{purpose} labels", number))
        return latent, self.labels[rows]

    def of_any_class(self, latent: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """These latents, with unknown labels where there are columns."""
        columns = self.labels.shape[1]
        return (latent, torch.full((len(latent), columns), -1)) if columns else (latent,)


def latents(count: int, dimensions: int, seed: int, purpose: str, number: int = 0) -> torch.Tensor:
    """Standard normal float32 [count, dimensions]."""
    return torch.randn((count, dimensions), generator=generator(seed, purpose, number))
