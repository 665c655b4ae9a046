"""Several processes for one stage: those that torchrun started, or as many as FACEGAN_PROCESSES says."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import torch
from torch import distributed

from facegan.errors import FaceganError
from facegan.evaluation.sharing import ALONE, Processes
from facegan.repository.project import cores

MEETING = "FACEGAN_MEETING"  # the file through which the processes that this one starts find each other

Other = tuple[subprocess.Popen[bytes], IO[bytes]]  # a process, and what it says on stderr


@contextmanager
def several(module: str) -> Iterator[Processes]:
    """This process among the others, connected with them.

    Under torchrun they are there; else it is the first of ``FACEGAN_PROCESSES`` and starts the others as ``module``.
    Raises FaceganError, with what the other said, when one of them fails alone.
    """
    with ExitStack() as stack:
        if "WORLD_SIZE" in os.environ:
            count, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
            meeting = "env://"
            others: list[Other] = []
            if MEETING in os.environ:
                place = Path(os.environ[MEETING])
                place.with_name(str(rank)).touch()
                meeting = f"file://{place}"
        else:
            count, rank = _asked_for(), 0
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            meeting = f"file://{folder / 'meeting'}"
            others = _start(module, count, folder / "meeting")
            while sum(path.name.isdigit() for path in folder.iterdir()) < len(others):
                time.sleep(0.05)
                _check(module, others)
        if count == 1:
            yield ALONE
            return
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)  # all goes over CPUs
        try:
            yield Processes(rank, count)
        except RuntimeError as error:
            time.sleep(1)  # one that was lost has ended by then
            _check(module, others, error)
            raise
        finally:
            distributed.destroy_process_group()
            for process, _ in others:
                process.wait()


def device_of(processes: Processes) -> str | None:
    """``FACEGAN_DEVICE``; where several processes share the GPUs of a machine, one for each."""
    given = os.environ.get("FACEGAN_DEVICE")
    if processes.count == 1 or given not in (None, "cuda") or not torch.cuda.is_available():
        return given
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"


def _asked_for() -> int:
    given = os.environ.get("FACEGAN_PROCESSES", "1")
    if not (given.isdecimal() and int(given) > 0):
        raise FaceganError(f"FACEGAN_PROCESSES: {given!r} should be a whole number from 1")
    return int(given)


def _check(module: str, others: list[Other], cause: Exception | None = None) -> None:
    for number, (process, said) in enumerate(others, 1):
        if process.poll():
            said.seek(0)
            for other, _ in others:
                other.kill()  # they would wait for the one that is gone
            last = (said.read().decode(errors="replace").strip().splitlines() or ["it gave no reason"])[-1]
            raise FaceganError(
                f"{module}: process {number + 1} of {len(others) + 1} failed: {last.removeprefix('error: ')}"
            ) from cause


def _start(module: str, count: int, meeting: Path) -> list[Other]:
    """All but the first; cores are shared out."""
    if count == 1:
        return []
    threads = os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    torch.set_num_threads(int(threads))
    started: list[Other] = []
    for rank in range(1, count):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), MEETING: str(meeting)}
        said = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        process = subprocess.Popen(
            [sys.executable, "-m", module], env={**os.environ, **place}, stdout=subprocess.DEVNULL, stderr=said
        )
        started.append((process, said))
    return started
