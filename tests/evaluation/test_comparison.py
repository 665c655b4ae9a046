"""Scores are compared when their protocols are one, and a difference counts when the spread does not explain it."""

from typing import Any

import pytest

from facegan.evaluation.comparison import incomparable, verdict
from facegan.evaluation.metrics import METRICS, metric

PROTOCOL: dict[str, Any] = {
    "extractor_sha256": "a" * 64,
    "resize": "none",
    "dimensions": 480,
    "pictures": "b" * 64,
    "scores": {"fd_random": "Gaussians; all", "ms_ssim": "window of 11; all"},
}


def entry(value: float, std: float = 0.0, floor: float = 0.0) -> dict[str, Any]:
    return {"value": value, "std": std, "floor": floor, "n": 1000}


def test_the_same_protocol_may_be_compared() -> None:
    assert incomparable("fd_random", PROTOCOL, 1000, dict(PROTOCOL), 1000) is None


@pytest.mark.parametrize(
    ("name", "changes", "n", "reason"),
    [
        ("fd_random", {"extractor_sha256": "c" * 64}, 1000, "extractor sha256 cccccccccccc..., not aaaaaaaaaaaa..."),
        ("fd_random", {"resize": "bilinear"}, 1000, "resize bilinear, not none"),
        ("fd_random", {"scores": {"fd_random": "N divisor; all"}}, 1000, "N divisor; all, not Gaussians; all"),
        ("fd_random", {"pictures": "d" * 64}, 1000, "other pictures"),
        ("fd_random", {}, 500, "n 500, not 1000"),
        ("ms_ssim", {"pictures": "d" * 64}, 1000, "other pictures"),
        ("ms_ssim", {"extractor_sha256": "c" * 64, "resize": "bilinear"}, 1000, None),  # no extractor between
    ],
)
def test_what_decides_a_number_decides_whether_it_may_be_compared(
    name: str, changes: dict[str, Any], n: int, reason: str | None
) -> None:
    assert incomparable(name, PROTOCOL, 1000, {**PROTOCOL, **changes}, n) == reason


@pytest.mark.parametrize(
    ("name", "base", "other", "expected"),
    [
        ("fd_random", entry(1.0, 0.1), entry(0.5, 0.1), "better"),
        ("fd_random", entry(1.0, 0.1), entry(1.5, 0.1), "worse"),
        ("fd_random", entry(1.0, 0.1), entry(0.8, 0.1), "no difference"),
        ("recall_random", entry(0.5, 0.01), entry(0.6, 0.01), "better"),
        ("inception_score", entry(3.0, 0.1), entry(2.0, 0.1), "worse"),
        ("ms_ssim", entry(0.40, 0.01, 0.25), entry(0.26, 0.01, 0.25), "better"),
        ("ms_ssim", entry(0.26, 0.01, 0.25), entry(0.10, 0.01, 0.25), "worse"),  # less alike than real ones
        ("checkerboard_energy", entry(0.9, 0.01, 1.0), entry(1.1, 0.01, 1.0), "no difference"),
        ("fd_random", {**entry(1.0), "at_n": 2.0}, {**entry(0.9), "at_n": 2.1}, "worse"),  # at one count
        ("memorization", entry(0.05, 0.0, 0.05), entry(0.0, 0.0, 0.05), "no difference"),  # not like held-out ones
        ("memorization", entry(0.05, 0.0, 0.05), entry(0.2, 0.01, 0.05), "worse"),
        ("generalization_gap", entry(0.0, 0.0, 0.0), entry(-0.2, 0.0, 0.0), "no difference"),
        ("generalization_gap", entry(0.0, 0.0, 0.0), entry(0.2, 0.01, 0.0), "worse"),
        ("density_random", entry(1.0, 0.0, 1.0), entry(1.3, 0.0, 1.0), "no difference"),
        ("kid_random", {**entry(0.01, 0.04), "error": 0.001}, {**entry(0.02, 0.04), "error": 0.001}, "worse"),
        ("fd_random", {"value": 1.0, "floor": 0.0, "n": 2}, entry(9.0), "no difference"),  # of unknown spread
        ("fd_random", entry(float("nan")), entry(2.0), "no difference"),
    ],
)
def test_a_verdict_knows_which_way_is_better(
    name: str, base: dict[str, Any], other: dict[str, Any], expected: str
) -> None:
    assert verdict(name, base, other) == expected


def test_a_score_of_another_version_is_not_compared() -> None:
    assert incomparable("gone", PROTOCOL, 10, PROTOCOL, 10) == "a score of another version"


def test_label_accuracies_are_compared_when_one_network_judged_the_same_labels() -> None:
    name, about = "label_accuracy_hair", {**PROTOCOL, "labels": "hair", "scores": {"label_accuracy_hair": "net"}}
    assert incomparable(name, about, 10, about, 10) is None
    assert incomparable(name, about, 10, {**about, "labels": "eyes, hair"}, 10) == "labels eyes, hair, not hair"


def test_a_score_is_found_by_its_name_in_any_space() -> None:
    assert metric("fd_random") is metric("fd_0123abcd") is METRICS["fd"]
    assert metric("fid") is METRICS["fid"] and metric("kid") is METRICS["kid"]
    assert metric("precision_random") is METRICS["precision"]
    with pytest.raises(KeyError):
        metric("colour")
