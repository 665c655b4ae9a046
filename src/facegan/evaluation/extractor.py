"""What a feature extractor is: uint8 pictures to feature vectors in a fixed space."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from facegan.data.stored import Pictures, in_parts
from facegan.sizes import at_once

BATCH = 64


@dataclass(frozen=True)
class Extractor:
    """A fixed network: uint8 [n, h, w, 3] to float32 [n, dimensions].

    ``suffix`` ends the names of its scores ("" for Inception alone, whose scores are FID and KID); ``sha256`` is
    that of its weights; ``protocol`` tells what else decides the numbers. ``classifier`` float32 [classes, dimensions]
    makes logits of features, for an Inception Score.
    """

    name: str
    suffix: str
    sha256: str
    dimensions: int
    protocol: dict[str, str]
    extract: Callable[[torch.Tensor], torch.Tensor]
    classifier: torch.Tensor | None = None

    def batches(self, images: Pictures) -> Iterator[torch.Tensor]:
        """Features of uint8 [n, h, w, 3], a batch at a time."""
        for part in in_parts(images, BATCH):
            with torch.no_grad():
                count = at_once((part.shape[1], part.shape[2]))
                features = torch.cat([self.extract(few) for few in part.split(count)])
            yield features  # outside: the caller keeps the mode it was in
