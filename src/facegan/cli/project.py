"""The repository around the library: its files, its DVC stages, its git state, its environment variables."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from facegan.errors import FaceganError
from facegan.params import Params
from facegan.params_yaml import load_params
from facegan.strict_yaml import read_yaml
from facegan.tracking.lineage import code_digest

if TYPE_CHECKING:  # MLflow takes seconds to import
    from facegan.tracking.view import Server

RAW = Path("data/raw")
SHARDS = Path("data/shards")
TRAINED = Path("models/train")
EXPORTED = Path("models/export")
REPORTS = Path("reports")
_TRACKED = ("params.yaml", "dvc.yaml", "pipeline", "src", "recipes")  # what a diff may show: no secret lives there


@dataclass(frozen=True)
class Project:
    """``root`` holds the files; ``home`` is the repository that runs, working state and relative paths belong to.

    They are one folder, but in a copy that an experiment runs in: DVC's own copies name ``home`` in DVC_ROOT, those of
    a study in FACEGAN_HOME, which goes first.
    """

    root: Path
    home: Path

    @classmethod
    def find(cls) -> Self:
        """The project around the current directory. Raises FaceganError outside of one."""
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / "dvc.yaml").is_file():
                home = os.environ.get("FACEGAN_HOME") or os.environ.get("DVC_ROOT") or folder
                return cls(folder, Path(home).resolve())
        raise FaceganError(f"{here} is not inside a facegan project: no dvc.yaml here or above")

    def params(self) -> Params:
        return load_params(self.root / "params.yaml")

    @property
    def state(self) -> Path:
        """Working state of trainings under way: ignored by git, no DVC output."""
        return self.home / ".facegan"

    @property
    def workers(self) -> int:
        """Processes for data stages; ``FACEGAN_WORKERS``, else every core."""
        given = os.environ.get("FACEGAN_WORKERS")
        if given is not None and not (given.isdecimal() and int(given) > 0):
            raise FaceganError(f"FACEGAN_WORKERS: {given!r} should be a whole number from 1")
        return int(given) if given else cores()

    def code(self, stage: str) -> str:
        """Digest of the code that ``dvc.yaml`` lists for a stage."""
        stages = read_yaml((self.root / "dvc.yaml").read_text(encoding="utf-8"), "dvc.yaml")["stages"]
        return code_digest(
            self.root, (name for name in stages[stage]["deps"] if name.startswith(("src/", "pipeline/")))
        )

    def server(self) -> "Server":
        """``MLFLOW_TRACKING_URI`` and ``MLFLOW_EXPERIMENT_NAME``, else ``mlflow.db`` beside ``dvc.yaml``."""
        from facegan.tracking.view import Server

        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # by default a dead server blocks for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        return Server(*self.tracking())

    def tracking(self) -> tuple[str, str, Path, Path]:
        """Arguments of a ``Server``: URI, experiment, local artifacts, lock file."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
        if uri.startswith("sqlite:///"):  # relative to the repository, also when an experiment runs in a copy
            uri = f"sqlite:///{self.home / uri.removeprefix('sqlite:///')}"
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "facegan"
        return uri, experiment, self.home / "mlartifacts", self.state / "mlflow.lock"

    def tags(self) -> dict[str, str]:
        """The commit, the parameters as they are, whether files were changed, and the experiment it belongs to."""
        commit = self._git("rev-parse", "HEAD").strip()
        tags = {"facegan.params_yaml": (self.root / "params.yaml").read_text(encoding="utf-8")}
        for tag, variable in (("facegan.experiment", "DVC_EXP_NAME"), ("mlflow.parentRunId", "FACEGAN_PARENT_RUN")):
            if value := os.environ.get(variable):
                tags[tag] = value
        if commit:
            tags |= {
                "mlflow.source.git.commit": commit,
                "facegan.git_dirty": str(bool(self._git("status", "--porcelain", "--", *_TRACKED))).lower(),
            }
        return tags

    def changed(self, name: str) -> bool:
        """Whether a file is another than the last commit's: what git ignores or was told to overlook counts too."""
        return self._git("show", f"HEAD:./{name}") != (self.root / name).read_text(encoding="utf-8", errors="replace")

    def changes(self) -> str:
        """The uncommitted diff of code, recipes and parameters; empty outside git."""
        return self._git("diff", "HEAD", "--", *_TRACKED)

    def _git(self, *arguments: str) -> str:
        try:
            return subprocess.run(
                ["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True, errors="replace"
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            return ""


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
