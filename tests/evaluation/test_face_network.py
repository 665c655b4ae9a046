"""The feature space of the headline: small, the same everywhere, and one that sees what makes a face."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from benchmarks.corruptions import Setting, blur, color_shift, drawn_faces, moved_eyes, score, setting, two_halves
from facegan.evaluation import face_network
from facegan.evaluation.comparison import error
from facegan.evaluation.face_network import SHA256, WEIGHTS, face_extractor
from facegan.evaluation.spread import certain
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def where() -> Setting:
    """Drawn faces to hold 400 others against."""
    return setting(drawn_faces(2000), 400)


def features(images: torch.Tensor) -> torch.Tensor:
    return torch.cat(list(face_extractor(CPU).batches(images)))


def distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    first, second = (FeatureStatistics("face").update(features(images)) for images in (real, fake))
    return frechet_distance(first, second)


def test_the_weights_are_those_of_this_version() -> None:
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == SHA256
    assert WEIGHTS.stat().st_size < 2e6


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(WEIGHTS.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(face_network, "WEIGHTS", other)
    with pytest.raises(ValueError, match=f"should have {SHA256}"):
        face_extractor(CPU)


def test_features_do_not_depend_on_a_picture_s_company(where: Setting) -> None:
    together = features(where.fresh[:5])
    alone = torch.cat([features(where.fresh[place : place + 1]) for place in range(5)])
    assert together.shape == (5, face_extractor(CPU).dimensions)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [32, 96, 128])
def test_pictures_of_any_size_are_read_as_at_64(where: Setting, size: int) -> None:
    planes = where.fresh[:50].permute(0, 3, 1, 2).float()
    resized = functional.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    found = features(resized.round().to(torch.uint8).permute(0, 2, 3, 1))
    right = features(where.fresh[:50])
    apart, spread = (found - right).norm(dim=1).mean(), (right - right.roll(1, 0)).norm(dim=1).mean()
    assert apart < (0.9 if size < 64 else 0.4) * spread


def test_faults_of_a_face_weigh_more_than_a_tint(where: Setting) -> None:
    """Real pictures with a fault, in the order a person would put them in."""
    real = torch.cat([where.real.train, where.real.held_out])
    real, fresh = real[:400], where.fresh[:400]
    tint, eyes, halves = (
        distance(real, fault(where, level)) for fault, level in ((color_shift, 8), (moved_eyes, 6), (two_halves, 1))
    )
    clean, soft = distance(real, fresh), distance(real, blur(where, 1.0))
    assert clean <= tint * 1.02
    assert tint < 1.2 * clean < 1.5 * clean < min(eyes, halves, soft)


def test_the_headline_is_certain_of_moved_eyes_and_halves(where: Setting, tmp_path: Path) -> None:
    def headline(pictures: torch.Tensor) -> dict[str, Any]:
        return score(where, pictures, [face_extractor(CPU)], tmp_path)["fd_face"]

    clean = headline(where.fresh[:400])
    for fault in (moved_eyes(where, 6), two_halves(where, 1)):
        found = headline(fault)
        assert found["at_n"] - clean["at_n"] > certain(3, error(found), error(clean))
