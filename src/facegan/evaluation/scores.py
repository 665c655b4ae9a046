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
    certainty = InceptionScore(generated)
    done = 0
    for images in generate(network, inputs.draw(generated, seed, "evaluate"), device):
        for features in extractor.batches(images):
            everything.update(features)
            if extractor.classifier is not None:
                certainty.update(features @ extractor.classifier.T)
            chosen = features[: max(0, n - done)]
            first.update(chosen)
            kept.append(chosen.cpu())
            done += len(features)
        progress(len(images))
    fake = torch.cat(kept)
    kid = kernel_distance(real.features_first, fake, seed)
    kid_floor = kernel_distance(real.features_first, real.features_second, seed)
    frechet = "fid" if not extractor.suffix else f"fd{extractor.suffix}"
    report = {
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
            **({} if extractor.classifier is None else {"inception_score": f"{SPLITS} splits; higher is better"}),
            "seed": seed,
        },
    }
    if extractor.classifier is not None:
        report |= _inception_score(certainty, real.features_first, extractor.classifier)
    return report


def _inception_score(
    generated: InceptionScore, real: torch.Tensor, classifier: torch.Tensor
) -> dict[str, dict[str, Any]]:
    """Over all generated pictures; ``floor`` is that of n real ones, and higher is better."""
    value, std = generated.result()
    of_real = InceptionScore(len(real))
    of_real.update(real.to(classifier.device) @ classifier.T)
    floor, floor_std = of_real.result()
    return {
        "inception_score": {"value": value, "std": std, "floor": floor, "floor_std": floor_std, "n": len(real)},
    }
