"""Real pictures in feature space: read once, and remembered."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save

from facegan.data.stored import Pictures
from facegan.evaluation.extractor import BATCH, Extractor
from facegan.evaluation.statistics import FeatureStatistics
from facegan.files import json_digest, locked, write_atomic
from facegan.randomness import generator as random_generator
from facegan.sharing import ALONE, Processes

SCORING_SEED = 1  # of what scores are made with beside the generator: the same for every run
Progress = Callable[[int], object]  # told how many pictures went by


@dataclass(frozen=True)
class Reference:
    """Real pictures in feature space: all of them, and two disjoint sets of ``n`` for the floor."""

    everything: FeatureStatistics
    first: FeatureStatistics
    second: FeatureStatistics
    features_first: torch.Tensor  # float32 [n, d]
    features_second: torch.Tensor  # float32 [n, d]
    first_places: torch.Tensor  # int64 [n], among all pictures
    second_places: torch.Tensor  # int64 [n]


def reference(
    images: Pictures,
    extractor: Extractor,
    n: int,
    seed: int,
    cache: Path,
    digests: list[str],
    environment: str,
    progress: Progress,
    processes: Processes = ALONE,
) -> Reference:
    """Features of uint8 ``images`` [m, h, w, 3], from ``cache`` when the same have been there before.

    ``digests`` are those of the shards: with the extractor, the ``environment`` (device, threads, torch), ``n`` and
    the seed they decide the result.
    """
    key = json_digest([sorted(digests), extractor.sha256, extractor.protocol, environment, n, seed])
    path = cache / f"reference-{key[:16]}.safetensors"
    # Of several evaluations of the same pictures one reads them, and the others wait.
    with locked(path.with_name(f".{path.name}.lock")) if processes.rank == 0 else nullcontext():
        return _reference(images, extractor, n, seed, path, progress, processes)


def _reference(
    images: Pictures, extractor: Extractor, n: int, seed: int, path: Path, progress: Progress, processes: Processes
) -> Reference:
    names = ("everything", "first", "second")
    order = torch.randperm(len(images), generator=random_generator(seed, "floor"))
    places = [order[start : start + n].sort().values for start in (0, n)]
    held = _held(path, names) if processes.rank == 0 else {}
    if processes.first(bool(held)):
        if processes.count > 1:  # the others may be on other machines
            held = load(processes.of(0, save(held)))
        progress(len(images))
        everything, first, second = (FeatureStatistics.from_tensors(held, name, extractor.sha256) for name in names)
        return Reference(everything, first, second, held["features_first"], held["features_second"], *places)
    member = torch.zeros(len(images), dtype=torch.int8)
    member[places[0]], member[places[1]] = 1, 2
    statistics = [FeatureStatistics(extractor.sha256) for _ in names]
    kept: dict[int, list[torch.Tensor]] = {1: [], 2: []}
    found = processes.share(
        range(0, len(images), BATCH),
        lambda start: {"features": next(extractor.batches(images[start : start + BATCH]))},
    )
    for part, features in zip(member.split(BATCH), (result["features"] for result in found), strict=True):
        statistics[0].update(features)
        for which in (1, 2):
            chosen = features[part == which]
            statistics[which].update(chosen)
            kept[which].append(chosen.cpu())
        progress(len(part))
    everything, first, second = statistics
    result = Reference(everything, first, second, torch.cat(kept[1]), torch.cat(kept[2]), *places)
    tensors = {"features_first": result.features_first, "features_second": result.features_second}
    for name, part_statistics in zip(names, statistics, strict=True):
        tensors |= part_statistics.tensors(name)
    if processes.rank == 0:
        write_atomic(path, save(tensors))
    return result


def _held(path: Path, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """What the cache has; nothing when that is cut short or of another layout."""
    try:
        tensors = load_file(path)
    except (SafetensorError, FileNotFoundError):
        return {}
    wanted = {"features_first", "features_second", *(key for name in names for key in FeatureStatistics.keys(name))}
    return tensors if wanted <= set(tensors) else {}
