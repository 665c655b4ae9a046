"""The trials of a study, one after another on each device, until all are tried."""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from facegan.cli.command import Stop
from facegan.cli.project import Project
from facegan.cli.study_run import Bench, Result, Snapshot, Training
from facegan.cli.study_search import Sampler, Tried, give_up, suggest
from facegan.cli.study_space import Setting, Space
from facegan.errors import FaceganError
from facegan.evaluation.comparison import at_its_floor, badness
from facegan.evaluation.metrics import scores_of
from facegan.files import json_digest, read_json, write_json
from facegan.params_yaml import parse_params
from facegan.progress import progress
from facegan.tracking.study import StudyRun

IN_A_ROW = 3  # failures that are no divergence: something else is wrong


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
    """A setting, what the sampler is told of it, and the results of its trainings by seed."""

    number: int
    tried: Tried
    results: dict[int, Result] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.tried.setting.name

    def settle(self, seeds: int, score: str) -> None:
        """Its state, once its trainings are done or one of them will not be. Raises FaceganError without ``score``."""
        if 1 in self.results:
            self.tried.scores = self.results[1]["scores"]
        for result in self.results.values():
            if "given_up" in result or result.get("diverged"):
                self.tried.state = "given up"
            elif "failed" in result:
                self.tried.state = "failed"
        if self.tried.state == "running" and len(self.results) == seeds:
            self.tried.value = statistics.mean(badness(score, _score(run, score)) for run in self.results.values())
            self.tried.state = "done"


class Study:
    """All trials of a space. Raises FaceganError when trainings fail for another reason than their parameters."""

    def __init__(self, project: Project, space: Space, plan: Plan, devices: list[str], out: Path) -> None:
        self.space, self.plan, self.out = space, plan, out
        self.score = project.params().promotion.score
        self.trials: list[Trial] = []
        self._grid = space.grid() if plan.sampler == "grid" else None
        self._stop = Stop()
        self._waiting: deque[tuple[Trial, Training]] = deque()
        self._running: dict[Bench, Trial] = {}
        self._failed = 0  # in a row
        self._reason = ""  # of the last
        self._project, self._devices = project, devices
        self._snapshot = Snapshot(project)
        out.mkdir(parents=True, exist_ok=True)
        key = json_digest([space.described(), plan.sampler, plan.prune])
        self._file = out / f"trials-{key[:8]}.json"
        self._chosen = read_json(self._file) if self._file.is_file() else []
        self._run = StudyRun(
            project.server(),
            json_digest([key, os.path.relpath(out.resolve(), project.home)]),  # also when the project has moved
            f"study {out.resolve().name}".replace("study study", "study"),
            {
                "recipes": ", ".join(space.by_name),
                "search": ", ".join(dimension.key for dimension in space.dimensions) or "none",
                "sampler": plan.sampler,
                "images": plan.images,
                "score": self.score,
            },
        )

    def run(self) -> None:
        """Try all; what is done already is read. Ends the process when it is asked to stop."""
        folder = self._project.state / "studies" / json_digest(str(self.out.resolve()))[:8]
        shutil.rmtree(folder, ignore_errors=True)  # of a study that was killed
        folder.mkdir(parents=True)
        self._bar = progress(None, self.plan.trials * self.plan.seeds * self.plan.images, "study", "images")
        benches: list[Bench] = []
        try:
            while not self._stop():
                if not self._waiting and not self._open() and not self._running:
                    break
                if self._waiting and len(benches) < len(self._devices):
                    place = Path(tempfile.mkdtemp(dir=folder))
                    device = self._devices[len(benches)]
                    benches.append(Bench(self._snapshot, place, device, self.out, self._run.id))
                    if len(benches) == 1 < len(self._devices):
                        self._preprocess(benches[0])
                for bench in benches:
                    if bench in self._running:
                        self._follow(bench)
                    elif self._waiting or self._open():
                        self._start(bench)
                time.sleep(0.3)
        finally:
            for bench in self._running:
                bench.stop()
            for bench in self._running:
                bench.wait()
            self._bar.close()
            shutil.rmtree(folder, ignore_errors=True)
        if self._stop():
            self._run.end("KILLED", [])
            self._tell("stopped, what is trained is saved; the same command goes on from here")
            sys.exit(128 + self._stop.signal)
        if self.best is None and self._reason:
            raise FaceganError(f"study: no trial came to a score: {self._reason}")

    def end(self, files: list[Path]) -> None:
        self._run.end("FINISHED", files)

    @property
    def best(self) -> Trial | None:
        done = [trial for trial in self.trials if trial.tried.state == "done"]
        return min(done, key=lambda trial: trial.tried.value or 0.0, default=None)

    def _open(self) -> bool:
        """Choose the next setting that has something to train; False when all are chosen."""
        while len(self.trials) < self.plan.trials:
            trial = Trial(len(self.trials), Tried(self._setting(len(self.trials))))
            self.trials.append(trial)
            try:
                trainings = [self._training(trial, seed + 1) for seed in range(self.plan.seeds)]
            except FaceganError as error:
                trial.results[1] = {"failed": str(error), "scores": [], "seed": 1}
                self._reason = str(error).removeprefix("study: ")
                self._tell(f"trial {trial.number + 1} is not possible: {self._reason}")
                trainings = []
            for training in trainings:
                if (result := self._known(training)) is not None:
                    trial.results[training.seed] = result
                    self._bar.total -= self.plan.images
            self._settle(trial)
            self._queue(trial, trainings)
            if self._waiting:
                return True
        return False

    def _queue(self, trial: Trial, trainings: list[Training]) -> None:
        """The trainings that are not done; with pruning, the first of a trial before the others."""
        if trial.tried.state != "running":
            return
        left = [training for training in trainings if training.seed not in trial.results]
        self._waiting.extend((trial, training) for training in (left[:1] if self.plan.prune else left))

    def _setting(self, number: int) -> Setting:
        if number < len(self._chosen):
            return self.space.setting(*self._chosen[number])
        if self._grid is not None:
            return self._grid[number]
        setting = suggest(self.space, [trial.tried for trial in self.trials], self.plan.sampler, number)
        self._chosen.append([setting.contender.name, setting.values])
        write_json(self._file, self._chosen)
        return setting

    def _training(self, trial: Trial, seed: int) -> Training:
        content = trial.tried.setting.params_yaml(seed)
        key = json_digest([parse_params(content).of_run(), self._snapshot.code])
        return Training(trial.name, seed, content, key[:16])

    def _known(self, training: Training) -> Result | None:
        path = self.out / f"{training.key}.json"
        result: Result | None = read_json(path) if path.is_file() else None
        if result and "given_up" in result and not self.plan.prune:
            return None
        return result and result | {"name": training.name}

    def _preprocess(self, bench: Bench) -> None:
        """Once, before several devices would do it side by side."""
        changed = {dimension.key.partition(".")[0] for dimension in self.space.dimensions}
        if not changed & {"data", "preprocess"}:
            bench.preprocess(self._waiting[0][1].params_yaml)

    def _start(self, bench: Bench) -> None:
        trial, training = self._waiting.popleft()
        self._running[bench] = trial
        bench.start(training)
        seed = f", seed {training.seed}" if self.plan.seeds > 1 else ""
        self._tell(f"trial {trial.number + 1} of {self.plan.trials} on {bench.device}: {trial.name}{seed}")

    def _follow(self, bench: Bench) -> None:
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
            self._ended(trial, training, bench.result(), bench.lineage(training))

    def _ended(self, trial: Trial, training: Training, result: Result, lineage: str | None) -> None:
        self._bar.total -= self.plan.images - training.images
        trial.results[training.seed] = result
        if "failed" not in result or result["diverged"]:
            write_json(self.out / f"{training.key}.json", result)
            self._failed = 0
        else:
            self._failed += 1
            self._reason = result["failed"]
        if "given_up" in result and lineage:
            self._run.give_up(lineage, result["given_up"])
        self._settle(trial)
        self._queue(
            trial, [self._training(trial, seed + 1) for seed in range(self.plan.seeds)] if self.plan.prune else []
        )
        self._tell(f"trial {trial.number + 1}: {self._outcome(result)}")
        if self._failed == IN_A_ROW:
            raise FaceganError(f"study: {self._reason}; what is trained is kept, and the same command goes on")

    def _settle(self, trial: Trial) -> None:
        trial.settle(self.plan.seeds, self.score)
        if trial.tried.state == "done" and self.best is not None:
            done = sum(other.tried.state == "done" for other in self.trials)
            self._run.best(done, self.score, self.best.tried.value or 0.0)

    def _outcome(self, result: Result) -> str:
        if "given_up" in result:
            return f"given up after {result['given_up']:,} images, behind the others"
        if "failed" in result:
            return str(result["failed"])
        best = f"; best so far trial {self.best.number + 1}" if self.best else ""
        return f"{self.score} {at_its_floor(_score(result, self.score)):.4g}{best}"

    def _tell(self, text: str) -> None:
        tqdm.write(f"study: {text}", file=sys.stderr)


def _score(result: Result, score: str) -> dict[str, Any]:
    found = scores_of(result["report"])
    if score not in found:
        raise FaceganError(f"study: promotion.score is {score!r}, which `evaluate` does not give: {', '.join(found)}")
    return found[score]
