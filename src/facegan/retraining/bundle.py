"""What a training made, as a folder that another job releases.

``bundle.json`` names the commit, the revision to compare with, the stages whose outputs are in it, and every file by
its SHA-256; ``project/`` holds ``params.yaml``, ``dvc.lock`` and the reports; ``dvc/`` is a DVC remote with the outputs
that the commit lacks. Who knows the SHA-256 of ``bundle.json`` knows all of it.
"""

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from facegan.errors import FaceganError
from facegan.files import new_folder, sha256, write_atomic, write_json
from facegan.repository.publish import RUN, is_run, put_back
from facegan.repository.tools import committed, git
from facegan.strict_yaml import read_yaml
from facegan.tracking.errors import one_line

if TYPE_CHECKING:
    from dvc.repo import Repo

INDEX = "bundle.json"
_REMOTE = "bundle"  # DVC's name for it, in no configuration file


class _Index(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    version: int
    commit: str
    base: str
    stages: list[str]
    files: dict[str, str]


def pack(root: Path, folder: Path, base: str, shared: bool) -> str:
    """Write the run of the workspace to ``folder``; gives the SHA-256 of its index.

    With ``shared``, outputs of the commit are left out: DVC's remote has them. Raises FaceganError.
    """
    if folder.exists() and not (folder / INDEX).is_file() and any(folder.iterdir()):
        raise FaceganError(f"{folder} is not empty, and no bundle; name another folder")
    stages = _changed(root) if shared else list(_stages((root / "dvc.lock").read_text(encoding="utf-8")))
    with new_folder(folder) as partial:
        for name in RUN:
            if (root / name).is_file():
                write_atomic(partial / "project" / name, (root / name).read_bytes())
        if stages:  # an empty list is everything to DVC
            with _dvc(root, partial) as repo:
                repo.push(stages, remote=_REMOTE)
        files = {name: sha256(partial / name) for name in _files(partial)}
        head = git(root, "rev-parse", "HEAD")
        index = _Index(version=1, commit=head, base=base, stages=stages, files=files)
        write_json(partial / INDEX, index.model_dump())
    return sha256(folder / INDEX)


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are those that its index names."""

    folder: Path
    commit: str
    base: str
    stages: list[str]

    @classmethod
    def open(cls, folder: Path, digest: str | None) -> Self:
        """Check every file; ``digest`` is the SHA-256 of the index, as the job that packed it said.

        Raises FaceganError.
        """
        path = folder / INDEX
        if not path.is_file():
            raise FaceganError(f"{folder} is not a bundle: it has no {INDEX}; `facegan retrain --bundle` writes one")
        if digest is not None and (found := sha256(path)) != digest.removeprefix("sha256:"):
            raise FaceganError(f"{path} is not the one that was asked for: its SHA-256 is {found}")
        try:
            index = _Index.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise FaceganError(f"{path} is damaged: {one_line(error)}") from error
        there = set(_files(folder)) - {INDEX}
        if odd := sorted(there ^ set(index.files)):
            raise FaceganError(f"{folder} is damaged: {odd[0]} is {'not listed' if odd[0] in there else 'missing'}")
        for name, known in index.files.items():
            if sha256(folder / name) != known:
                raise FaceganError(f"{folder} is damaged: {name} is not the file that was packed")
        return cls(folder, index.commit, index.base, index.stages)

    def install(self, root: Path) -> None:
        """Put the run into a checkout of its commit, with its outputs. Raises FaceganError, its files put back."""
        head = git(root, "rev-parse", "HEAD")
        if head != self.commit and not (is_run(root) and git(root, "rev-parse", "HEAD~1") == self.commit):
            raise FaceganError(f"it was trained from {self.commit[:8]}, but HEAD is {head[:8]}; retrain from there")
        for name in RUN:
            if (self.folder / "project" / name).is_file():
                write_atomic(root / name, (self.folder / "project" / name).read_bytes())
        if not self.stages:
            return
        try:
            with _dvc(root, self.folder) as repo:
                repo.fetch(self.stages, remote=_REMOTE)  # one that is not what its name says is left out
                repo.checkout(self.stages)
        except BaseException:
            put_back(root, RUN)
            raise

    def remember(self, root: Path) -> None:
        """Put its stages into DVC's run cache, as if they had run here; all that they read has to be there."""
        with _dvc(root, self.folder) as repo:
            for stage in [stage for name in self.stages for stage in repo.stage.collect(name)]:
                repo.stage_cache.save(stage)


@contextmanager
def _dvc(root: Path, folder: Path) -> "Iterator[Repo]":
    """The repository with the bundle as one more remote, whose files are checked as they are read."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    remote = {"url": str((folder / "dvc").resolve()), "verify": True}
    try:
        with chdir(root), Repo(config={"remote": {_REMOTE: remote}}) as repo:  # it names stages as seen from here
            yield repo
    except DvcException as error:
        raise FaceganError(f"DVC failed: {one_line(error)}") from error


def _stages(lock: str) -> dict[str, Any]:
    """Outputs by stage, of those that have any."""
    stages = (read_yaml(lock, "dvc.lock") or {}).get("stages", {}) if lock else {}
    return {name: stage["outs"] for name, stage in stages.items() if stage.get("outs")}


def _changed(root: Path) -> list[str]:
    """Stages whose outputs are others than those of the commit."""
    before = _stages(committed(root, "HEAD", "dvc.lock"))
    now = _stages((root / "dvc.lock").read_text(encoding="utf-8"))
    return [name for name, outs in now.items() if outs != before.get(name)]


def _files(folder: Path) -> list[str]:
    """Relative POSIX names of all files and links."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(PurePosixPath(path.relative_to(folder)).as_posix() for path in paths)
