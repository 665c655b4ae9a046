"""Networks that know labels, around those that do not: which picture is asked for, and which is shown.

The generator gets an embedding of the labels behind its latent. One with conditional norms shows it to those alone:
at its first layer, before a norm, it kept the latent from being used. The discriminator's logit is a projection
(Miyato & Koyama, 2018, equation 3): it gives a vector beside its logit, whose mean product with an embedding of the
labels is added. Embeddings are normalised, as StyleGAN2-ADA's (Karras et al., 2020).

Labels are int64 [n, columns], a class each; -1 is unknown, which has an embedding of its own in every column.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

EMBEDDING = 32  # dimensions


class LabelEmbedding(nn.Module):
    """Labels to float [n, EMBEDDING] of unit mean square: the sum over the columns, normalised."""

    def __init__(self, classes: Sequence[int]) -> None:
        super().__init__()
        self.columns = nn.ParameterList(torch.empty(count + 1, EMBEDDING) for count in classes)

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        # A product, whose gradient is the same every time: a look-up's is added up in any order on a GPU.
        parts = [
            functional.one_hot(labels[:, place] + 1, len(table)).to(table.dtype) @ table
            for place, table in enumerate(self.columns)
        ]
        total = torch.stack(parts).sum(0).float()
        return total * (total.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class ConditionalGenerator(nn.Module):
    """``network`` takes ``EMBEDDING`` numbers behind those of the latent."""

    def __init__(self, network: nn.Module, classes: Sequence[int]) -> None:
        super().__init__()
        self.network, self.embedding = network, LabelEmbedding(classes)

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """float [n, latent] and int64 [n, columns] to float [n, channels, h, w]."""
        pictures: torch.Tensor = self.network(torch.cat([latent, self.embedding(labels)], 1))
        return pictures


class ProjectionDiscriminator(nn.Module):
    """``network`` gives 1 + ``EMBEDDING`` numbers for each picture."""

    def __init__(self, network: nn.Module, classes: Sequence[int]) -> None:
        super().__init__()
        self.network, self.embedding = network, LabelEmbedding(classes)

    def forward(self, pictures: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """float [n, channels, h, w] and int64 [n, columns] to logits float [n]."""
        given = self.network(pictures)
        logits: torch.Tensor = given[:, 0] + (given[:, 1:] * self.embedding(labels)).mean(1)
        return logits


def initialise(network: nn.Module, source: torch.Generator) -> None:
    """N(0, 1) for the embeddings of a conditional network."""
    if isinstance(network, ConditionalGenerator | ProjectionDiscriminator):
        for table in network.embedding.columns:
            nn.init.normal_(table, generator=source)
