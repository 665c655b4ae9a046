"""The repository around the library: its files, its DVC stages, its git state, its environment variables."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from facegan.errors import FaceganError
from facegan.files import sha256
from facegan.params import Params
from facegan.params_yaml import load_params
from facegan.repository.tools import committed, git, try_git
from facegan.strict_yaml import read_yaml
from facegan.tracking.lineage import code_digest

if TYPE_CHECKING:  # MLflow takes seconds to import
    from facegan.tracking.registry import Registry
    from facegan.tracking.view import Server

RAW = Path("data/raw")
SHARDS = Path("data/shards")
TRAINED = Path("models/train")
EXPORTED = Path("models/export")
REPORTS = Path("reports")
_TRACKED = ("params.yaml", "dvc.yaml", "pipeline", "src", "recipes", ":(glob)**/*.py")  # what a stage may depend on
_LARGEST = 2**20  # bytes of a file of code
_CODE = {".py", ".yaml", ".yml", ".toml"}
_SECRET = re.compile(r"(?i)secret|credential|passw|token|api_?key|(^|/)\.")


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

    def registry(self) -> "Registry":
        """Of the model that ``promotion.model`` names. Raises whatever MLflow raises."""
        from facegan.tracking.registry import Registry

        return Registry(self.server(), self.params().promotion.model)

    def tracking(self) -> tuple[str, str, Path, Path]:
        """Arguments of a ``Server``: URI, experiment, local artifacts, lock file."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
        if uri.startswith("sqlite:///"):  # relative to the repository, also when an experiment runs in a copy
            uri = f"sqlite:///{self.home / uri.removeprefix('sqlite:///')}"
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "facegan"
        return uri, experiment, self.home / "mlartifacts", self.state / "mlflow.lock"

    def tags(self) -> dict[str, str]:
        """The commit, the parameters as they are, whether files were changed, and the experiment it belongs to."""
        commit = try_git(self.root, "rev-parse", "HEAD")
        tags = {"facegan.params_yaml": (self.root / "params.yaml").read_text(encoding="utf-8")}
        for tag, variable in (("facegan.experiment", "DVC_EXP_NAME"), ("mlflow.parentRunId", "FACEGAN_PARENT_RUN")):
            if value := os.environ.get(variable):
                tags[tag] = value
        if commit:
            tags |= {
                "mlflow.source.git.commit": commit,
                "facegan.git_dirty": str(bool(try_git(self.root, "status", "--porcelain", "--", *_TRACKED))).lower(),
            }
        return tags

    def made_of(self) -> dict[str, dict[str, str]]:
        """Digests of what decides the outputs, by name: parameters, stages, packages, the commit and what differs."""
        found = {}
        for name in ("params.yaml", "dvc.yaml", "dvc.lock", "requirements.lock"):
            if (self.root / name).is_file():
                found[name] = {"sha256": sha256(self.root / name)}
        if commit := try_git(self.root, "rev-parse", "HEAD"):
            found["git"] = {"gitCommit": commit}
        if changes := self.changes():
            found["uncommitted.diff"] = {"sha256": hashlib.sha256(changes.encode()).hexdigest()}
        return found

    def changed(self, name: str) -> bool:
        """Whether a file is another than the last commit's: what git ignores or was told to overlook counts too."""
        return committed(self.root, "HEAD", name) != (self.root / name).read_text(encoding="utf-8", errors="replace")

    def changes(self) -> str:
        """The uncommitted diff of code, recipes and parameters, files that git does not know among them.

        One that is large, is no code or might hold a secret is named with its digest alone. Empty outside git.
        """
        code, left_out = self.untracked()
        if not try_git(self.root, "rev-parse", "--verify", "--quiet", "HEAD"):
            return ""
        with TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}  # not the user's, and no content goes into git
            git(self.root, "read-tree", "HEAD", **index)
            if code:
                git(self.root, "add", "--intent-to-add", "--", *code, **index)
            diff = git(self.root, "diff", "HEAD", "--", *_TRACKED, **index)
        told = [
            f"# not shown: {name}, {(self.root / name).stat().st_size:,} bytes, {sha256(self.root / name)}"
            for name in left_out
        ]
        return "\n".join(filter(None, [diff, *told]))

    def untracked(self) -> tuple[list[str], list[str]]:
        """Code that git neither knows nor ignores: what may be kept with a run, and what may not, by size or name."""
        listed = try_git(self.root, "ls-files", "-z", "--others", "--exclude-standard", "--", *_TRACKED)
        names = [name for name in listed.split("\0") if name]
        files = [name for name in names if (self.root / name).is_file() and not (self.root / name).is_symlink()]
        kept = [name for name in files if self._may_be_kept(name)]
        return kept, [name for name in files if name not in kept]

    def _may_be_kept(self, name: str) -> bool:
        small = (self.root / name).stat().st_size <= _LARGEST
        return small and Path(name).suffix in _CODE and not _SECRET.search(name)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
