"""The samplers look where it is good, give up what is behind, and say what mattered."""

import math
from collections.abc import Callable

import pytest
from ruamel.yaml.comments import CommentedMap

from facegan.study.search import Sampler, Tried, give_up, importances, suggest
from facegan.study.space import Contender, Dimension, Setting, Space

RATE = Dimension("train.lr_generator", low=1e-5, high=1e-1, log=True)
KIND = Dimension("train.objective", choices=("bce", "hinge"))
LISTS = Dimension("train.augment", choices=([], ["color"]))


def space(*dimensions: Dimension, contenders: tuple[str, ...] = ("base",)) -> Space:
    return Space(tuple(Contender(name, CommentedMap()) for name in contenders), dimensions)


def loss(setting: Setting) -> float:
    rate = math.log10(setting.values["train.lr_generator"])
    return abs(rate + 3) + 0.2 * (setting.values["train.objective"] == "hinge")


def tried(where: Space, sampler: Sampler, count: int, value: Callable[[Setting], float]) -> list[Tried]:
    found: list[Tried] = []
    for number in range(count):
        setting = suggest(where, found, sampler, number)
        found.append(Tried(setting, "done", value(setting)))
    return found


def test_tpe_comes_nearer_than_chance() -> None:
    where = space(RATE, KIND)
    values: dict[Sampler, list[float]] = {}
    samplers: tuple[Sampler, ...] = ("random", "tpe")
    for sampler in samplers:
        values[sampler] = [loss(trial.setting) for trial in tried(where, sampler, 50, loss)]
    assert min(values["tpe"]) < min(values["random"]) / 2
    assert sum(values["tpe"][30:]) < 0.7 * sum(values["random"][30:])


def test_a_suggestion_depends_on_nothing_but_what_is_known() -> None:
    where = space(RATE, KIND, LISTS, contenders=("base", "conv-64"))
    found = tried(where, "tpe", 15, loss)
    again = suggest(where, found, "tpe", 15)
    assert suggest(where, found, "tpe", 15) == again
    assert suggest(where, found, "tpe", 16) != again
    assert {trial.setting.contender.name for trial in found} == {"base", "conv-64"}
    assert {str(trial.setting.values["train.augment"]) for trial in found} == {"[]", "['color']"}


def test_what_runs_counts_as_bad_where_it_is() -> None:
    """Or every device would be sent to the same place."""
    where = space(Dimension("train.batch", choices=(8, 16, 32, 64)))
    values = {8: 4.0, 16: 1.0, 32: 3.0, 64: 2.0}
    known = tried(where, "tpe", 20, lambda setting: values[setting.values["train.batch"]])
    best = next(trial.setting for trial in known if trial.setting.values["train.batch"] == 16)
    busy = [*known, *(Tried(best) for _ in range(12))]
    chosen = [
        sum(suggest(where, trials, "tpe", number).values["train.batch"] == 16 for number in range(20, 50))
        for trials in (known, busy)
    ]
    assert chosen[1] < chosen[0] / 2


def curves(*values: list[float]) -> list[Tried]:
    setting = Setting(Contender("base", CommentedMap()), {"train.lr_generator": 1e-3})
    return [Tried(setting, "done", scores[-1], scores) for scores in values]


def test_what_is_behind_the_median_is_given_up_and_never_among_the_first_five() -> None:
    where = space(RATE)
    good = curves(*[[9.0, 4.0, 1.0 + n] for n in range(5)])
    setting = good[0].setting
    behind, ahead = Tried(setting, scores=[9.0, 5.0]), Tried(setting, scores=[9.0, 3.0])
    assert give_up(where, [*good, behind], behind)
    assert not give_up(where, [*good, ahead], ahead)
    assert not give_up(where, [*good[:4], behind], behind)
    early = Tried(setting, scores=[99.0])
    assert not give_up(where, [*good, early], early)  # the first score says little
    late = Tried(setting, scores=[9.0, 5.0, 0.5])
    assert not give_up(where, [*good, late], late)  # it has caught up


def test_the_importance_of_a_parameter_is_its_share_of_the_variance() -> None:
    """Of 3a + b with a and b alike, nine tenths and one (Hutter et al., 2014)."""
    a, b = (Dimension(name, low=0.0, high=1.0) for name in ("a", "b"))
    where = space(a, b)
    found = tried(where, "random", 150, lambda setting: 3 * setting.values["a"] + setting.values["b"])
    shares = importances(where, found)
    assert list(shares) == ["a", "b"]
    assert shares["a"] == pytest.approx(0.9, abs=0.04)
    assert sum(shares.values()) == pytest.approx(1)
    assert importances(where, found) == shares


def test_there_is_no_importance_of_what_did_not_vary_or_has_few_trials() -> None:
    where = space(RATE, KIND)
    found = tried(where, "random", 12, loss)
    assert importances(where, found)
    assert not importances(where, found[:3])
    assert not importances(space(RATE), [*map(one_rate, found)])
    assert not importances(where, [Tried(trial.setting, "done", 1.0) for trial in found])
    assert not importances(where, [Tried(trial.setting, "without") for trial in found])


def one_rate(trial: Tried) -> Tried:
    rate = {"train.lr_generator": trial.setting.values["train.lr_generator"]}
    return Tried(Setting(trial.setting.contender, rate), trial.state, trial.value)


def test_a_diverged_training_counts_as_the_worst() -> None:
    where = space(RATE)
    found: list[Tried] = []
    for number in range(25):
        setting = suggest(where, found, "tpe", number)
        bad = setting.values["train.lr_generator"] > 1e-3
        found.append(Tried(setting, "without") if bad else Tried(setting, "done", 1.0))
    assert sum(trial.state == "done" for trial in found[12:]) >= 10
