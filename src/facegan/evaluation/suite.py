"""Everything that is measured of a generator, and the pictures that a report shows of it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from facegan.data.labels import Labels
from facegan.data.stored import Pictures
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.figures import Figure, by_density, closest_to_training, truncation, walks
from facegan.evaluation.generation import generate
from facegan.evaluation.labels import class_scores, label_accuracy, train_classifier
from facegan.evaluation.pixels import RealPictures, copies, pixel_scores
from facegan.evaluation.reference import SCORING_SEED, Progress, Reference
from facegan.evaluation.scores import draw, feature_scores, protocol
from facegan.evaluation.warnings import warnings
from facegan.randomness import Inputs
from facegan.sharing import HERE, Compute
from facegan.sizes import channels_of

GRID = 36  # pictures
SEEN = {1: "gray, in three equal channels", 4: "over white, by real and generated transparency"}  # of other than RGB


@dataclass(frozen=True)
class Real:
    """Pictures uint8 [n, h, w, 3] of both splits with their labels, and how they became so."""

    train: Pictures
    held_out: Pictures
    train_labels: Labels
    held_out_labels: Labels
    manifest: dict[str, Any]

    @property
    def labels(self) -> Labels:
        """Of all pictures."""
        return Labels(self.train_labels.names, torch.cat([self.train_labels.table, self.held_out_labels.table]))

    @property
    def digests(self) -> list[str]:
        return [shard["sha256"] for shard in self.manifest["shards"]]


@dataclass(frozen=True)
class Evaluation:
    """``report`` is that of ``reports/evaluate.json``; ``grid`` uint8 [36, h, w, 3]; ``classes`` a row each."""

    report: dict[str, Any]
    grid: torch.Tensor
    figures: list[Figure]
    classes: list[dict[str, Any]]


def evaluate_generator(
    network: nn.Module,
    latent: int,
    real: Real,
    reference: Reference,
    extractor: Extractor,
    generated: int,
    seed: int,
    progress: Progress,
    compute: Compute = HERE,
) -> Evaluation:
    """Score ``generated`` pictures of ``network``, which takes labels where ``real`` has names of classes.

    ``seed`` is that of its latents. Which real pictures it is held against, and how, is the same for every seed, so
    that two trainings differ in nothing else.
    """
    labels = real.labels
    inputs = Inputs(latent, labels.table)
    n = len(reference.features_first)
    drawn = inputs.draw(generated, seed, "evaluate")  # latents that nothing else uses
    fake = draw(network, drawn, extractor, n, progress, compute)
    pictures = RealPictures.of(real.train, real.held_out, n, SCORING_SEED)
    found = feature_scores(reference, fake, extractor, SCORING_SEED, compute)
    found |= pixel_scores(pictures, fake.pictures, SCORING_SEED, compute)
    near = copies(pictures, fake.pictures, compute)
    if near is not None:
        found |= near[1]
    classes = []
    if labels.names:
        classes = class_scores(reference, fake.features, fake.asked, labels, SCORING_SEED, compute)
        classifier = train_classifier(real.train, real.train_labels, SCORING_SEED, compute)
        asked = fake.asked[: len(fake.pictures)]
        found |= label_accuracy(classifier, fake.pictures, asked, real.held_out, real.held_out_labels, compute)
    about = protocol(reference, fake, extractor, found, seed, real.digests)
    if labels.names:
        about["labels"] = f"{', '.join(labels.names)}: drawn as the real pictures have them"
    if seen := SEEN.get(channels_of(real.manifest)):
        about["seen"] = seen
    told = warnings(found, extractor.dimensions, real.manifest["enlarged"])

    def of_any_class(latents: torch.Tensor) -> torch.Tensor:
        return torch.cat([part.cpu() for part in generate(network, inputs.of_any_class(latents), compute.device)])

    chosen = inputs.draw(GRID, seed, "figure")
    figures = [closest_to_training(fake.pictures, near[0], real.train)] if near is not None else []
    figures += [
        by_density(fake.pictures, fake.features, reference.features_first),
        walks(of_any_class, chosen[0]),
        truncation(of_any_class, chosen[0]),
    ]
    grid = next(generate(network, chosen, compute.device)).cpu()
    return Evaluation({**found, "protocol": about, "warnings": told}, grid, figures, classes)
