"""What each score means: one entry for each, for the report, the comparison and the documentation."""

from dataclasses import dataclass
from typing import Any, Literal

from facegan.evaluation import color, labels, memorization, ms_ssim, neighbors, sliced_wasserstein
from facegan.evaluation.inception_score import SPLITS
from facegan.evaluation.kernel import SUBSETS

ALL = "all real pictures, training and held out, not mirrored"


@dataclass(frozen=True)
class Metric:
    """``better`` is which way, or "real" where a good generator reads as real pictures do."""

    title: str
    better: Literal["lower", "higher", "real"]
    definition: str  # what decides its number, beside the pictures: equal for two scores that may be compared
    real: str  # which pictures it is held against
    in_features: bool = False  # its number depends on the extractor


METRICS = {
    "fd": Metric("Frechet distance", "lower", "Gaussians of features, N-1 divisor", ALL, in_features=True),
    "fid": Metric("FID", "lower", "Gaussians of features, N-1 divisor", ALL, in_features=True),
    "kid": Metric("Kernel distance", "lower", f"cubic kernel, {SUBSETS} subsets of features", ALL, in_features=True),
    "inception_score": Metric(
        "Inception Score", "higher", f"{SPLITS} splits of consecutive pictures", "none", in_features=True
    ),
    "precision": Metric("Precision", "higher", f"k = {neighbors.K_PRECISION}", ALL, in_features=True),
    "recall": Metric("Recall", "higher", f"k = {neighbors.K_PRECISION}", ALL, in_features=True),
    "density": Metric("Density", "higher", f"k = {neighbors.K_DENSITY}", ALL, in_features=True),
    "coverage": Metric("Coverage", "higher", f"k = {neighbors.K_DENSITY}", ALL, in_features=True),
    "sliced_wasserstein": Metric(
        "Sliced Wasserstein distance",
        "lower",
        f"Laplacian pyramid down to {sliced_wasserstein.SMALLEST} pixels, {sliced_wasserstein.PATCHES} patches of "
        f"{sliced_wasserstein.PATCH} pixels a level, at most {sliced_wasserstein.OF_A_PICTURE} of a picture, "
        f"{sliced_wasserstein.DIRECTIONS} directions, times 1000",
        ALL,
    ),
    "ms_ssim": Metric(
        "MS-SSIM of pairs",
        "real",
        f"Gaussian window of {ms_ssim.WINDOW} pixels, as many of five scales as fit, weights summing to 1",
        ALL,
    ),
    "color_distance": Metric(
        "Colour distance",
        "lower",
        f"half the L1 distance of mean {color.BINS}x{color.BINS}x{color.BINS} histograms",
        ALL,
    ),
    "checkerboard_energy": Metric(
        "Checkerboard energy", "real", "spectral lines at 1/2 and 1/4 of the sampling frequency over those beside", ALL
    ),
    "memorization": Metric(
        "Memorization",
        "lower",
        f"nearest training picture or its mirror image at {memorization.SIDE}x{memorization.SIDE}, over the mean of "
        f"the {memorization.NEIGHBORS} after it; share below the {memorization.EXPECTED:.0%} quantile of held-out ones",
        "training pictures, judged by held-out ones",
    ),
    "generalization_gap": Metric(
        "Generalization gap",
        "lower",
        f"nearest picture or mirror image at {memorization.SIDE}x{memorization.SIDE}; 1 less how often it is a "
        "held-out one, over how often by chance",
        "training and held-out pictures",
    ),
    "label_accuracy": Metric(
        "Label accuracy",
        "higher",
        f"a small network trained for {labels.STEPS} steps on the labelled training pictures at "
        f"{labels.SIDE}x{labels.SIDE}",
        "what it makes of held-out pictures",
    ),
}


def metric(name: str) -> Metric:
    """Of a score by its name in a report. Raises KeyError."""
    return METRICS[known(name)]


def rank(name: str) -> int:
    """Where a score stands among others, by its name in a report; one of another version last."""
    names = list(METRICS)
    return names.index(known(name)) if known(name) in METRICS else len(names)


def known(name: str) -> str:
    """The key in ``METRICS`` of a score whose name may end in that of a feature space or of a label; else ``name``."""
    fitting = [key for key in METRICS if name == key or name.startswith(f"{key}_")]
    return max(fitting, key=len, default=name)


def scores_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The scores in a report of `evaluate`, without protocol and warnings, as the table above has them."""
    scores = {name: score for name, score in report.items() if isinstance(score, dict) and "value" in score}
    return {name: scores[name] for name in sorted(scores, key=lambda name: (rank(name), name))}
