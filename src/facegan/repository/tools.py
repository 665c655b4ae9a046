"""git and DVC, run as commands: what they print, or one line that says why they failed."""

import logging
import os
import subprocess
from contextlib import chdir
from pathlib import Path
from typing import Any

from facegan.errors import FaceganError
from facegan.strict_yaml import read_yaml
from facegan.tracking.errors import one_line


def git(folder: Path, *arguments: str, **environment: str) -> str:
    """What git prints, without the spaces around it. Raises FaceganError when it fails."""
    return _output(["git", *arguments], folder, environment).strip()


def try_git(folder: Path, *arguments: str) -> str:
    """What git prints; empty when it fails, as outside of a repository."""
    try:
        return git(folder, *arguments)
    except FaceganError:
        return ""


def committed(folder: Path, revision: str, path: str) -> str:
    """The text of a file of ``folder`` at a revision; empty where there is none."""
    try:
        return _output(["git", "show", f"{revision}:./{path}"], folder, {})
    except FaceganError:
        return ""


def dvc(folder: Path, *arguments: str) -> str:
    """What DVC prints, without the spaces around it. Raises FaceganError when it fails."""
    return _output(["dvc", *arguments], folder, {}).strip()


def dvc_frozen(root: Path) -> list[str]:
    """Stages that `dvc freeze` has set aside."""
    stages = read_yaml((root / "dvc.yaml").read_text(encoding="utf-8"), "dvc.yaml")["stages"]
    return [name for name, stage in stages.items() if stage.get("frozen")]


def dvc_fetch(root: Path, revision: str) -> None:
    """Bring the outputs of a commit or an experiment from the remote into the cache. Raises FaceganError."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with chdir(root), Repo() as repo:
            repo.fetch(revs=[revision], workspace=False)
    except DvcException as error:
        raise FaceganError(f"DVC cannot fetch {revision}: {error}") from error


def dvc_status(root: Path) -> dict[str, list[Any]]:
    """By stage, what is not as ``dvc.lock`` has it; as `dvc status --json`, but that an output which lacks in the cache
    is looked at in the workspace. Raises FaceganError.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # what it says of files that are hashed
    try:
        with chdir(root), Repo() as repo:  # it names stages and paths as seen from here
            status = dict(repo.status())
            for entries in status.values():
                for entry in entries:
                    outputs = entry.get("changed outs", {}) if isinstance(entry, dict) else {}
                    for path in [path for path, how in outputs.items() if how == "not in cache"]:
                        outputs |= repo.find_outs_by_path(path)[0].workspace_status() or {path: ""}
                        if not outputs[path]:
                            del outputs[path]
            return status
    except DvcException as error:
        raise FaceganError(f"`dvc status` failed: {one_line(error)}") from error


def _output(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    named = f"`{' '.join(command[:3])}`"
    try:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise FaceganError(f"{named} cannot be run: {error.strerror}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        reason = next((line for line in lines if line.startswith(("fatal:", "ERROR:"))), lines[-1])
        raise FaceganError(f"{named} failed: {reason}")
    return done.stdout
