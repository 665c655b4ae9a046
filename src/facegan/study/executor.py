"""The trainings of a study: each a DVC experiment, run in a copy of the repository that nothing else touches.

The copy has the files as they were when the study began, and DVC's cache, MLflow and working state of the project
itself: so a training goes on where it was stopped, and an experiment ends up in the project like any other.
"""

import csv
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from facegan.data.manifest import MANIFEST, read_manifest
from facegan.errors import FaceganError
from facegan.files import read_json, write_atomic
from facegan.params import Params
from facegan.params_yaml import parse_params
from facegan.repository.project import REPORTS, SHARDS, TRAINED, Project
from facegan.repository.tools import dvc, git
from facegan.study.results import GIVEN_UP, Result
from facegan.tracking.feed import remove, set_aside, unsent
from facegan.tracking.journal import read_rows
from facegan.tracking.lineage import RunSpec, lineage_key, training_key

STAGES = ("download", "preprocess", "train", "evaluate", "export")  # whose code decides a result


@dataclass
class Training:
    """Parameters with a seed, and what its journal has told so far."""

    name: str
    seed: int
    params_yaml: str
    key: str  # of its files
    alike: str  # trainings of the same weights, which are not run at the same time
    images: int = 0
    scores: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    given_up: bool = False
    why: str | None = None  # it ended, where its journal says so
    read: int = 0  # bytes of the journal

    @property
    def params(self) -> Params:
        return parse_params(self.params_yaml)


class Snapshot:
    """The project's files as they are now, as a tree in git: what git knows, and code that it does not know yet."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.top = Path(git(project.root, "rev-parse", "--show-toplevel"))
        self.below = git(project.root, "rev-parse", "--show-prefix")
        try:
            self.head = git(project.root, "rev-parse", "--verify", "HEAD^{commit}")
        except FaceganError:
            raise FaceganError(
                "study: its trainings are DVC experiments, which need a commit: `git commit` one"
            ) from None
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            git(self.top, "read-tree", "HEAD", **index)
            git(project.root, "add", "--update", "--", ".", **index)  # not what lies beside the project
            code, left_out = project.untracked()
            if code:
                git(project.root, "add", "--", *code, **index)
            if left_out:
                print(f"study: its trainings do not see {', '.join(left_out)}: large or secret, and not in git")
            self.tree = git(self.top, "write-tree", **index)
        self.code = [project.code(stage) for stage in STAGES]

    def copy(self, folder: Path) -> Project:
        """A repository of its own with these files, and DVC's cache of the project."""
        # Not `git clone --shared`, which copies a shallow clone (as CI makes) without the tree.
        git(self.top, "init", "--quiet", str(folder))
        objects = self.top / git(self.top, "rev-parse", "--git-path", "objects")
        write_atomic(folder / ".git/objects/info/alternates", f"{objects.resolve()}\n")
        shallow = self.top / git(self.top, "rev-parse", "--git-path", "shallow")
        if shallow.is_file():
            shutil.copyfile(shallow, folder / ".git/shallow")
        git(folder, "update-ref", "--no-deref", "HEAD", self.head)
        git(folder, "read-tree", "--reset", "-u", self.tree)
        git(folder, "reset", "--quiet")
        for key in ("user.name", "user.email"):
            if value := git(self.top, "config", "--default", "", key):
                git(folder, "config", key, value)
        root = folder / self.below
        own = self.project.root / ".dvc/config.local"
        if own.is_file():
            shutil.copyfile(own, root / ".dvc/config.local")
        dvc(root, "config", "--local", "cache.dir", dvc(self.project.root, "cache", "dir").strip())
        return Project(root, self.project.home)


class Here:
    """The devices of this machine."""

    def __init__(self, devices: list[str]) -> None:
        self._devices, self.count = devices, len(devices)
        self.prepares = self.count > 1  # shards are made before several trainings would make them side by side
        self._snapshot: Snapshot | None = None

    def connect(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def bench(self, number: int, folder: Path, out: Path, parent: str) -> "Bench":
        assert self._snapshot is not None
        return Bench(self._snapshot, folder, self._devices[number], out, parent)

    def close(self) -> None:
        pass


class Bench:
    """A device, with a copy of the repository: one training at a time."""

    def __init__(
        self, snapshot: Snapshot, folder: Path, device: str | None, out: Path, parent: str, pull: bool = False
    ) -> None:
        """``pull`` what stages are restored from, from DVC's remote."""
        self._snapshot, self._out = snapshot, out
        self._pull = ["--pull"] if pull else []
        self._copy = snapshot.copy(folder)
        self._code = self._copy.code("train")
        self._process: subprocess.Popen[bytes] | None = None
        self.device = device or "the default device"
        self.training: Training | None = None
        self._folder: Path | None = None  # of its working state, once it is there
        self._log, self._told = out, 0  # where the output goes, and where that of the last start begins
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("DVC_EXP")},
            "FACEGAN_HOME": str(snapshot.project.home),
            "FACEGAN_PARENT_RUN": parent,
            # The code of the copy, whatever is installed.
            "PYTHONPATH": os.pathsep.join(filter(None, [str(self._copy.root / "src"), os.environ.get("PYTHONPATH")])),
            **({"FACEGAN_DEVICE": device} if device else {}),
        }

    def preprocess(self, params_yaml: str) -> None:
        """Start to fill DVC's cache with the shards that all trainings will need."""
        self._start(params_yaml, self._out / "preprocess.log", "repro", "preprocess")

    def start(self, training: Training) -> None:
        self.training, self._folder = training, None
        name = self._experiment(training)
        self._start(training.params_yaml, self._out / f"{training.key}.log", "exp", "run", *self._pull, "--name", name)

    def _start(self, params_yaml: str, log: Path, *arguments: str) -> None:
        write_atomic(self._copy.root / "params.yaml", params_yaml)
        with log.open("ab") as file:
            self._log, self._told = log, file.tell()
            # It ends when this process does, even by SIGKILL; Ctrl-C reaches this one alone.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "facegan.study.experiment", str(os.getpid()), *arguments],
                cwd=self._copy.root,
                env=self._environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def root(self) -> Path:
        """Of the copy."""
        return self._copy.root

    @property
    def going(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def failure(self) -> str | None:
        """Why what has ended has failed; None when it has not."""
        return self._reason() if self._process and self._process.returncode else None

    def follow(self) -> bool:
        """Read what the journal has to say; True while the training goes on."""
        assert self.training is not None
        going, training = self.going, self.training
        if self._folder is None and (key := self._key(training)) is not None:
            folder = self._copy.state / key
            if _lineage(folder) == lineage_key(key, training.params):
                self._folder = folder
        for row in read_rows(self._folder, training.read) if self._folder else ():
            training.read = row["end"]
            if row["kind"] == "metrics":
                training.images = row["step"]
                if row["values"].get("score") is not None:
                    training.scores.append(row["values"]["score"])
            elif row["kind"] in ("start", "end"):
                training.why = row.get("why")
            elif row["kind"] == "system":
                training.rates.append(row["values"]["images_per_second"])
        return going

    def stop(self) -> None:
        """As Ctrl-C does: the training saves its state, and can go on."""
        if self._process is not None and self.going:
            os.killpg(self._process.pid, signal.SIGINT)

    def wait(self) -> None:
        if self._process is not None:
            self._process.wait()

    def result(self) -> Result:
        """Of the training that has ended; the next one can start."""
        training = self.training
        assert training is not None
        self.follow()  # to the journal's end
        self.training = None
        key = self._key(training)
        result: Result = {
            "name": training.name,
            "seed": training.seed,
            "key": training.key,
            "lineage": lineage_key(key, training.params) if key else None,
            "images": training.images,
            "scores": training.scores,
        }
        failure = self.failure
        if failure is None:
            return result | self._outputs(training)
        ended = training.why or "failed"
        if training.given_up:
            ended, failure = GIVEN_UP, "behind the others"
        result |= {"ended": ended, "reason": failure}
        if ended != "failed":
            self._clear()
        return result

    def _outputs(self, training: Training) -> Result:
        from facegan.exporting.model import load_generator

        root, name = self._copy.root, self._experiment(training)
        references = git(root, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        for reference in references:
            if reference.rpartition("/")[2] == name:
                command = ("push", "--quiet", "--force", "--no-verify")
                git(root, *command, str(self._snapshot.top), f"{reference}:{reference}")
        network, config = load_generator(root / TRAINED)
        grids = sorted((root / REPORTS / "train/samples").glob("*.png"))
        shutil.copyfile(grids[-1], self._out / f"{training.key}.png")
        history = root / REPORTS / "train/history.csv"
        shutil.copyfile(history, self._out / f"{training.key}.csv")
        with history.open(newline="", encoding="utf-8") as file:
            scores = [float(row["score"]) for row in csv.DictReader(file) if row["score"]]
        return {
            "scores": scores,  # all, also when the journal was not read to its end
            "experiment": name,
            "report": read_json(root / REPORTS / "evaluate.json"),
            "best_images": config["best"]["images"],
            "parameters": sum(weight.numel() for weight in network.parameters()),
            "images_per_second": statistics.median(training.rates) if training.rates else None,
        }

    def _experiment(self, training: Training) -> str:
        """A name that git takes, whatever the folder is called."""
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", self._out.resolve().name).strip("-")
        return f"{name or 'study'}-{training.key[:8]}"

    def _reason(self) -> str:
        """The last error that the output tells, since what was started last."""
        with self._log.open("rb") as file:
            file.seek(self._told)
            lines = re.split(r"[\r\n]+", file.read().decode(errors="replace"))
        told = [line.strip().removeprefix("error: ") for line in lines if line.strip().startswith("error: ")]
        told = told or [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        return f"{told[-1] if told else 'it exited without an error message'} (see {self._log})"

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


def _lineage(folder: Path) -> str | None:
    """Of the run that a working folder belongs to now."""
    try:
        return RunSpec.read(folder).lineage
    except (OSError, FaceganError):
        return None
