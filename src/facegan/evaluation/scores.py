"""The scores of a generator against real pictures, each with its real-against-real floor and its protocol."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import nn

from facegan.data.stored import Pictures, in_parts
from facegan.evaluation.extractor import BATCH, Extractor
from facegan.evaluation.generation import generate
from facegan.evaluation.inception_score import SPLITS, InceptionScore
from facegan.evaluation.kernel import kernel_distance
from facegan.evaluation.metrics import metric
from facegan.evaluation.neighbors import K_DENSITY, manifold_scores
from facegan.evaluation.pixels import most
from facegan.evaluation.reference import Progress, Reference
from facegan.evaluation.spread import entry, groups, jackknife
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance, frechet_distances
from facegan.files import json_digest
from facegan.randomness import generator as random_generator
from facegan.sharing import HERE, Compute

Scores = dict[str, dict[str, Any]]  # by name: value, spread, floor, n and more


@dataclass(frozen=True)
class Generated:
    """What a generator drew, in feature space: all of it as statistics, and the first of it as it is.

    ``features`` float32 [n, d], as many as the floor has; ``pictures`` uint8 [m, h, w, 3], at most 5,000;
    ``asked`` int64 [count, columns] are the labels that they were asked for, of no columns without;
    ``certainty`` are Inception Scores of all and of the first n, where the extractor has a classifier.
    """

    everything: FeatureStatistics
    first: FeatureStatistics
    features: torch.Tensor
    pictures: torch.Tensor
    certainty: tuple[InceptionScore, InceptionScore]
    asked: torch.Tensor


def measured(
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]], extractor: Extractor, count: int, n: int, progress: Progress
) -> Generated:
    """``count`` pictures that come in ``batches``: the pictures to keep uint8 [a, h, w, 3] (none after the
    first 5,000 or fewer), and the features of all float32 [b, d], of which the first ``n`` are kept.
    """
    everything, first = FeatureStatistics(extractor.sha256), FeatureStatistics(extractor.sha256)
    kept: list[torch.Tensor] = []
    seen: list[torch.Tensor] = []
    certainty = InceptionScore(count), InceptionScore(n)
    done = 0
    for pictures, features in batches:
        seen.append(pictures.cpu())
        everything.update(features)
        chosen = features[: max(0, n - done)]
        if extractor.classifier is not None:
            logits = features.to(extractor.classifier.device) @ extractor.classifier.T
            certainty[0].update(logits)
            certainty[1].update(logits[: len(chosen)])
        first.update(chosen)
        kept.append(chosen.cpu())
        done += len(features)
        progress(len(features))
    return Generated(everything, first, torch.cat(kept), torch.cat(seen), certainty, torch.empty((count, 0)))


def extracted(pictures: Pictures, extractor: Extractor) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of uint8 ``pictures`` [count, h, w, 3] that are there already, for ``measured``."""
    for start, images in zip(range(0, len(pictures), BATCH), in_parts(pictures, BATCH), strict=True):
        yield images[: max(0, most(images.shape) - start)], next(extractor.batches(images))


def draw(
    network: nn.Module,
    drawn: tuple[torch.Tensor, ...],
    extractor: Extractor,
    n: int,
    progress: Progress,
    compute: Compute = HERE,
) -> Generated:
    """What ``network`` draws, to be scored, from latents float [count, latent], and labels if any."""
    count = len(drawn[0])

    def work(start: int) -> dict[str, torch.Tensor]:
        images = next(generate(network, tuple(part[start : start + BATCH] for part in drawn), compute.device))
        return {"pictures": images[: max(0, most(images.shape) - start)], "features": next(extractor.batches(images))}

    batches = ((part["pictures"], part["features"]) for part in compute.processes.share(range(0, count, BATCH), work))
    found = measured(batches, extractor, count, n, progress)
    return replace(found, asked=drawn[1]) if len(drawn) > 1 else found


def feature_scores(
    real: Reference, fake: Generated, extractor: Extractor, seed: int, compute: Compute = HERE
) -> Scores:
    """Every score in the extractor's space, with floors.

    Of the Frechet distance, ``at_n`` and ``floor`` are over n pictures a side and may be compared with each other, and
    ``value`` is over all. The others need no more than n a side.
    """
    found: Scores = {}
    for family in dict.fromkeys(FAMILY.values()):
        found |= family(real, fake, extractor, seed, compute)
    return found


def frechet(real: Reference, fake: Generated, extractor: Extractor, seed: int, compute: Compute = HERE) -> Scores:
    """The Frechet distance; in Inception's space it is called FID."""
    found = entry(
        frechet_distance(real.everything, fake.everything),
        _frechet_spread(real.first, fake.features, compute),
        frechet_distance(real.first, real.second),
        None,
        len(real.features_first),
        at_n=frechet_distance(real.first, fake.first),
    )
    return {f"fd{extractor.suffix}" if extractor.suffix else "fid": found}


def kernel(real: Reference, fake: Generated, extractor: Extractor, seed: int, compute: Compute = HERE) -> Scores:
    found = kernel_distance(real.features_first, fake.features, seed, compute)
    floor = kernel_distance(real.features_first, real.features_second, seed, compute)
    n = len(real.features_first)
    error = {"error": found.error} if found.error is not None else {}
    told = entry(found.mean, found.std, floor.mean, floor.std, n, subset_size=found.subset_size, **error)
    return {f"kid{extractor.suffix}": told}


def inception_score(
    real: Reference, fake: Generated, extractor: Extractor, seed: int, compute: Compute = HERE
) -> Scores:
    """Where the extractor has a classifier."""
    if extractor.classifier is None:
        return {}
    n = len(real.features_first)
    # Splits are of consecutive pictures, and real ones may be sorted by class.
    order = torch.randperm(n, generator=random_generator(seed, "inception score"))
    of_real = InceptionScore(n)
    of_real.update(real.features_first[order].to(extractor.classifier.device) @ extractor.classifier.T)
    (value, std), (at_n, _) = (score.result() for score in fake.certainty)
    floor, floor_std = of_real.result()
    error = std / min(SPLITS, n) ** 0.5
    return {"inception_score": entry(value, std, floor, floor_std, n, at_n=at_n, error=error)}


def manifold(real: Reference, fake: Generated, extractor: Extractor, seed: int, compute: Compute = HERE) -> Scores:
    """Precision, recall, density and coverage, where there are enough pictures."""
    if len(real.features_first) <= K_DENSITY:
        return {}
    floors = manifold_scores(real.features_first, real.features_second, compute)
    shares = manifold_scores(real.features_first, fake.features, compute)
    return {f"{name}{extractor.suffix}": share.beside(floors[name]) for name, share in shares.items()}


# What measures each score in feature space, and some others with it.
FAMILY: dict[str, Callable[[Reference, Generated, Extractor, int, Compute], Scores]] = {
    "fd": frechet,
    "fid": frechet,
    "kid": kernel,
    "inception_score": inception_score,
    **dict.fromkeys(("precision", "recall", "density", "coverage"), manifold),
}


def protocol(
    real: Reference, fake: Generated, extractor: Extractor, found: Scores, seed: int, digests: list[str]
) -> dict[str, Any]:
    """What decides the numbers in ``found``, beside the generator; ``digests`` are those of the shards."""
    return {
        "extractor": extractor.name,
        "extractor_sha256": extractor.sha256,
        **extractor.protocol,
        "dimensions": extractor.dimensions,
        "generated": fake.everything.count,
        "real": real.everything.count,
        "pictures": json_digest(sorted(digests)),
        "generator": "averaged weights, eval mode, rounded to uint8",
        "seed": seed,
        "scores": {name: f"{metric(name).definition}; against {metric(name).real}" for name in found},
    }


def _frechet_spread(real: FeatureStatistics, features: torch.Tensor, compute: Compute) -> float | None:
    """Standard error of the distance between ``real`` and ``features`` float [n, d]."""
    group = groups(len(features))
    parts = [FeatureStatistics(real.extractor).update(features[group == number]) for number in group.unique().tolist()]
    rest = [
        reduce(add, (part for place, part in enumerate(parts) if place != number), FeatureStatistics(real.extractor))
        for number in range(len(parts))
    ]
    if any(part.count < 2 for part in rest):
        return None
    each = -(-len(rest) // compute.processes.count)

    def work(part: slice) -> torch.Tensor:
        return torch.tensor(frechet_distances(real, rest[part]), dtype=torch.float64)

    distances = compute.rows(len(rest), each, work)
    return jackknife(len(features), lambda number: float(distances[number]))
