"""The trials of a study, one after another on each device, until all are tried."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from facegan.errors import FaceganError
from facegan.evaluation.comparison import at_its_floor, incomparable
from facegan.evaluation.metrics import scores_of
from facegan.files import json_digest, read_json, write_json
from facegan.params_yaml import parse_params
from facegan.progress import progress
from facegan.repository.project import Project
from facegan.repository.running import Stop, alone
from facegan.study.executor import Bench, Here, Snapshot, Training
from facegan.study.results import GIVEN_UP, IMPOSSIBLE, Plan, Result, Trial, apart, entry
from facegan.study.search import Tried, give_up, suggest
from facegan.study.space import Setting, Space
from facegan.tracking.errors import one_line
from facegan.tracking.study import StudyRun

if TYPE_CHECKING:
    from facegan.study.cluster import Cluster, ClusterBench

    AnyBench = Bench | ClusterBench  # what starts a training, asks it, and stops it

IN_A_ROW = 3  # failures that do not come of a setting: something else is wrong


class Study:
    """All trials of a space. ``status`` is how it ended, as MLflow calls it."""

    def __init__(self, project: Project, space: Space, plan: Plan, machines: "Here | Cluster", out: Path) -> None:
        self.space, self.out = space, out
        self.score = project.params().promotion.score
        self.trials: list[Trial] = []
        self.status = "FAILED"
        self._project, self._machines = project, machines
        self._grid = space.grid() if plan.sampler == "grid" else None
        self._stop = Stop()
        self._waiting: list[tuple[Trial, Training]] = []
        self._running: dict[AnyBench, Trial] = {}
        self._benches: list[AnyBench] = []
        self._shards: set[str] = set()  # that are made, by their parameters
        self._failed = 0  # in a row
        self._told = False  # that MLflow cannot be reached
        self._snapshot = Snapshot(project)
        self._key = json_digest([space.described(), plan.sampler, plan.prune])
        self._file = out / f"trials-{self._key[:8]}.json"
        self._chosen = read_json(self._file) if self._file.is_file() else []
        self.plan = replace(plan, trials=max(plan.trials, len(self._chosen)))  # what was tried stays
        name = out.resolve().name
        varied = [dimension.key for dimension in space.dimensions] or list(space.by_name)
        self._run = StudyRun(
            project.server(),
            json_digest([self._key, os.path.relpath(out.resolve(), project.home)]),  # also when the project has moved
            f"{name if name.startswith('study') else f'study {name}'}: {', '.join(varied)}"[:100],
            {
                "recipes": ", ".join(space.by_name),
                "search": ", ".join(varied) if space.dimensions else "none",
                "sampler": plan.sampler,
                "images": plan.images,
                "score": self.score,
            },
        )

    def run(self) -> None:
        """Try all; what is done already is read. Ends the process when it is asked to stop.

        Raises FaceganError when trainings fail one after another for reasons that are not in their settings.
        """
        folder = self._project.state / "studies" / json_digest(str(self.out.resolve()))[:8]
        with alone(folder.with_suffix(".lock"), f"study: another study is at work in {self.out}"):
            self._try_all(folder)

    def _try_all(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)  # of a study that was killed
        folder.mkdir(parents=True)
        self._bar = progress(None, self.plan.trials * self.plan.seeds * self.plan.images, "study", "images")
        try:
            self._machines.connect(self._snapshot)
            while not self._stop():
                for bench in list(self._running):
                    self._follow(bench)
                if self._stop():
                    break
                if len(self._running) < self._machines.count and (found := self._next()):
                    self._start(*found, folder)
                elif not self._running:
                    self.status = "FINISHED"
                    return
                time.sleep(0.3)
            self.status = "KILLED"
        finally:
            for bench in self._benches:
                bench.stop()
            for bench in self._benches:
                bench.wait()
            self._bar.close()
            self._machines.close()
            shutil.rmtree(folder, ignore_errors=True)
        self._tell("stopped, what is trained is saved; rerun the command to resume")
        sys.exit(128 + self._stop.signal)

    def end(self, files: list[Path]) -> None:
        """Bring the study's run in MLflow up to date, and close it."""

        def whole() -> None:
            for trial in self.trials:
                for result in trial.results.values():
                    if result.get("lineage"):
                        tags = {"facegan.trial": f"{trial.number + 1}: {trial.name}"}
                        if result.get("ended") == GIVEN_UP:
                            tags["facegan.given_up"] = f"after {result['images']} images"
                        self._run.adopt(result["lineage"], tags)
            self._run.best(*self._best_values())
            self._run.end(self.status, files)

        self._view(whole)

    @property
    def done(self) -> list[Trial]:
        """Trials with a score that can be set against that of the first."""
        scored = [trial for trial in self.trials if trial.tried.state == "done"]
        return [trial for trial in scored if self.refused(trial) is None]

    @property
    def best(self) -> Trial | None:
        return min(self.done, key=lambda trial: trial.tried.value or 0.0, default=None)

    def refused(self, trial: Trial) -> str | None:
        """Why a trial's score says nothing beside that of the first; None when it does."""
        first = next(trial for trial in self.trials if trial.tried.state == "done")
        reports = [one.runs[0]["report"] for one in (first, trial)]
        counts = [scores_of(report)[self.score]["n"] for report in reports]
        return incomparable(self.score, reports[0]["protocol"], counts[0], reports[1]["protocol"], counts[1])

    @property
    def failed(self) -> list[Trial]:
        """Those that the same command tries again."""
        return [trial for trial in self.trials if trial.tried.state == "failed"]

    @property
    def rivals(self) -> list[Trial]:
        """Those that cannot be told apart from the best."""
        best = self.best
        return [trial for trial in self.done if best and trial is not best and not apart(best, trial, self.score)]

    def _best_values(self) -> tuple[str, list[float]]:
        """Under the name that MLflow has for the score, the best after one trial, two, and so on."""
        done = self.done
        at_n = bool(done) and "at_n" in entry(done[0].runs[0], self.score)
        best = [min(done[: place + 1], key=lambda trial: trial.tried.value or 0.0) for place in range(len(done))]
        return f"{self.score}_at_n" if at_n else self.score, [trial.mean(self.score) for trial in best]

    def _next(self) -> tuple[Trial, Training] | None:
        """What a free device trains: none while all that is left waits for a training of the same weights."""
        running = {bench.training.alike for bench in self._running if bench.training}
        while True:
            free = [place for place, (_, training) in enumerate(self._waiting) if training.alike not in running]
            if free:
                trial, training = self._waiting.pop(free[0])
                result = self._known(training)
                if result is None:
                    return trial, training
                self._take(trial, training, result)
            elif not self._open():
                return None

    def _open(self) -> bool:
        """Choose the next setting; False when all are chosen."""
        number = len(self.trials)
        if number == self.plan.trials:
            return False
        trial = Trial(number, Tried(self._setting(number)))
        self.trials.append(trial)
        try:
            self._queue(trial)
        except FaceganError as error:  # values that do not go together
            reason = str(error).removeprefix("study: ")
            trial.results[1] = {"seed": 1, "scores": [], "ended": IMPOSSIBLE, "reason": reason}
            trial.settle(self.plan.seeds, self.score)
            self._bar.total -= self.plan.images * self.plan.seeds
            self._tell(f"trial {number + 1} is {IMPOSSIBLE}: {reason}")
        return True

    def _queue(self, trial: Trial) -> None:
        """The trainings of a trial that wait for nothing; with pruning, the first before the others."""
        known = {training.seed for waits, training in self._waiting if waits is trial} | set(trial.results)
        left = [self._training(trial, seed) for seed in range(1, self.plan.seeds + 1) if seed not in known]
        self._waiting += [(trial, training) for training in (left[:1] if self.plan.prune else left)]

    def _setting(self, number: int) -> Setting:
        if self._grid is not None:
            return self._grid[number]
        if number == len(self._chosen):
            setting = suggest(self.space, [trial.tried for trial in self.trials], self.plan.sampler, number)
            self._chosen.append([setting.contender.name, setting.values])
            write_json(self._file, self._chosen)
        return self.space.setting(*self._chosen[number])

    def _training(self, trial: Trial, seed: int) -> Training:
        content = trial.tried.setting.params_yaml(seed)
        params = parse_params(content)
        key = json_digest([params.of_run(), self._snapshot.code])[:16]
        alike = json_digest(params.model_dump(include={"seed", "model", "train"}))
        return Training(trial.name, seed, content, key, alike)

    def _known(self, training: Training) -> Result | None:
        path = self.out / f"{training.key}.json"
        result: Result | None = read_json(path) if path.is_file() else None
        if result is None or (result.get("ended") == GIVEN_UP and result["study"] != self._key):
            return None  # it may be ahead of the others here
        return result | {"name": training.name}

    def _start(self, trial: Trial, training: Training, folder: Path) -> None:
        if len(self._benches) < self._machines.count:
            place = Path(tempfile.mkdtemp(dir=folder))
            self._benches.append(self._machines.bench(len(self._benches), place, self.out, self._run.id))
        bench = next(bench for bench in self._benches if bench not in self._running)
        if not self._prepared(bench, training):
            return
        self._running[bench] = trial
        bench.start(training)
        seed = f", seed {training.seed}" if self.plan.seeds > 1 else ""
        self._tell(f"trial {trial.number + 1} of {self.plan.trials} on {bench.device}: {trial.name}{seed}")

    def _prepared(self, bench: "AnyBench", training: Training) -> bool:
        """Make shards once, before several devices would do it side by side; False when asked to stop."""
        pictures = json_digest(training.params.model_dump(mode="json", include={"data", "preprocess"}))
        if pictures in self._shards or not self._machines.prepares:
            return True
        bench.preprocess(training.params_yaml)
        while bench.going:
            if self._stop():
                return False
            time.sleep(0.3)
        if bench.failure:
            raise FaceganError(f"study: {bench.failure}")
        self._shards.add(pictures)
        return True

    def _follow(self, bench: "AnyBench") -> None:
        trial, training = self._running[bench], bench.training
        assert training is not None
        images, scores = training.images, len(training.scores)
        going = bench.follow()
        self._bar.update(training.images - images)
        if going and training.seed == 1 and len(training.scores) > scores:
            trial.tried.scores = training.scores
            others = [other.tried for other in self.trials]
            if self.plan.prune and not training.given_up and give_up(self.space, others, trial.tried):
                training.given_up = True
                bench.stop()
        if not going:
            del self._running[bench]
            result = bench.result() | {"study": self._key}
            if result.get("ended") != "failed":
                write_json(self.out / f"{training.key}.json", result)
            self._take(trial, training, result)
            self._tell(f"trial {trial.number + 1}: {self._outcome(result)}")
            self._failed = self._failed + 1 if result.get("ended") == "failed" else 0
            if self._failed == IN_A_ROW:
                reason = f"{IN_A_ROW} trainings in a row failed, the last: {result['reason']}"
                raise FaceganError(f"study: {reason}; what is trained is kept: rerun the command to resume")

    def _take(self, trial: Trial, training: Training, result: Result) -> None:
        """The result of a training, from this run or an earlier one."""
        trial.results[training.seed] = result
        self._bar.total -= self.plan.images - training.images
        self._bar.refresh()
        trial.settle(self.plan.seeds, self.score)
        if trial.tried.state == "running":
            self._queue(trial)
        else:
            self._waiting = [(waits, other) for waits, other in self._waiting if waits is not trial]
        if trial.tried.state == "done":
            self._view(lambda: self._run.best(*self._best_values()))

    def _outcome(self, result: Result) -> str:
        if "ended" in result:
            return f"{result['ended']} after {result['images']:,} images: {result['reason']}"
        best = f"; best so far trial {self.best.number + 1}" if self.best else ""
        return f"{self.score} {at_its_floor(entry(result, self.score)):.4g}{best}"

    def _view(self, update: Callable[[], None]) -> None:
        """Log it to MLflow, or continue without when MLflow cannot be reached: the study logs it when it ends next."""
        try:
            update()
        except Exception as error:  # MLflow lets those of its database, of HTTP and of its stores through
            if not self._told:
                self._tell(f"MLflow failed ({one_line(error, 200)}); the same command brings it up to date later")
            self._told = True

    def _tell(self, text: str) -> None:
        tqdm.write(f"study: {text}", file=sys.stderr)
