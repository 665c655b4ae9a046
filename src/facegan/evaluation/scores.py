"""The scores of a generator against real pictures, each with its real-against-real floor and its protocol."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from facegan.evaluation.extractor import BATCH, Extractor
from facegan.evaluation.inception_score import SPLITS, InceptionScore
from facegan.evaluation.judge import generate
from facegan.evaluation.kernel import SUBSETS, kernel_distance
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance
from facegan.files import json_digest, write_atomic
from facegan.randomness import Inputs
from facegan.randomness import generator as random_generator

Progress = Callable[[int], object]  # told how many pictures went by


@dataclass(frozen=True)
class Reference:
    """Real pictures in feature space: all of them, and two disjoint sets of ``n`` for the floor."""

    everything: FeatureStatistics
    first: FeatureStatistics
    second: FeatureStatistics
    features_first: torch.Tensor  # float32 [n, d]
    features_second: torch.Tensor  # float32 [n, d]


def reference(
    images: torch.Tensor,
    extractor: Extractor,
    n: int,
    seed: int,
    cache: Path,
    digests: list[str],
    environment: str,
    progress: Progress,
) -> Reference:
    """Features of uint8 ``images`` [m, h, w, 3], from ``cache`` when the same have been there before.

    ``digests`` are those of the shards: with the extractor, the ``environment`` (device, threads, torch), ``n`` and
    the seed they decide the result.
    """
    key = json_digest([sorted(digests), extractor.sha256, extractor.protocol, environment, n, seed])
    path = cache / f"reference-{key[:16]}.safetensors"
    names = ("everything", "first", "second")
    if path.is_file():
        try:
            held = load_file(path)
            progress(len(images))
            everything, first, second = (FeatureStatistics.from_tensors(held, name, extractor.sha256) for name in names)
            return Reference(everything, first, second, held["features_first"], held["features_second"])
        except (SafetensorError, KeyError):  # cut short or another layout: computed again
            path.unlink()
    order = torch.randperm(len(images), generator=random_generator(seed, "floor"))
    member = torch.zeros(len(images), dtype=torch.int8)
    member[order[:n]], member[order[n : 2 * n]] = 1, 2
    statistics = [FeatureStatistics(extractor.sha256) for _ in names]
    kept: dict[int, list[torch.Tensor]] = {1: [], 2: []}
    for part, features in zip(member.split(BATCH), extractor.batches(images), strict=True):
        statistics[0].update(features)
        for which in (1, 2):
            chosen = features[part == which]
            statistics[which].update(chosen)
            kept[which].append(chosen.cpu())
        progress(len(part))
    everything, first, second = statistics
    result = Reference(everything, first, second, torch.cat(kept[1]), torch.cat(kept[2]))
    tensors = {"features_first": result.features_first, "features_second": result.features_second}
    for name, part_statistics in zip(names, statistics, strict=True):
        tensors |= part_statistics.tensors(name)
    write_atomic(path, save(tensors))
    return result


def scores(
    network: nn.Module,
    inputs: Inputs,
    real: Reference,
    extractor: Extractor,
    generated: int,
    seed: int,
    device: torch.device,
    progress: Progress,
) -> dict[str, Any]:
    """Frechet and kernel distance of ``generated`` pictures, with floors, as ``reports/evaluate.json`` holds them.

    Of the Frechet distance, ``at_n`` and ``floor`` are over n pictures a side and may be compared with each other, and
    ``value`` is over all. The kernel distance is unbiased and needs no more than n a side.
    """
    n = len(real.features_first)
    everything, first = FeatureStatistics(extractor.sha256), FeatureStatistics(extractor.sha256)
    kept: list[torch.Tensor] = []
    certainty = InceptionScore(generated), InceptionScore(n), InceptionScore(n)
    done = 0
    for images in generate(network, inputs.draw(generated, seed, "evaluate"), device):
        for features in extractor.batches(images):
            everything.update(features)
            chosen = features[: max(0, n - done)]
            if extractor.classifier is not None:
                certainty[0].update(features @ extractor.classifier.T)
                certainty[1].update(chosen @ extractor.classifier.T)
            first.update(chosen)
            kept.append(chosen.cpu())
            done += len(features)
        progress(len(images))
    fake = torch.cat(kept)
    kid = kernel_distance(real.features_first, fake, seed)
    kid_floor = kernel_distance(real.features_first, real.features_second, seed)
    frechet = "fid" if not extractor.suffix else f"fd{extractor.suffix}"
    report: dict[str, Any] = {
        frechet: {
            "value": frechet_distance(real.everything, everything),
            "at_n": frechet_distance(real.first, first),
            "floor": frechet_distance(real.first, real.second),
            "n": n,
        },
        f"kid{extractor.suffix}": {
            "value": kid.mean,
            "std": kid.std,
            "floor": kid_floor.mean,
            "floor_std": kid_floor.std,
            "n": n,
            "subset_size": kid.subset_size,
        },
        "protocol": {
            "extractor": extractor.name,
            "extractor_sha256": extractor.sha256,
            **extractor.protocol,
            "dimensions": extractor.dimensions,
            "generated": everything.count,
            "real": real.everything.count,
            "real_pictures": "all shards, training and held out, not mirrored",
            "generator": "averaged weights, eval mode, rounded to uint8",
            "kid": f"{SUBSETS} subsets of {kid.subset_size} from {n} a side",
            "seed": seed,
        },
    }
    if extractor.classifier is not None:
        # Splits are of consecutive pictures, and real ones may be sorted by class.
        order = torch.randperm(n, generator=random_generator(seed, "inception score"))
        certainty[2].update(real.features_first[order].to(extractor.classifier.device) @ extractor.classifier.T)
        report["protocol"]["inception_score"] = f"{SPLITS} splits; higher is better; floor is that of real pictures"
        (value, std), (at_n, _), (of_real, std_of_real) = (score.result() for score in certainty)
        report["inception_score"] = {
            "value": value,
            "std": std,
            "at_n": at_n,
            "floor": of_real,
            "floor_std": std_of_real,
            "n": n,
        }
    return report
