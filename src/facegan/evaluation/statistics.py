"""Mean and covariance of features, gathered in a stream, and the Frechet distance between two of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch


@dataclass
class FeatureStatistics:
    """fp64 sums over features float [n, d] that arrive in batches; sums are taken about the first batch's mean.

    ``extractor`` names the feature space (its SHA-256): distances between two spaces mean nothing.
    """

    extractor: str
    count: int = 0
    _shift: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    _sum: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    _products: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def update(self, features: torch.Tensor) -> "FeatureStatistics":
        """Add float [n, d]. Raises ValueError for features that are not finite."""
        if not len(features):
            return self
        features = features.to(torch.float64)
        if not torch.isfinite(features).all():
            raise ValueError("features are not finite")
        if not self.count:
            dimensions = features.shape[1]
            self._shift = features.mean(0)
            self._sum = torch.zeros(dimensions, dtype=torch.float64, device=features.device)
            self._products = torch.zeros((dimensions, dimensions), dtype=torch.float64, device=features.device)
        centred = features - self._shift
        self.count += len(features)
        self._sum += centred.sum(0)
        self._products.addmm_(centred.T, centred)
        return self

    @property
    def mean(self) -> torch.Tensor:
        """fp64 [d]."""
        return self._shift + self._sum / self.count

    @property
    def covariance(self) -> torch.Tensor:
        """fp64 [d, d], with the N-1 divisor. Raises ValueError for fewer than two samples."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 samples, there are {self.count}")
        return (self._products - torch.outer(self._sum, self._sum) / self.count) / (self.count - 1)

    def __add__(self, other: "FeatureStatistics") -> "FeatureStatistics":
        """Of both sets together. Raises ValueError when their feature spaces differ."""
        if self.extractor != other.extractor:
            raise ValueError("the two sets of features come from different extractors")
        if not self.count or not other.count:
            return self if self.count else other
        moved = other._shift - self._shift
        cross = torch.outer(other._sum, moved)
        products = other._products + cross + cross.T + other.count * torch.outer(moved, moved)
        total = self._sum + other._sum + other.count * moved
        return FeatureStatistics(
            self.extractor, self.count + other.count, self._shift, total, self._products + products
        )

    def tensors(self, prefix: str) -> dict[str, torch.Tensor]:
        """For a safetensors file."""
        values = (torch.tensor(self.count), self._shift, self._sum, self._products)
        return {key: value.cpu() for key, value in zip(self.keys(prefix), values, strict=True)}

    @staticmethod
    def keys(prefix: str) -> list[str]:
        """Of ``tensors``."""
        return [f"{prefix}.{name}" for name in ("count", "shift", "sum", "products")]

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor], prefix: str, extractor: str) -> "FeatureStatistics":
        count, shift, total, products = (tensors[key] for key in cls.keys(prefix))
        return cls(extractor, int(count), shift, total, products)


def frechet_distance(real: FeatureStatistics, fake: FeatureStatistics) -> float:
    """Squared Frechet (2-Wasserstein) distance between two Gaussians (Heusel et al., 2017).

    |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)). The last trace is the sum of the square roots of the
    eigenvalues of R' S2 R with S1 = R R': symmetric, so that no matrix square root and no complex number is needed.
    Raises ValueError when the feature spaces differ or there are fewer than two samples.
    """
    return frechet_distances(real, [fake])[0]


def frechet_distances(real: FeatureStatistics, fakes: Sequence[FeatureStatistics]) -> list[float]:
    """``frechet_distance`` of each of ``fakes``; the real covariance is taken apart once."""
    covariance_real = real.covariance.cpu()
    values, vectors = torch.linalg.eigh(covariance_real)
    root = vectors * values.clamp_min(0).sqrt()
    distances = []
    for fake in fakes:
        if real.extractor != fake.extractor:
            raise ValueError("the two sets of features come from different extractors")
        covariance_fake = fake.covariance.cpu()
        product = root.T @ covariance_fake @ root
        trace = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
        difference = real.mean.cpu() - fake.mean.cpu()
        distance = difference @ difference + covariance_real.trace() + covariance_fake.trace() - 2 * trace
        if not torch.isfinite(distance):
            raise ValueError("the statistics are not finite")
        distances.append(max(0.0, float(distance)))  # two equal sets come out at minus a rounding error
    return distances
