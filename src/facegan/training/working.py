"""The working folder of a training under way, ``.facegan/<training key>``, and the lock that keeps it to one writer."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from facegan.errors import FaceganError

PATIENCE = 20.0  # seconds that an orphan gets to save and stop


@dataclass(frozen=True)
class WorkingFolder:
    """Checkpoint, journal and sample grids of a training that is not finished."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def samples(self) -> Path:
        return self.path / "samples"


@contextmanager
def hold(state: Path, key: str) -> Iterator[WorkingFolder]:
    """The only writer of ``state / key``. An orphan (its parent is gone) is ended; another training is waited for."""
    path = state / "locks" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        _acquire(lock, path)
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()} {os.getppid()}")
        lock.flush()
        (state / key).mkdir(exist_ok=True)
        yield WorkingFolder(state / key)


def _acquire(lock: TextIO, path: Path) -> None:
    told = False
    ended_at = 0.0
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        holder, parent = _holder(path)
        if holder and not _alive(parent):
            if not ended_at:
                print(f"train: an orphaned training ({holder}) holds this run; ending it", flush=True)
                _send(holder, signal.SIGTERM)
                ended_at = time.monotonic()
            elif time.monotonic() - ended_at > PATIENCE:
                _send(holder, signal.SIGKILL)
        elif not told:
            print(f"train: another process ({holder or 'unknown'}) trains the same parameters; waiting", flush=True)
            told = True
        time.sleep(0.1)


def _holder(lock: Path) -> tuple[int, int]:
    try:
        holder, parent = lock.read_text().split()
    except ValueError:
        return 0, 0  # just being written
    return int(holder), int(parent)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise FaceganError(f"train: process {pid} holds this run and belongs to another user") from error


def unfinished(parent: Path, key: str) -> list[str]:
    """Keys of other trainings below ``parent`` that have a checkpoint."""
    return sorted(path.parent.name for path in parent.glob("*/checkpoint.safetensors") if path.parent.name != key)
