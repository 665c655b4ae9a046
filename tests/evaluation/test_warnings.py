"""A reader is told in words what the numbers mean, and nothing when all is well."""

from typing import Any

import pytest

from facegan.evaluation.warnings import warnings

WELL: dict[str, dict[str, Any]] = {
    "fd_random": {"value": 0.7, "std": 0.05, "floor": 0.2, "n": 1000},
    "precision_random": {"value": 0.7, "std": 0.01, "floor": 0.9, "floor_std": 0.01, "n": 1000},
    "recall_random": {"value": 0.6, "std": 0.01, "floor": 0.9, "floor_std": 0.01, "n": 1000},
    "ms_ssim": {"value": 0.26, "std": 0.004, "floor": 0.25, "floor_std": 0.004, "n": 1000},
    "checkerboard_energy": {"value": 1.02, "std": 0.01, "floor": 0.97, "floor_std": 0.01, "n": 1000},
    "memorization": {"value": 0.06, "std": 0.007, "floor": 0.05, "floor_std": 0.01, "n": 1000},
    "generalization_gap": {"value": 0.06, "std": 0.03, "floor": -0.02, "floor_std": 0.03, "n": 1000},
}


def told(enlarged: float = 0.0, dimensions: int = 480, **changes: float) -> list[str]:
    found = {name: {**score, "value": changes.get(name, score["value"])} for name, score in WELL.items()}
    return warnings(found, dimensions, enlarged)


def test_nothing_is_said_when_all_is_well() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("memorization", 0.17, "17% of the generated faces are closer to one training picture"),
        ("generalization_gap", 0.3, "is a held-out one 30% more rarely than by chance"),
        ("recall_random", 0.1, "recall is 0.10, and 0.90 between real pictures"),
        ("precision_random", 0.2, "precision is 0.20"),
        ("ms_ssim", 0.45, "resemble each other more than real ones do"),
        ("checkerboard_energy", 2.4, "a pattern that upsampling leaves: checkerboard energy 2.40, real pictures 0.97"),
        ("checkerboard_energy", 0.5, "a notch that upsampling leaves"),
    ],
)
def test_what_is_wrong_is_told(name: str, value: float, said: str) -> None:
    (text,) = told(**{name: value})
    assert said in text


def test_a_few_pictures_in_many_dimensions_are_told() -> None:
    (text,) = told(dimensions=2048)
    assert "fd_random is computed from 1000 pictures, fewer than its 2048 dimensions" in text


def test_enlarged_pictures_are_told() -> None:
    (text,) = told(enlarged=0.834)
    assert text.startswith("83% of the training pictures were smaller")


def test_what_the_spread_explains_is_not_told() -> None:
    found = {**WELL, "memorization": {**WELL["memorization"], "value": 0.17, "std": 0.08}}
    assert warnings(found, 480, 0.0) == []


def test_what_has_no_known_spread_is_not_told() -> None:
    found = {**WELL, "memorization": {"value": 0.5, "floor": 0.05, "n": 2}}
    assert warnings(found, 480, 0.0) == []


def test_scores_that_are_left_out_are_told() -> None:
    kept = {name: score for name, score in WELL.items() if name not in ("memorization", "precision_random")}
    few, copies = warnings(kept, 480, 0.0)
    assert few.startswith("too few pictures for precision") and copies.startswith("too few held-out pictures")
