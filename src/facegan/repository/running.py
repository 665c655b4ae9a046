"""How every stage and command runs: one line for a user's mistake, and no orphan left behind."""

import argparse
import errno
import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any

from facegan.errors import FaceganError
from facegan.processes import PARENT, end_with
from facegan.repository.project import Project
from facegan.startup import leave
from facegan.tracking.errors import LOCAL

REFUSED, NOTHING_NEW = 3, 4  # exit codes that tell a result; 1 is an error


class Stop:
    """Becomes true when SIGINT or SIGTERM arrives; the second one ends the process at once."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            sys.exit(128 + number)
        self.signal = number

    def __call__(self) -> bool:
        return bool(self.signal)


@contextmanager
def alone(path: Path, otherwise: str) -> Iterator[None]:
    """Hold a lock on the file ``path``. Raises FaceganError, saying ``otherwise``, when another process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FaceganError(otherwise) from None
        yield


@contextmanager
def as_json(wanted: bool) -> Iterator[dict[str, Any]]:
    """What a command found, printed as JSON at its end if ``wanted``, while all else that it prints goes to stderr.

    Also where it ends by ``sys.exit``; an error is one line on stderr, and no JSON.
    """
    found: dict[str, Any] = {}
    if not wanted:
        yield found
        return
    sys.stdout.flush()
    out = os.dup(1)
    os.dup2(2, 1)  # for the commands that it runs, too
    ended: SystemExit | None = None
    try:
        with redirect_stdout(sys.stderr):
            yield found
    except SystemExit as error:
        ended = error
    finally:
        os.dup2(out, 1)
        os.close(out)
    print(json.dumps(found, indent=2), flush=True)
    if ended is not None:
        raise ended


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON; all else goes to stderr")


def run_stage(stage: Callable[[Project], None], memory: str = "", disk: str = "") -> None:
    """The main of a stage module: ``--help``, ``--debug``, one line for an error, and an end with DVC's.

    ``memory`` and ``disk`` name the parameter that helps where there is not enough of them.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline.{stage.__name__}", description=sys.modules[stage.__module__].__doc__
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    debug = parser.parse_args().debug or bool(os.environ.get("FACEGAN_DEBUG"))
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    end_with(PARENT, lambda: os.kill(os.getpid(), signal.SIGTERM))  # SIGTERM to `dvc` alone leaves its stage running
    leave(guarded(lambda: stage(Project.find()), debug, memory, disk))


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory is used up: Python's, PyTorch's on a GPU, or PyTorch's on a CPU."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)  # not asked of torch: most commands do not load it
        and (type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error))
    )


def guarded(work: Callable[[], None], debug: bool, memory: str = "", disk: str = "") -> int:
    """Run ``work``; a user's mistake, a full disk or memory, or Ctrl-C becomes one line on stderr and an exit code.

    ``memory`` and ``disk`` name what helps.
    """
    try:
        work()
    except FaceganError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if debug or not out_of_memory(error):
            raise
        print(f"error: there is not enough memory{f'; {memory} helps' if memory else ''}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return 141
    except OSError as error:
        if debug or error.errno not in LOCAL:
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        helps = f"; free some space, or {disk}" if full and disk else ""
        print(
            f"error: {error.filename or 'writing'}: {error.strerror}; no partial file was left{helps}", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0
