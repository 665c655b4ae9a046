"""The working state of trainings and studies, ``.facegan``."""

import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from facegan.garbage import Item
from facegan.processes import began
from facegan.repository.project import Project
from facegan.repository.running import alone
from facegan.tracking.feed import OUTBOX, unsent

_DAY = 24 * 3600


def busy(project: Project) -> str | None:
    """What is at work in this repository, in words; None when nothing is."""
    state = project.state
    locks = {
        "a training": state.glob("locks/*"),
        "a study": state.glob("studies/*.lock"),
        "a retraining": state.glob("retrain.lock"),
    }
    for what, paths in locks.items():
        if any(_held(path) for path in paths):
            return what
    try:  # DVC's own: by path, the processes that read or write it
        holders = json.loads((project.home / ".dvc/tmp/rwlock").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = [entry for kinds in holders.values() for entry in kinds.values()]
    entries = [info for entry in found for info in (entry if isinstance(entry, list) else [entry]) if info]
    return "a DVC stage" if any(began(int(info["pid"])) for info in entries) else None


def find(project: Project, days: float) -> Iterator[Item]:
    """What was last written more than ``days`` ago; rows that MLflow has not got stay however old they are."""
    state, before = project.state, time.time() - days * _DAY
    waiting = set(unsent(state))
    for checkpoint in sorted(state.glob("*/checkpoint.safetensors")):
        folder = checkpoint.parent
        if folder not in waiting and (written := _written(folder)) < before:
            age = (time.time() - written) / _DAY
            what = f"unfinished training {folder.name[:8]}, last at work {age:.0f} days ago"
            yield Item(what, size_of(folder), partial(_remove_training, state, folder))
    for folder in sorted(state.glob(f"{OUTBOX}/*")):
        if folder not in waiting:
            yield _folder(folder, f"journal {folder.name[:8]}, which MLflow has whole")
    for folder in sorted(path for path in state.glob("studies/*") if path.is_dir()):
        yield _folder(folder, f"copies of a study that was killed ({folder.name})")
    for path in sorted(state.glob("cache/*")):
        if path.is_file() and path.stat().st_mtime < before:
            yield Item(f"features of real pictures ({path.name})", path.stat().st_size, path.unlink)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _remove_training(state: Path, folder: Path) -> None:
    """Under the lock that its training takes: one that has begun meanwhile keeps it."""
    with alone(state / "locks" / folder.name, f"gc: {folder} is at work again; rerun the command when it is done"):
        shutil.rmtree(folder)


def _folder(folder: Path, what: str) -> Item:
    return Item(what, size_of(folder), partial(shutil.rmtree, folder))


def _written(folder: Path) -> float:
    return max(path.stat().st_mtime for path in folder.rglob("*") if path.is_file())


def _held(path: Path) -> bool:
    try:
        with path.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
