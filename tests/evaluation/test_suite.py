"""Everything that is measured of a generator, on one whose pictures and labels are known."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from evaluation.doubles import Replay, colours, noise
from facegan.data.labels import Labels
from facegan.evaluation import labels as of_labels
from facegan.evaluation.reference import SCORING_SEED, reference
from facegan.evaluation.suite import GRID, Evaluation, Real, evaluate_generator

CPU = torch.device("cpu")
SHADES = torch.tensor([[200, 40, 40], [40, 200, 40], [40, 40, 200]])


def shaded(labels: torch.Tensor, seed: int) -> torch.Tensor:
    """Noise in the colour of its class: uint8 [n, 32, 32, 3]."""
    source = torch.Generator().manual_seed(seed)
    grain = torch.randint(-30, 30, (len(labels), 32, 32, 3), generator=source)
    return (SHADES[labels][:, None, None] + grain).to(torch.uint8)


class Obedient(nn.Module):
    """Draws the class that it is asked for; or always another one."""

    def __init__(self, obeys: bool) -> None:
        super().__init__()
        self.shift, self.calls = 0 if obeys else 1, 0

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        asked = labels[:, 0].clamp_min(0)
        return shaded((asked + self.shift) % 3, self.calls).permute(0, 3, 1, 2) / 127.5 - 1


def evaluated(network: nn.Module, real: Real, cache: Path, seed: int = 1) -> Evaluation:
    everything = torch.cat([real.train, real.held_out])
    held = reference(everything, colours(), 180, SCORING_SEED, cache, ["a"], "", lambda _: None)
    return evaluate_generator(network, 4, real, held, colours(), 240, seed, lambda _: None)


@pytest.fixture
def labelled() -> Real:
    classes = torch.arange(400) % 3
    parts = [Labels({"hair": ["red", "green", "blue"]}, classes[part, None]) for part in (slice(340), slice(340, 400))]
    pictures = shaded(classes, 0)
    manifest = {"shards": [{"sha256": "a"}], "enlarged": 0.0}
    return Real(pictures[:340], pictures[340:], parts[0], parts[1], manifest)


def test_one_that_draws_what_it_is_asked_for_is_told_from_one_that_does_not(
    labelled: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_labels, "STEPS", 60)
    monkeypatch.setattr(of_labels, "ENOUGH", 30)
    obeying, deaf = (evaluated(Obedient(obeys), labelled, tmp_path) for obeys in (True, False))
    assert obeying.report["label_accuracy_hair"]["value"] > 0.95
    assert deaf.report["label_accuracy_hair"]["value"] < 0.05
    assert obeying.report["label_accuracy_hair"]["floor"] > 0.95
    assert [row["class"] for row in obeying.classes] == ["red", "green", "blue"]
    for row, other in zip(obeying.classes, deaf.classes, strict=True):
        assert row["kid"]["value"] < other["kid"]["value"] / 100
    assert "hair: drawn as the real pictures have them" in obeying.report["protocol"]["labels"]


@pytest.fixture
def plain() -> Real:
    pictures = noise(400, 3, 32)
    manifest = {"shards": [{"sha256": "a"}], "enlarged": 0.0}
    return Real(pictures[:340], pictures[340:], Labels.none(340), Labels.none(60), manifest)


def test_without_labels_every_other_score_is_there(plain: Real, tmp_path: Path) -> None:
    done = evaluated(Replay(noise(240, 4, 32)), plain, tmp_path)
    assert set(done.report) == {
        *(f"{kind}_colours" for kind in ("fd", "kid", "precision", "recall", "density", "coverage")),
        *("sliced_wasserstein", "ms_ssim", "color_distance", "checkerboard_energy"),
        *("memorization", "generalization_gap"),
        *("protocol", "warnings"),
    }
    assert done.classes == [] and len(done.grid) == GRID
    assert [figure.name for figure in done.figures] == ["neighbors", "density", "interpolation", "truncation"]


def test_two_seeds_are_held_against_the_same_real_pictures(plain: Real, tmp_path: Path) -> None:
    """So that a difference between two trainings is theirs."""
    pictures = noise(240, 4, 32)
    first, second = (evaluated(Replay(pictures), plain, tmp_path, seed).report for seed in (1, 2))
    assert {key: value for key, value in first.items() if key != "protocol"} == {
        key: value for key, value in second.items() if key != "protocol"
    }
    protocols: list[dict[str, Any]] = [first["protocol"], second["protocol"]]
    assert [about.pop("seed") for about in protocols] == [1, 2] and protocols[0] == protocols[1]


def test_copies_are_warned_of(plain: Real, tmp_path: Path) -> None:
    done = evaluated(Replay(plain.train[:240]), plain, tmp_path)
    assert done.report["memorization"]["value"] > 0.9
    assert done.report["generalization_gap"]["value"] > 0.9
    assert any("may be copying" in text for text in done.report["warnings"])


def test_without_held_out_pictures_nothing_is_said_of_copies(plain: Real, tmp_path: Path) -> None:
    real = Real(plain.train, plain.held_out[:0], plain.train_labels, Labels.none(0), plain.manifest)
    held = reference(real.train, colours(), 150, SCORING_SEED, tmp_path, ["a"], "", lambda _: None)
    done = evaluate_generator(Replay(noise(200, 4, 32)), 4, real, held, colours(), 200, 1, lambda _: None)
    assert not {"memorization", "generalization_gap"} & set(done.report)
    assert "neighbors" not in [figure.name for figure in done.figures]
