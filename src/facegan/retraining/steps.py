"""Commands that take long, their output shown, and what is checked before any of them."""

import signal
import subprocess
from pathlib import Path

from facegan.errors import FaceganError
from facegan.repository.preflight import branch_to_push, reach_mlflow, reach_remote
from facegan.repository.project import Project
from facegan.repository.tools import git
from facegan.tracking.errors import mlflow_guarded

_CODE = ("dvc.yaml", "pipeline", "src", "recipes")  # what a run depends on beside params.yaml


def check_clean(root: Path, own: Path) -> None:
    """Raises FaceganError for changes that are not committed.

    Results are no changes, and neither is a params.yaml that is as ``own``: an earlier start made it so.
    """
    lines = git(root, "status", "--porcelain", "--", "params.yaml", *_CODE).splitlines()
    others = [line[2:].strip() for line in lines]
    if own.is_file() and own.read_bytes() == (root / "params.yaml").read_bytes():
        others = [name for name in others if not name.endswith("params.yaml")]
    if others:
        names = ", ".join(others[:5])
        raise FaceganError(f"there are changes that are not committed ({names}); commit them, or `git stash`")


def try_all(project: Project, remote: bool, push: bool, promote: bool) -> str | None:
    """Whatever will be written to at the end, before hours of training; gives the branch to push to, if any."""
    try:
        branch = branch_to_push(project.root) if push else None
        if remote:  # what is made is pushed there in any case, but only --push depends on it
            reach_remote(project.home, write=push)
    except FaceganError as error:
        raise FaceganError(f"{error}; nothing was started") from error
    if promote:
        with mlflow_guarded("nothing was started"):
            reach_mlflow(project)
    return branch


class StepFailed(FaceganError):
    """``stopped`` when it was asked to end."""

    stopped = False


def step(root: Path, hint: str, *command: str) -> None:
    """Run a command. Raises StepFailed, with ``hint``, when it fails; a signal is passed on to it."""
    process = subprocess.Popen(command, cwd=root)
    signals: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        signals.append(number)
        process.send_signal(number)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    if code:
        error = StepFailed(f"`{' '.join(command)}` failed with exit code {code}; {hint}")
        error.stopped = bool(signals)
        raise error
