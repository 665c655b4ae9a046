"""What is known of the trials of a study."""

import math
import statistics
from dataclasses import dataclass, field
from typing import Any

from facegan.errors import FaceganError
from facegan.evaluation.comparison import CERTAIN, at_its_floor, badness, verdict
from facegan.evaluation.metrics import scores_of
from facegan.evaluation.spread import certain
from facegan.study.search import Sampler, Tried
from facegan.tracking.journal import DIVERGED, OUT_OF_MEMORY

GIVEN_UP = "given up"
Result = dict[str, Any]  # of one training, as its file holds it; "ended" says why there is no score
IMPOSSIBLE = "not possible"
LASTING = (DIVERGED, OUT_OF_MEMORY)  # whatever the study: they are not tried again


@dataclass(frozen=True)
class Plan:
    """How a space is gone through: ``trials`` settings of it, ``seeds`` trainings of each, ``images`` shown to each."""

    sampler: Sampler
    trials: int
    seeds: int
    images: int
    prune: bool


@dataclass
class Trial:
    """A setting, what is reported to the sampler, and the results of its trainings by seed."""

    number: int
    tried: Tried
    results: dict[int, Result] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.tried.setting.name

    @property
    def runs(self) -> list[Result]:
        """Its trainings that have scores, by seed."""
        return [run for _, run in sorted(self.results.items()) if "report" in run]

    @property
    def ended(self) -> Result | None:
        """The training that has none, with the reason."""
        return next((run for run in self.results.values() if "ended" in run), None)

    def settle(self, seeds: int, score: str) -> None:
        """Its state, once its trainings are done or one of them will not be. Raises FaceganError without ``score``."""
        if self.ended is not None:
            self.tried.state = "failed" if self.ended["ended"] == "failed" else "without"
        elif len(self.results) == seeds:
            self.tried.scores = self.results[1]["scores"]
            self.tried.value = statistics.mean(badness(score, entry(run, score)) for run in self.runs)
            self.tried.state = "done"

    def mean(self, score: str) -> float:
        """Of the score over its trainings, at the count that its floor has."""
        return float(statistics.mean(at_its_floor(entry(run, score)) for run in self.runs))


def apart(best: Trial, other: Trial, score: str) -> bool:
    """Whether ``other`` is worse by more than two standard errors: over trainings where both have several of them.

    Else over the pictures of the one training, which says nothing of how another seed would have come out.
    """
    if min(len(best.runs), len(other.runs)) == 1:
        return verdict(score, entry(best.runs[0], score), entry(other.runs[0], score)) == "worse"
    values = [[badness(score, entry(run, score)) for run in trial.runs] for trial in (best, other)]
    errors = [statistics.stdev(found) / math.sqrt(len(found)) for found in values]
    return statistics.mean(values[1]) - statistics.mean(values[0]) > certain(CERTAIN, *errors)


def entry(result: Result, score: str) -> dict[str, Any]:
    """The entry of a score in the report of a training. Raises FaceganError when it has none."""
    found = scores_of(result["report"])
    if score not in found:
        raise FaceganError(f"study: promotion.score is {score!r}, which `evaluate` does not give: {', '.join(found)}")
    return found[score]
