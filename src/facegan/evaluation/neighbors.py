"""Nearest neighbours in feature space: precision, recall, density, coverage."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from facegan.evaluation.spread import entry
from facegan.sharing import HERE, Compute, in_steps

BLOCK, ROWS = 64 * 2**20, 512  # distances in memory at once, and rows of them that one process takes at a time
K_PRECISION, K_DENSITY = 3, 5  # as published


@dataclass(frozen=True)
class Share:
    """A mean over ``n`` pictures and its standard error."""

    value: float
    std: float | None  # not known of a single picture
    n: int

    @classmethod
    def of(cls, values: torch.Tensor) -> "Share":
        values = values.double()
        std = float(values.std(correction=0)) / math.sqrt(len(values)) if len(values) > 1 else None
        return cls(float(values.mean()), std, len(values))

    def beside(self, floor: "Share", **more: Any) -> dict[str, Any]:
        """As an entry of a report."""
        return entry(self.value, self.std, floor.value, floor.std, self.n, **more)


def manifold_scores(real: torch.Tensor, fake: torch.Tensor, compute: Compute = HERE) -> dict[str, Share]:
    """Precision and recall (Kynkaanniemi et al., 2019; k = 3), density and coverage (Naeem et al., 2020; k = 5).

    ``real`` float [n, d] and ``fake`` float [m, d]: precision and density are over the generated pictures, recall and
    coverage over the real ones. In blocks, so that 50,000 a side fit into memory. Raises ValueError for fewer pictures
    than have such neighbours.
    """
    smaller = min(len(real), len(fake))
    if smaller <= K_DENSITY:
        raise ValueError(f"precision and coverage need at least {K_DENSITY + 1} pictures a side, there are {smaller}")
    shift = real.mean(0)  # distances from products of centred features lose less
    real, fake = ((features.float() - shift).to(compute.device) for features in (real, fake))
    radii_precision, radii_density = _squared_radii(real, compute, K_PRECISION, K_DENSITY)
    (radii_recall,) = _squared_radii(fake, compute, K_PRECISION)

    def work(part: slice) -> dict[str, torch.Tensor]:
        distances = squared_distances(real[part], fake)
        return {
            "inside": (distances <= radii_precision[part, None]).any(0),
            "balls": (distances <= radii_density[part, None]).sum(0),
            "recalled": (distances <= radii_recall).any(1),
            "covered": distances.min(1).values <= radii_density[part],
        }

    inside, balls = torch.zeros(len(fake), dtype=torch.bool), torch.zeros(len(fake), dtype=torch.int64)
    recalled, covered = [], []
    for part in compute.processes.share(in_steps(len(real), _step(len(fake))), work):
        inside |= part["inside"]
        balls += part["balls"]
        recalled.append(part["recalled"])
        covered.append(part["covered"])
    return {
        "precision": Share.of(inside),
        "recall": Share.of(torch.cat(recalled)),
        "density": Share.of(balls.double() / K_DENSITY),
        "coverage": Share.of(torch.cat(covered)),
    }


def balls(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """In how many real pictures' neighbourhoods (k = 5) each generated one lies: int64 [m] for float [n, d], [m, d]."""
    shift = real.mean(0)
    real, fake = real.float() - shift, fake.float() - shift
    (radii,) = _squared_radii(real, HERE, min(K_DENSITY, len(real) - 1))
    return (squared_distances(real, fake) <= radii[:, None]).sum(0)


def _squared_radii(features: torch.Tensor, compute: Compute, *ranks: int) -> list[torch.Tensor]:
    """Of the ball around each row that reaches to its k-th nearest other row, float32 [n] for each k of ``ranks``."""

    def work(part: slice) -> torch.Tensor:
        return squared_distances(features[part], features).topk(max(ranks) + 1, largest=False).values

    nearest = compute.rows(len(features), _step(len(features)), work).to(features.device)
    return [nearest[:, rank] for rank in ranks]  # place 0 is the row itself


def _step(columns: int) -> int:
    """How many rows of distances are looked at at once."""
    return max(1, min(ROWS, BLOCK // columns))


def squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """float32 [n, m] between the rows of float32 [n, d] and [m, d]."""
    squares = torch.addmm(b.square().sum(1), a, b.T, alpha=-2)
    return squares.add_(a.square().sum(1)[:, None]).clamp_min_(0)
