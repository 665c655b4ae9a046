"""The order of a study's trials, what is remembered of them, and what MLflow is shown; its trainings take no time.

The real ones are in tests/system/test_study.py.
"""

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from facegan.errors import FaceganError
from facegan.params import Params
from facegan.repository.project import Project
from facegan.study import executor
from facegan.study import trials as study_trials
from facegan.study.executor import Training
from facegan.study.results import Plan
from facegan.study.space import read_space
from facegan.study.trials import Study

RATES = "train.lr_generator=1e-5..1e-1:log"


class Bench:
    """Stands in for a device: a training tells a score at each look, and its result at the last."""

    made: list["Bench"] = []  # noqa: RUF012  # of one test
    trained: list[Params] = []  # noqa: RUF012
    ends: Callable[[Params], dict[str, Any]]
    score: Callable[[Params], float]

    def __init__(self, snapshot: Any, folder: Path, device: str, out: Path, parent: str) -> None:
        self.device, self.training = device, None
        self._looks, self._stopped = 0, False
        self.preprocessed, self.going, self.failure = False, False, None
        Bench.made.append(self)

    def preprocess(self, params_yaml: str) -> None:
        self.preprocessed = True

    def start(self, training: Training) -> None:
        self.training: Training | None = training
        self._looks, self._stopped = 0, False
        Bench.trained.append(training.params)

    def follow(self) -> bool:
        assert self.training is not None
        self._looks += 1
        if self._looks > 4 or self._stopped:
            return False
        self.training.images = 250 * self._looks
        self.training.scores.append(Bench.score(self.training.params))
        return True

    def stop(self) -> None:
        self._stopped = True

    def wait(self) -> None:
        pass

    def result(self) -> dict[str, Any]:
        training = self.training
        assert training is not None
        self.training = None
        about = {"name": training.name, "seed": training.seed, "key": training.key, "lineage": None}
        about |= {"images": training.images, "scores": training.scores}
        if self._stopped:
            return about | {"ended": "given up", "reason": "behind the others"}
        return about | Bench.ends(training.params)


def scored(value: float, n: int = 40) -> dict[str, Any]:
    entry = {"value": value, "at_n": value, "floor": 0.1, "n": n}
    report = {"fd_face": entry, "protocol": {"pictures": "same", "scores": {}}, "warnings": []}
    return {"report": report, "experiment": "one", "best_images": 1, "parameters": 1, "images_per_second": 1.0}


def rate(params: Params) -> float:
    found = params.train.lr_generator
    assert isinstance(found, float)
    return found


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(executor, "Bench", Bench)
    monkeypatch.setattr(study_trials.time, "sleep", lambda seconds: None)
    Bench.made, Bench.trained = [], []
    Bench.ends, Bench.score = lambda params: scored(rate(params)), rate
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def study(finished: Project) -> Callable[..., Study]:
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=finished.root, check=True)
    out = finished.root / "study"
    out.mkdir()

    def made(plan: Plan, *search: str, contenders: tuple[str, ...] = ("base",), devices: int = 1) -> Study:
        Bench.made, Bench.trained = [], []
        space = read_space(finished.root, list(contenders), list(search), 1000)
        return Study(finished, space, plan, executor.Here(["cpu"] * devices), out)

    return made


def tpe(trials: int, seeds: int = 1, prune: bool = False) -> Plan:
    return Plan("tpe", trials, seeds, 1000, prune)


def grid(trials: int, seeds: int = 1, prune: bool = False) -> Plan:
    return Plan("grid", trials, seeds, 1000, prune)


def settings(study: Study) -> list[float]:
    return [trial.tried.setting.values["train.lr_generator"] for trial in study.trials]


def test_on_one_device_every_suggestion_knows_all_trials_before_it(
    study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = []
    real = study_trials.suggest

    def noting(space: Any, tried: Any, sampler: Any, number: int) -> Any:
        known.append([trial.state for trial in tried])
        return real(space, tried, sampler, number)

    monkeypatch.setattr(study_trials, "suggest", noting)
    study(tpe(4), RATES).run()
    assert known == [["done"] * number for number in range(4)]


def test_a_higher_number_goes_on_and_suggests_what_one_study_would_have(study: Callable[..., Study]) -> None:
    parts = study(tpe(12), RATES)
    parts.run()
    more = study(tpe(14), RATES)
    more.run()
    assert len(Bench.trained) == 2
    assert settings(more)[:12] == settings(parts)
    assert len(study(tpe(2), RATES).trials) == 0 and study(tpe(2), RATES).plan.trials == 14  # what was tried stays
    for path in more.out.glob("*.json"):
        path.unlink()
    whole = study(tpe(14), RATES)
    whole.run()
    assert len(Bench.trained) == 14 and settings(whole) == settings(more)


def test_the_settings_that_were_chosen_stand_whatever_order_they_end_in(study: Callable[..., Study]) -> None:
    """With several devices a setting is chosen while others run: it is kept, not chosen again."""
    search = (RATES, "train.batch=8,16")  # not in the order of the alphabet
    first = study(tpe(13), *search, devices=3)
    first.run()
    again = study(tpe(13), *search)
    again.run()
    assert settings(again) == settings(first) and not Bench.trained
    assert [trial.name for trial in again.trials] == [trial.name for trial in first.trials]


def test_devices_work_side_by_side_on_shards_that_were_made_once(study: Callable[..., Study]) -> None:
    found = study(tpe(6), RATES, devices=3)
    found.run()
    assert len(Bench.made) == 3 and [bench.preprocessed for bench in Bench.made] == [True, False, False]
    study(tpe(1), RATES.replace("generator", "discriminator")).run()
    assert len(Bench.made) == 1 and not Bench.made[0].preprocessed


def test_a_setting_that_comes_twice_is_trained_once(study: Callable[..., Study]) -> None:
    for devices in (1, 2):
        found = study(Plan("random", 8, 1, 1000, False), f"train.batch=8,{14 + devices * 2}", devices=devices)
        found.run()
        batches = [params.train.batch for params in Bench.trained]
        assert len(batches) == len(set(batches)) <= 2
        assert [trial.tried.state for trial in found.trials] == ["done"] * 8


def test_trainings_of_the_same_weights_do_not_run_at_once(
    study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would work in one folder."""
    at_once = []
    real = Bench.start

    def noting(self: Bench, training: Training) -> None:
        real(self, training)
        at_once.append([bench.training.params.train.batch for bench in Bench.made if bench.training])

    monkeypatch.setattr(Bench, "start", noting)
    study(grid(4), "evaluate.generated=16,18", "train.batch=8,16", devices=2).run()
    assert len(Bench.trained) == 4 and all(len(batches) == len(set(batches)) for batches in at_once)
    assert any(len(batches) == 2 for batches in at_once)


def test_every_seed_of_a_trial_counts(study: Callable[..., Study]) -> None:
    Bench.ends = lambda params: scored(10.0 * params.seed)
    found = study(grid(2, seeds=3), contenders=("base", "base:train.batch=8"))
    found.run()
    assert [params.seed for params in Bench.trained] == [1, 2, 3] * 2
    assert [trial.tried.value for trial in found.trials] == [20.0, 20.0]
    study(grid(2, seeds=4), contenders=("base", "base:train.batch=8")).run()
    assert [params.seed for params in Bench.trained] == [4, 4]


def test_with_pruning_the_other_seeds_wait_for_the_first(study: Callable[..., Study]) -> None:
    rates = ",".join(f"{number + 1}e-4" for number in range(5)) + ",1e-1"
    found = study(grid(6, seeds=2, prune=True), f"train.lr_generator={rates}")
    found.run()
    assert [trial.tried.state for trial in found.trials] == ["done"] * 5 + ["without"]
    assert [(rate(params), params.seed) for params in Bench.trained if rate(params) == 0.1] == [(0.1, 1)]
    assert (found.trials[5].ended or {})["ended"] == "given up"


def test_what_was_given_up_in_one_study_is_tried_in_another(study: Callable[..., Study]) -> None:
    rates = [f"{number + 1}e-4" for number in range(5)]
    study(grid(6, prune=True), f"train.lr_generator={','.join([*rates, '1e-1'])}").run()
    study(grid(6, prune=True), f"train.lr_generator={','.join([*rates, '1e-1'])}").run()
    assert not Bench.trained
    study(grid(2, prune=True), "train.lr_generator=1e-4,1e-1").run()
    assert [rate(params) for params in Bench.trained] == [0.1]


def test_a_setting_that_cannot_be_is_told_and_passed_over(
    study: Callable[..., Study], capsys: pytest.CaptureFixture[str]
) -> None:
    found = study(grid(2), "train.r1=0.0,1.0")
    found.run()
    assert [trial.tried.state for trial in found.trials] == ["done", "without"]
    assert "trial 2 is not possible: " in capsys.readouterr().err and found.status == "FINISHED" and not found.failed


def test_divergence_and_memory_are_results_and_other_failures_are_tried_again(study: Callable[..., Study]) -> None:
    reasons = itertools.cycle(["diverged", "out of memory", "failed", "diverged"])
    Bench.ends = lambda params: {"ended": next(reasons), "reason": "a reason"}
    rates = "train.lr_generator=1e-4,2e-4,3e-4,4e-4"
    found = study(grid(4), rates)
    found.run()
    assert [trial.tried.state for trial in found.trials] == ["without", "without", "failed", "without"]
    assert [trial.number for trial in found.failed] == [2]
    study(grid(4), rates).run()
    assert [rate(params) for params in Bench.trained] == [3e-4]


def test_three_failures_in_a_row_end_it(study: Callable[..., Study]) -> None:
    Bench.ends = lambda params: {"ended": "failed", "reason": "no server"} if rate(params) > 1e-4 else scored(1.0)
    found = study(grid(6), f"train.lr_generator={','.join(f'{number + 1}e-4' for number in range(6))}")
    with pytest.raises(FaceganError, match="3 trainings in a row failed, the last: no server; what is trained is kept"):
        found.run()
    assert len(Bench.trained) == 4 and found.status == "FAILED" and found.best is found.trials[0]


def test_a_signal_ends_it_and_it_goes_on(study: Callable[..., Study], capsys: pytest.CaptureFixture[str]) -> None:
    def ends(params: Params) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        return scored(1.0)

    Bench.ends = ends
    found = study(tpe(3), RATES)
    with pytest.raises(SystemExit) as ended:
        found.run()
    assert ended.value.code == 143 and found.status == "KILLED" and len(found.trials) == 1
    assert "rerun the command to resume" in capsys.readouterr().err
    Bench.ends = lambda params: scored(1.0)
    study(tpe(3), RATES).run()
    assert len(Bench.trained) == 2


def parents(project: Project) -> list[Any]:
    client = mlflow.MlflowClient(project.server().uri)
    experiment = client.get_experiment_by_name("facegan")
    return [run for run in client.search_runs([experiment.experiment_id]) if "facegan.study" in run.data.tags]


def test_mlflow_shows_the_best_so_far_once_and_how_it_ended(
    study: Callable[..., Study], finished: Project, tmp_path: Path
) -> None:
    page = tmp_path / "index.html"
    page.write_text("a page")
    for trials in (3, 4, 4):
        found = study(grid(trials), "train.lr_generator=3e-4,1e-4,2e-4,5e-5")
        found.run()
        found.end([page])
    (run,) = parents(finished)
    client = mlflow.MlflowClient(finished.server().uri)
    best = client.get_metric_history(run.info.run_id, "best_fd_face_at_n")
    assert sorted((entry.step, entry.value) for entry in best) == [(1, 3e-4), (2, 1e-4), (3, 1e-4), (4, 5e-5)]
    assert run.info.status == "FINISHED" and [entry.path for entry in client.list_artifacts(run.info.run_id)] == [
        page.name
    ]
    assert run.info.run_name == "study: train.lr_generator"


def test_a_server_that_goes_away_costs_no_trial(
    study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = study(grid(2), "train.lr_generator=3e-4,1e-4")

    def gone(*_: Any) -> None:
        raise mlflow.MlflowException("connection refused by http://ann:secret@host")

    monkeypatch.setattr(study_trials.StudyRun, "best", gone)
    found.run()
    found.end([])
    told = capsys.readouterr().err
    assert found.status == "FINISHED" and found.best is not None
    assert told.count("MLflow failed") == 1 and "secret" not in told


def test_scores_of_another_count_are_not_set_against_each_other(study: Callable[..., Study]) -> None:
    Bench.ends = lambda params: scored(9.0 - params.evaluate.generated / 10, n=params.evaluate.generated)
    found = study(grid(3), "evaluate.generated=16,18,20")
    found.run()
    assert found.best is found.trials[0] and "n 18, not 16" in (found.refused(found.trials[1]) or "")


def test_results_are_files_that_say_what_they_are(study: Callable[..., Study]) -> None:
    found = study(grid(1))
    found.run()
    (path,) = found.out.glob("*.json")
    result = json.loads(path.read_text())
    assert result["key"] == path.stem and result["name"] == "base" and len(result["scores"]) == 4
