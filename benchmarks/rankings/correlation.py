"""How well a score ranks generators: rank correlation with the oracle, over all trainings and within each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

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
    members = {name: np.array([row["training"] == name for row in rows], float) for name in trainings}
    (spearman,), (kendall,) = correlations(ours, right, np.ones((1, len(rows))))
    errors = [float(np.std(values, ddof=1)) for values in correlations(ours, right, _resampled(rows))]
    enough = [name for name in trainings if members[name].sum() >= FEWEST]
    within, _ = correlations(ours, right, np.array([members[name] for name in enough]).reshape(-1, len(rows)))
    return Ranking(
        float(spearman), errors[0], float(kendall), errors[1], dict(zip(enough, map(float, within), strict=True))
    )


def chance_of_being_better(rows: Sequence[Row], other: str, score: str) -> float:
    """How often ``other`` ranks better than ``score``, by the lower of Spearman's correlations on the sets of pictures,
    when trainings are drawn again with replacement: near 0 or 1 where one of them is better for certain.
    """
    lower = []
    for name in (other, score):
        by_set = []
        for pictures in sorted({row["pictures"] for row in rows}):
            part = [row for row in rows if row["pictures"] == pictures]
            by_set.append(correlations(_values(part, name), _values(part, ORACLE), _resampled(part))[0])
        lower.append(np.min(by_set, axis=0))
    return float(np.mean(lower[0] > lower[1]))


def _resampled(rows: Sequence[Row]) -> np.ndarray:
    """How often each row is in each sample, float [samples, rows]; the same samples for every score."""
    trainings = sorted({row["training"] for row in rows})
    members = {name: np.array([row["training"] == name for row in rows], float) for name in trainings}
    source = np.random.default_rng(1)
    chosen = [source.choice(trainings, len(trainings)) for _ in range(RESAMPLED)]
    return np.array([np.sum([members[name] for name in names], axis=0) for names in chosen])


def correlations(ours: np.ndarray, right: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spearman's rho and Kendall's tau-b, float [b] each, of float [n] and [n], of which row k of ``times`` [b, n] says
    how often each is in sample k. A score that is the same for all says nothing: 0.
    """
    ranks = [_ranks(values, times) for values in (ours, right)]
    count = times.sum(1, keepdims=True)
    centred = [rank - (times * rank).sum(1, keepdims=True) / count for rank in ranks]
    signs = [np.sign(values[:, None] - values) for values in (ours, right)]

    def over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (times * a * b).sum(1)

    def pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return ((times @ (a * b)) * times).sum(1)

    return _share(over, *centred), _share(pairs, *signs)


def _ranks(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Float [b, n]: the rank of each value in each sample, the mean of those of its equals."""
    return times @ (values[:, None] < values) + (times @ (values[:, None] == values) + 1) / 2


def _share(of: Callable[[np.ndarray, np.ndarray], np.ndarray], first: np.ndarray, second: np.ndarray) -> np.ndarray:
    whole = np.sqrt(of(first, first) * of(second, second))
    return np.divide(of(first, second), whole, out=np.zeros_like(whole), where=whole > 0)


def _values(rows: Sequence[Row], score: str) -> np.ndarray:
    return np.array([row["scores"][score]["badness"] for row in rows])
