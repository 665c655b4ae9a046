"""The working folder of a training under way, ``.facegan/<training key>``, and the lock that keeps it to one writer."""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, TextIO
from uuid import uuid4

from facegan.errors import FaceganError
from facegan.files import write_atomic
from facegan.processes import began, machine

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

    def begin(self, done: str | None) -> str:
        """The name of this training from its start to its end, however often it is resumed.

        What the training called ``done`` has left here, when it was killed while it cleared up, is removed first.
        """
        path = self.path / "attempt"
        if not self.checkpoint.is_file() and path.is_file() and path.read_text(encoding="utf-8") == done:
            for left in self.path.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        if not path.is_file():
            write_atomic(path, uuid4().hex)
        return path.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: a process and its parent, by number and beginning, on one machine."""

    machine: str
    pid: int
    began: str | None
    parent: int
    parent_began: str | None

    @classmethod
    def this(cls) -> Self:
        pid, parent = os.getpid(), os.getppid()
        return cls(machine(), pid, began(pid), parent, began(parent))

    @classmethod
    def read(cls, lock: Path) -> Self | None:
        """None when it is just being written, or was by an earlier version."""
        try:
            return cls(**json.loads(lock.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            return None

    @property
    def orphan(self) -> bool:
        """Whether it runs here, and its parent is gone: only then may it be ended."""
        here = self.machine == machine() and self.began is not None and began(self.pid) == self.began
        return here and began(self.parent) != self.parent_began

    def __str__(self) -> str:
        where = self.machine.partition(" ")[0]
        return str(self.pid) if self.machine == machine() else f"{self.pid} on {where}"


@contextmanager
def hold(state: Path, key: str) -> Iterator[WorkingFolder]:
    """The only writer of ``state / key``. An orphan (its parent is gone) is ended; another training is waited for."""
    path = state / "locks" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        _acquire(lock, path)
        lock.seek(0)
        lock.truncate()
        json.dump(asdict(Holder.this()), lock)
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
        holder = Holder.read(path)
        if holder is not None and holder.orphan:
            if not ended_at:
                print(f"train: an orphaned training ({holder}) holds this run; ending it", flush=True)
                _send(holder.pid, signal.SIGTERM)
                ended_at = time.monotonic()
            elif time.monotonic() - ended_at > PATIENCE:
                _send(holder.pid, signal.SIGKILL)
        elif not told:
            print(f"train: another process ({holder or 'unknown'}) trains the same parameters; waiting", flush=True)
            told = True
        time.sleep(0.1)


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
