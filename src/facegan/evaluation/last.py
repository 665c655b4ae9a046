"""The last weights of a training beside its best ones: whether another score than the judge's prefers them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from facegan.evaluation.comparison import verdict
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.generation import generate
from facegan.evaluation.metrics import metric
from facegan.evaluation.pixels import PIXEL_SCORES, RealPictures
from facegan.evaluation.reference import SCORING_SEED, Reference
from facegan.evaluation.scores import Scores, draw, frechet
from facegan.evaluation.suite import GRID, Evaluation, Real
from facegan.randomness import Inputs
from facegan.sharing import HERE, Compute

DETAIL = "sliced_wasserstein"  # of all scores without a network, the one that ranks generators best: docs/SCORES.md


@dataclass(frozen=True)
class Last:
    """``scores`` of the last weights, those of them that are ``better`` than the best weights' beyond their errors,
    and a ``grid`` uint8 [36, h, w, 3] of the latents that the best weights' grid has.
    """

    scores: Scores
    better: list[str]
    grid: torch.Tensor

    def told(self) -> dict[str, Any]:
        return {"scores": self.scores, "better": self.better}

    def beside(self, best: dict[str, Any]) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
        """Title, name, entry in the report of the ``best`` weights and own entry of each score that is better."""
        return [(metric(name).title, name, best[name], self.scores[name]) for name in self.better]


def score_last(
    network: nn.Module,
    latent: int,
    real: Real,
    reference: Reference,
    extractor: Extractor,
    generated: int,
    seed: int,
    best: Evaluation,
    judge: str,
    compute: Compute = HERE,
) -> Last:
    """The Frechet distance and the sliced Wasserstein distance of ``network``, on the latents of ``best``.

    Of these, the one that ``judge`` names is no second opinion, and is not among those that are better.
    """
    inputs = Inputs(latent, real.labels.table)
    n = min(len(reference.features_first), generated)
    drawn = tuple(part[:n] for part in inputs.draw(generated, seed, "evaluate"))
    fake = draw(network, drawn, extractor, n, lambda _: None, compute)
    sides = RealPictures.of(real.train, real.held_out, len(reference.features_first), SCORING_SEED)
    found = frechet(reference, fake, extractor, SCORING_SEED, compute)
    pictures = fake.pictures[: len(sides.first)]
    found[DETAIL] = PIXEL_SCORES[DETAIL](
        sides.first[: len(pictures)], sides.second[: len(pictures)], pictures, SCORING_SEED, compute
    )
    others = {name: score for name, score in found.items() if name != judge}
    better = [name for name, score in others.items() if verdict(name, best.report[name], score) == "better"]
    grid = next(generate(network, inputs.draw(GRID, seed, "figure"), compute.device)).cpu()
    return Last(found, better, grid)
