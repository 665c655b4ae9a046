"""The last weights beside the best: shown when another score than the judge's prefers them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from evaluation.doubles import Replay, colours, noise
from facegan.data.labels import Labels
from facegan.evaluation.last import Last, score_last
from facegan.evaluation.reference import SCORING_SEED, Reference, reference
from facegan.evaluation.suite import GRID, Evaluation, Real, evaluate_generator

CPU = torch.device("cpu")
COUNT = 200


@pytest.fixture
def real() -> Real:
    images = noise(300, size=32)
    manifest = {"shards": [], "enlarged": 0.0}
    return Real(images[:240], images[240:], Labels.none(240), Labels.none(60), manifest)


@pytest.fixture
def held(real: Real, tmp_path: Path) -> Reference:
    images = torch.cat([real.train, real.held_out])
    return reference(images, colours(), 150, SCORING_SEED, tmp_path, [], "", lambda _: None)


def evaluated(network: nn.Module, real: Real, held: Reference) -> Evaluation:
    return evaluate_generator(network, 1, real, held, colours(), COUNT, 1, lambda _: None)


def last(network: nn.Module, real: Real, held: Reference, best: Evaluation, judge: str = "sliced_wasserstein") -> Last:
    return score_last(network, 1, real, held, colours(), COUNT, 1, best, judge)


def darker(images: torch.Tensor) -> torch.Tensor:
    return (images.float() * 0.5).to(torch.uint8)


def test_what_is_better_by_more_than_its_error_is_named(real: Real, held: Reference) -> None:
    good = noise(COUNT, seed=1, size=32)
    best = evaluated(Replay(darker(good)), real, held)
    found = last(Replay(good), real, held, best)
    assert found.better == ["fd_colours"]  # sliced Wasserstein does not see brightness
    assert found.beside(best.report) == [
        ("Frechet distance", "fd_colours", best.report["fd_colours"], found.scores["fd_colours"])
    ]
    assert last(Replay(good), real, held, best, "fd_colours").better == []  # the judge has said what it thinks
    assert found.grid.shape == (GRID, 32, 32, 3)
    assert set(found.told()) == {"scores", "better"}


def test_one_that_is_worse_or_the_same_is_not(real: Real, held: Reference) -> None:
    good = noise(COUNT, seed=1, size=32)
    best = evaluated(Replay(good), real, held)
    assert last(Replay(darker(good)), real, held, best).better == []
    again = last(Replay(good), real, held, best)
    assert again.better == []
    for name, score in again.scores.items():  # the same pictures, the same numbers
        value = best.report[name]["at_n"] if "at_n" in score else best.report[name]["value"]
        assert score.get("at_n", score["value"]) == pytest.approx(value, rel=1e-9)
