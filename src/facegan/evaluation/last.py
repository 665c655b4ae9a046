"""The last weights of a training beside its best ones: whether another score than the judge's prefers them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from facegan.evaluation.comparison import verdict
from facegan.evaluation.extractor import BATCH, Extractor
from facegan.evaluation.generation import generate
from facegan.evaluation.metrics import metric
from facegan.evaluation.pixels import MOST, PIXEL_SCORES, RealPictures
from facegan.evaluation.reference import SCORING_SEED, Reference
from facegan.evaluation.scores import Scores, frechet, measured
from facegan.evaluation.suite import GRID, Evaluation, Real
from facegan.randomness import Inputs

DETAIL = "sliced_wasserstein"  # of all scores without a network, the one that ranks generators best: docs/SCORES.md


@dataclass(frozen=True)
class Last:
    """``scores`` of the last weights, those of them that are ``better`` than the best weights' beyond their errors,
    and a ``grid`` uint8 [36, size, size, 3] of the latents that the best weights' grid has.
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
    device: torch.device,
    best: Evaluation,
) -> Last:
    """The Frechet distance and the sliced Wasserstein distance of ``network``, on the latents of ``best``."""
    inputs = Inputs(latent, real.labels.table)
    n = min(len(reference.features_first), generated)
    drawn = tuple(part[:n] for part in inputs.draw(generated, seed, "evaluate"))
    batches = ((images, next(extractor.batches(images))) for images in generate(network, drawn, device))
    kept = ((images[: max(0, MOST - place * BATCH)], features) for place, (images, features) in enumerate(batches))
    fake = measured(kept, extractor, n, n, lambda _: None)
    sides = RealPictures.of(real.train, real.held_out, len(reference.features_first), SCORING_SEED)
    found = frechet(reference, fake, extractor, SCORING_SEED)
    pictures = fake.pictures[: len(sides.first)]
    found[DETAIL] = PIXEL_SCORES[DETAIL](
        sides.first[: len(pictures)], sides.second[: len(pictures)], pictures, SCORING_SEED
    )
    better = [name for name, score in found.items() if verdict(name, best.report[name], score) == "better"]
    grid = next(generate(network, inputs.draw(GRID, seed, "figure"), device)).cpu()
    return Last(found, better, grid)
