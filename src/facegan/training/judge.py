"""The score that chooses the best weights of a training, on latents and pictures that no evaluation uses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegan.data.rgb import in_rgb
from facegan.data.stored import Chosen, Pictures
from facegan.errors import FaceganError
from facegan.evaluation.comparison import badness, error
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.face_network import face_extractor
from facegan.evaluation.generation import generate
from facegan.evaluation.metrics import known, metric
from facegan.evaluation.neighbors import K_DENSITY
from facegan.evaluation.pixels import PIXEL_SCORES
from facegan.evaluation.random_network import random_extractor
from facegan.evaluation.reference import SCORING_SEED, Reference
from facegan.evaluation.scores import FAMILY, extracted, manifold, measured
from facegan.evaluation.statistics import FeatureStatistics
from facegan.params import OnnxJudge
from facegan.randomness import Inputs
from facegan.randomness import generator as random_generator
from facegan.sharing import Compute

PICTURES = 1000  # generated for each judgement
MOST = 10_000  # real pictures

Measure = Callable[[torch.Tensor], dict[str, Any]]  # pictures uint8 [n, h, w, 3] to an entry of a report


@dataclass(frozen=True)
class Judgement:
    """``score`` is turned so that lower is better; ``error`` is its standard error over the generated pictures."""

    score: float
    error: float | None = None


def build_judge(
    judge: str | OnnxJudge, images: Pictures, inputs: Inputs, seed: int, root: Path, device: torch.device
) -> Callable[[nn.Module], Judgement]:
    """What ``train.judge`` names: a score of 1,000 generated pictures against uint8 ``images`` [n, h, w, 3].

    At most 10,000 of them are looked at. The latents are not those that `evaluate` draws. Raises FaceganError for a
    network that cannot be used; the judge raises ValueError for pictures that cannot be scored.
    """
    places = torch.randperm(len(images), generator=random_generator(seed, "judge"))[:MOST]
    chosen = Chosen(in_rgb(images), places)
    name, measure = _measure(judge, chosen, root, device)
    drawn = inputs.draw(PICTURES, seed, "judge")

    def judged(network: nn.Module) -> Judgement:
        found = measure(torch.cat([pictures.cpu() for pictures in generate(network, drawn, device)]))
        found.pop("at_n", None)  # over all real pictures that were chosen, and not only as many as the floor has
        return Judgement(badness(name, found), error(found))

    return judged


def _measure(judge: str | OnnxJudge, chosen: Pictures, root: Path, device: torch.device) -> tuple[str, Measure]:
    """The name of the score, and how it is taken."""
    if isinstance(judge, OnnxJudge):
        from facegan.evaluation.onnx_network import onnx_extractor  # ONNX Runtime takes a second to import

        extractor = onnx_extractor(judge.file, judge.network(), root, device, "train.judge.file", "train.judge")
        return judge.score, _in_space(f"{judge.score}{extractor.suffix}", chosen, extractor, Compute(device))
    if not metric(judge).in_features:
        n = min(PICTURES, len(chosen) // 2)
        if n < 2:
            raise FaceganError(f"train.judge: {len(chosen)} training pictures are too few for {judge}")
        first, second = chosen[:n], chosen[n : 2 * n]
        return judge, lambda pictures: PIXEL_SCORES[judge](first, second, pictures[:n], SCORING_SEED, Compute(device))
    match judge.removeprefix(known(judge)):
        case "_face":
            extractor = face_extractor(device)
        case "_random":
            extractor = random_extractor(device)
        case _:
            from facegan.evaluation.inception import PUBLISHED, inception_extractor

            extractor = inception_extractor(PUBLISHED, root, device, "train.judge")
    return judge, _in_space(judge, chosen, extractor, Compute(device))


def _in_space(name: str, chosen: Pictures, extractor: Extractor, compute: Compute) -> Measure:
    """The score ``name`` in the space of ``extractor``."""
    count = len(chosen)  # not the pictures: what follows would keep them
    n = min(PICTURES, count // 2)
    if n < 2 or (FAMILY[known(name)] is manifold and n <= K_DENSITY):
        raise FaceganError(f"train.judge: {count} training pictures are too few for {name}")
    real = measured(extracted(chosen, extractor), extractor, len(chosen), 2 * n, _nobody)
    first, second = real.features[:n], real.features[n:]
    reference = Reference(
        real.everything,
        FeatureStatistics(extractor.sha256).update(first),
        FeatureStatistics(extractor.sha256).update(second),
        first,
        second,
        first_places=torch.arange(n),
        second_places=torch.arange(n, 2 * n),
    )

    def measure(pictures: torch.Tensor) -> dict[str, Any]:
        fake = measured(extracted(pictures, extractor), extractor, len(pictures), PICTURES, _nobody)
        return FAMILY[known(name)](reference, fake, extractor, SCORING_SEED, compute)[name]

    return measure


def _nobody(count: int) -> None:
    """Is told of progress."""
