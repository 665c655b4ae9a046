"""Which setting to try next, when to give one up, and how much each parameter mattered: Optuna's answers.

Every answer is a function of what is known and of a number, so that a study that was stopped goes on with the
suggestions that it would have made: Optuna keeps nothing between two questions.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from facegan.files import json_digest
from facegan.study.space import Dimension, Setting, Space, label

optuna.logging.set_verbosity(optuna.logging.WARNING)

CONTENDER = "recipe"  # the dimension of the contenders, where there are several
Sampler = Literal["grid", "random", "tpe"]
STATES = {
    "running": TrialState.RUNNING,
    "done": TrialState.COMPLETE,
    "without": TrialState.PRUNED,  # a score, for a reason that is in the setting: worse than all that have one
    "failed": TrialState.FAIL,  # for another reason: says nothing
}


@dataclass
class Tried:
    """A setting, what is known of it, and its state: a key of STATES. Lower values are better."""

    setting: Setting
    state: str = "running"
    value: float | None = None
    scores: list[float] = field(default_factory=list)  # while training, at every tenth of it or so


def suggest(space: Space, tried: Iterable[Tried], sampler: Sampler, number: int) -> Setting:
    """The setting of trial ``number``: drawn at random, or by a tree-structured Parzen estimator (Watanabe, 2023).

    The estimator draws the first ten at random too, and takes what still runs for bad, so as to look elsewhere.
    """
    seed = int(json_digest(["study", number])[:8], 16)
    kind: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
    if sampler == "tpe":
        kind = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    asked = _study(space, tried, kind).ask(_distributions(space))
    values = {dimension.key: _value(dimension, asked.params[dimension.key]) for dimension in space.dimensions}
    return space.setting(asked.params.get(CONTENDER, space.contenders[0].name), values)


def give_up(space: Space, tried: Iterable[Tried], trial: Tried) -> bool:
    """Whether a training is worse than the median of the others was at its point; the first five never are."""
    others = [other for other in tried if other is not trial]
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
    return pruner.prune(_study(space, others), _frozen(space, trial))


def importances(space: Space, tried: Iterable[Tried]) -> dict[str, float]:
    """Shares of the variance of the score, by parameter, the most important first (fANOVA, Hutter et al., 2014).

    Empty when there is nothing to tell them from: fewer than four trials with a score, or one parameter.
    """
    done = [trial for trial in tried if trial.state == "done"]
    distributions = _distributions(space)
    varied = [key for key in distributions if len({_given(space, trial)[key] for trial in done}) > 1]
    if len(done) < 4 or len({trial.value for trial in done}) < 2 or len(varied) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=1)
    return optuna.importance.get_param_importances(_study(space, done), evaluator=evaluator, params=varied)


def _study(
    space: Space, tried: Iterable[Tried], sampler: optuna.samplers.BaseSampler | None = None
) -> optuna.study.Study:
    study = optuna.create_study(sampler=sampler or optuna.samplers.RandomSampler(seed=1))
    study.add_trials([_frozen(space, trial) for trial in tried])
    return study


def _frozen(space: Space, trial: Tried) -> FrozenTrial:
    return create_trial(
        state=STATES[trial.state],
        value=trial.value if trial.state == "done" else None,
        params=_given(space, trial),
        distributions=_distributions(space),
        intermediate_values=dict(enumerate(trial.scores)),
    )


def _given(space: Space, trial: Tried) -> dict[str, Any]:
    """The values as Optuna takes them: one of several is known by its label."""
    given: dict[str, Any] = {CONTENDER: trial.setting.contender.name} if len(space.contenders) > 1 else {}
    for dimension in space.dimensions:
        value = trial.setting.values[dimension.key]
        given[dimension.key] = label(value) if dimension.choices else value
    return given


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    found: dict[str, BaseDistribution] = {}
    if len(space.contenders) > 1:
        found[CONTENDER] = CategoricalDistribution([contender.name for contender in space.contenders])
    for dimension in space.dimensions:
        if dimension.choices:
            found[dimension.key] = CategoricalDistribution([label(value) for value in dimension.choices])
        elif dimension.whole:
            found[dimension.key] = IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
        else:
            found[dimension.key] = FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return found


def _value(dimension: Dimension, asked: Any) -> Any:
    if dimension.choices:
        return next(value for value in dimension.choices if label(value) == asked)
    return dimension.rounded(asked)
