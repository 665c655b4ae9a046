"""How well a score ranks generators: rank correlation with the oracle, over all trainings and within each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau, spearmanr

from benchmarks.rankings.scores import ORACLE, Row

RESAMPLED = 500
FEWEST = 4  # checkpoints of a training for a correlation within it


@dataclass(frozen=True)
class Ranking:
    """Spearman's and Kendall's correlation over all checkpoints of a set of pictures, with standard errors by
    bootstrap over trainings; ``within`` is Spearman's by training, of those with four checkpoints or more.
    """

    spearman: float
    spearman_error: float
    kendall: float
    kendall_error: float
    within: dict[str, float]

    @property
    def least_within(self) -> float:
        return min(self.within.values())

    @property
    def mean_within(self) -> float:
        return sum(self.within.values()) / len(self.within)


def ranking(rows: Sequence[Row], score: str) -> Ranking:
    """Of ``score`` over ``rows`` of one set of pictures."""
    ours, right = _values(rows, score), _values(rows, ORACLE)
    trainings = sorted({row["training"] for row in rows})
    members = {name: [place for place, row in enumerate(rows) if row["training"] == name] for name in trainings}
    source = np.random.default_rng(1)
    chosen = [source.choice(trainings, len(trainings)) for _ in range(RESAMPLED)]
    drawn = [[place for name in names for place in members[name]] for names in chosen]
    return Ranking(
        _spearman(ours, right),
        _spread([_spearman(ours[places], right[places]) for places in drawn]),
        _kendall(ours, right),
        _spread([_kendall(ours[places], right[places]) for places in drawn]),
        {name: _spearman(ours[places], right[places]) for name, places in members.items() if len(places) >= FEWEST},
    )


def _values(rows: Sequence[Row], score: str) -> np.ndarray:
    return np.array([row["scores"][score]["badness"] for row in rows])


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    return _zero_if_constant(float(spearmanr(first, second).statistic))


def _kendall(first: np.ndarray, second: np.ndarray) -> float:
    return _zero_if_constant(float(kendalltau(first, second).statistic))


def _zero_if_constant(value: float) -> float:
    """A score that is the same for all says nothing."""
    return 0.0 if math.isnan(value) else value


def _spread(values: list[float]) -> float:
    return float(np.std(values, ddof=1))
