"""The trainings of a study: each a DVC experiment, run in a copy of the repository that nothing else touches.

The copy has the files as they were when the study began, and DVC's cache, MLflow and working state of the project
itself: so a training goes on where it was stopped, and an experiment ends up in the project like any other.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facegan.cli.project import REPORTS, SHARDS, TRAINED, Project
from facegan.data.manifest import MANIFEST, read_manifest
from facegan.errors import FaceganError
from facegan.files import read_json, write_atomic
from facegan.params import Params
from facegan.params_yaml import parse_params
from facegan.tracking.feed import remove, set_aside, unsent
from facegan.tracking.journal import read_rows
from facegan.tracking.lineage import lineage_key, training_key

STAGES = ("download", "preprocess", "train", "evaluate", "export")  # whose code decides a result
GONE = "not finite"  # how the journal tells of a training that diverges
Result = dict[str, Any]  # of one training, as its file holds it


@dataclass
class Training:
    """Parameters with a seed, and what its journal has told so far."""

    name: str
    seed: int
    params_yaml: str
    key: str  # of its files
    images: int = 0
    scores: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    diverged: bool = False
    given_up: bool = False
    read: int = 0  # bytes of the journal

    @property
    def params(self) -> Params:
        return parse_params(self.params_yaml)


class Snapshot:
    """The project's files as they are now, but for what git ignores, as a tree in git."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.top = Path(_git(project.root, "rev-parse", "--show-toplevel"))
        self.below = _git(project.root, "rev-parse", "--show-prefix")
        try:
            self.head = _git(project.root, "rev-parse", "--verify", "HEAD^{commit}")
        except FaceganError:
            raise FaceganError(
                "study: its trainings are DVC experiments, which need a commit: `git commit` one"
            ) from None
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            _git(self.top, "read-tree", "HEAD", **index)
            _git(self.top, "add", "--all", **index)
            self.tree = _git(self.top, "write-tree", **index)
        self.code = [project.code(stage) for stage in STAGES]

    def copy(self, folder: Path) -> Project:
        """A repository of its own with these files, and DVC's cache of the project."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _git(self.top, "clone", "--quiet", "--shared", "--no-checkout", str(self.top), str(folder))
        _git(folder, "checkout", "--quiet", "--detach", self.head)
        _git(folder, "read-tree", "--reset", "-u", self.tree)
        _git(folder, "reset", "--quiet")
        for key in ("user.name", "user.email"):
            if value := _git(self.top, "config", "--default", "", key):
                _git(folder, "config", key, value)
        root = folder / self.below
        own = self.project.root / ".dvc/config.local"
        if own.is_file():
            shutil.copyfile(own, root / ".dvc/config.local")
        cache = _asked(["dvc", "cache", "dir"], self.project.root)
        _asked(["dvc", "config", "--local", "cache.dir", cache], root)
        return Project(root, self.project.home)


class Bench:
    """A device, with a copy of the repository: one training at a time."""

    def __init__(self, snapshot: Snapshot, folder: Path, device: str | None, out: Path, parent: str) -> None:
        self._snapshot, self._out = snapshot, out
        self._copy = snapshot.copy(folder)
        self._code = self._copy.code("train")
        self._process: subprocess.Popen[bytes] | None = None
        self.device = device or "the default device"
        self.training: Training | None = None
        self._folder: Path | None = None  # of its working state, once it is there
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("DVC_EXP")},
            "FACEGAN_HOME": str(snapshot.project.home),
            "FACEGAN_PARENT_RUN": parent,
            "PYTHONPATH": str(self._copy.root / "src"),  # the code of the copy, whatever is installed
            **({"FACEGAN_DEVICE": device} if device else {}),
        }

    def preprocess(self, params_yaml: str) -> None:
        """Fill DVC's cache with the shards that all will need. Raises FaceganError when it fails."""
        write_atomic(self._copy.root / "params.yaml", params_yaml)
        log = self._out / "preprocess.log"
        with log.open("wb") as file:
            command = ["dvc", "repro", "preprocess"]
            done = subprocess.run(
                command, cwd=self._copy.root, env=self._environment, stdout=file, stderr=subprocess.STDOUT
            )
        if done.returncode:
            raise FaceganError(f"study: {_reason(log)}")

    def start(self, training: Training) -> None:
        self.training, self._folder = training, None
        write_atomic(self._copy.root / "params.yaml", training.params_yaml)
        name = self._experiment(training)
        # An end of the study, even by SIGKILL, is the end of what it started; Ctrl-C reaches the study alone.
        with self._log(training).open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "facegan.cli.experiment", name],
                cwd=self._copy.root,
                env=self._environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def follow(self) -> bool:
        """Read what the journal has to say; True while the training goes on."""
        assert self._process is not None and self.training is not None
        going = self._process.poll() is None
        training = self.training
        key = None if self._folder else self._key(training)
        if key and (self._copy.state / key).is_dir():
            self._folder = self._copy.state / key
        for row in read_rows(self._folder, training.read) if self._folder else ():
            training.read = row["end"]
            if row["kind"] == "metrics":
                training.images = row["step"]
                if row["values"].get("score") is not None:
                    training.scores.append(row["values"]["score"])
            elif row["kind"] == "system":
                training.rates.append(row["values"]["images_per_second"])
            elif row["kind"] == "alarm":
                training.diverged |= row["alarm"].startswith(GONE)
        return going

    def stop(self) -> None:
        """As Ctrl-C does: the training saves its state, and can go on."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)

    def wait(self) -> None:
        if self._process is not None:
            self._process.wait()

    def result(self) -> Result:
        """Of the training that has ended; the next one can start."""
        training, process = self.training, self._process
        assert training is not None and process is not None
        self.training = self._process = None
        result: Result = {"name": training.name, "seed": training.seed, "key": training.key, "scores": training.scores}
        if process.returncode == 0:
            result |= self._outputs(training)
        elif training.given_up:
            result["given_up"] = training.images
        else:
            result["failed"] = _reason(self._log(training))
            result["diverged"] = training.diverged
        if training.given_up or training.diverged:
            self._clear()
        return result

    def lineage(self, training: Training) -> str | None:
        """Of the training's run in MLflow; None before there are shards."""
        key = self._key(training)
        return lineage_key(key, training.params) if key else None

    def _outputs(self, training: Training) -> Result:
        from facegan.exporting.model import load_generator

        root, name = self._copy.root, self._experiment(training)
        references = _git(root, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        for reference in references:
            if reference.rpartition("/")[2] == name:
                _git(root, "push", "--quiet", "--force", str(self._snapshot.top), f"{reference}:{reference}")
        network, config = load_generator(root / TRAINED)
        grids = sorted((root / REPORTS / "train/samples").glob("*.png"))
        shutil.copyfile(grids[-1], self._out / f"{training.key}.png")
        shutil.copyfile(root / REPORTS / "train/history.csv", self._out / f"{training.key}.csv")
        return {
            "experiment": name,
            "report": read_json(root / REPORTS / "evaluate.json"),
            "best_images": config["best"]["images"],
            "parameters": sum(weight.numel() for weight in network.parameters()),
            "images_per_second": statistics.median(training.rates) if training.rates else None,
        }

    def _experiment(self, training: Training) -> str:
        return f"{self._out.resolve().name}-{training.key[:8]}"

    def _log(self, training: Training) -> Path:
        return self._out / f"{training.key}.log"

    def _key(self, training: Training) -> str | None:
        if not (self._copy.root / SHARDS / MANIFEST).is_file():
            return None
        digests = [shard["sha256"] for shard in read_manifest(self._copy.root / SHARDS)["shards"]]
        return training_key(training.params, digests, self._code)

    def _clear(self) -> None:
        """A training that nobody goes on with leaves no checkpoint; rows that MLflow lacks wait for it."""
        folder = self._folder
        if folder is None or not folder.is_dir():
            return
        for path in folder.glob("checkpoint*"):
            path.unlink()
        if folder in unsent(self._copy.state):
            set_aside(folder, self._copy.state)
        else:
            remove(folder)


def _reason(log: Path) -> str:
    """Why a command failed: the last error that its output tells."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    told = told or [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return f"{told[-1] if told else 'it ended without a word'} (see {log})"


def _git(folder: Path, *arguments: str, **environment: str) -> str:
    return _asked(["git", *arguments], folder, environment)


def _asked(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """What a command says. Raises FaceganError when it fails."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it gave {done.returncode}"])[-1]
        raise FaceganError(f"study: `{' '.join(command[:3])}` failed: {reason}")
    return done.stdout.strip()
