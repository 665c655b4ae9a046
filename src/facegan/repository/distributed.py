"""Several processes for one stage: those that torchrun started, or as many as FACEGAN_PROCESSES says."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from facegan.errors import FaceganError
from facegan.repository.meeting import fresh
from facegan.repository.project import cores
from facegan.sharing import ALONE, Processes

PATIENCE = timedelta(minutes=30)  # with a process that answers: the first one may be scoring; one that dies is seen
GRACE = 10.0  # seconds that the others get to end when the first one does
MEETING = "FACEGAN_MEETING"  # the file through which the processes that this one starts find each other

Other = tuple[subprocess.Popen[bytes], IO[bytes]]  # a process, and what it says on stderr


def process_count() -> int:
    """How many processes there are, or are asked for. Raises FaceganError for a value that is no number of them."""
    if "WORLD_SIZE" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    given = os.environ.get("FACEGAN_PROCESSES", "1")
    if not (given.isdecimal() and int(given) > 0):
        raise FaceganError(f"FACEGAN_PROCESSES: {given!r} should be a whole number from 1")
    return int(given)


@contextmanager
def several(module: str) -> Iterator[Processes]:
    """This process among the others, connected with them.

    Under torchrun they are there; else it is the first of ``FACEGAN_PROCESSES`` and starts the others as ``module``.
    Raises FaceganError, with what the other said, when one of them fails alone.
    """
    count, rank = process_count(), int(os.environ.get("RANK", "0"))
    if count == 1:
        yield ALONE
        return
    others: list[Other] = []
    with ExitStack() as stack:
        if MEETING in os.environ:
            place = Path(os.environ[MEETING])
            place.with_name(str(rank)).touch()
            meeting = f"file://{place}"
        elif "WORLD_SIZE" in os.environ:
            meeting = "env://"
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            meeting = f"file://{folder / 'meeting'}"
            others = _start(module, count, folder / "meeting")
            while sum(path.name.isdigit() for path in folder.iterdir()) < len(others):
                time.sleep(0.05)
                _check(module, others)
        wire = _connect(module, meeting, rank, count)
        try:
            yield Processes(rank, count, wire)
        except RuntimeError as error:
            time.sleep(1)  # one that was lost has ended by then
            _check(module, others, error)
            if not _lost(error):
                raise
            raise FaceganError(
                f"{module}: process {rank + 1} of {count} lost the others, of which one has ended; see what that said"
            ) from error
        finally:
            with suppress(RuntimeError):  # the others may be gone
                distributed.destroy_process_group()
            for process, _ in others:
                _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Wait for one that has nothing left to do; where the first one failed alone, it would wait for that for ever."""
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def device_of(processes: Processes) -> str | None:
    """``FACEGAN_DEVICE``; where several processes share the GPUs of a machine, one for each."""
    if processes.count == 1 or not _by_gpu():
        return os.environ.get("FACEGAN_DEVICE")
    return f"cuda:{_local_rank() % torch.cuda.device_count()}"


def _by_gpu() -> bool:
    return os.environ.get("FACEGAN_DEVICE") in (None, "cuda") and torch.cuda.is_available()


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def _connect(module: str, meeting: str, rank: int, count: int) -> str:
    """Gives the wire: NCCL's where every process has a GPU of its own, else gloo's, over CPUs."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", count))
    by_gpu = _by_gpu() and here <= torch.cuda.device_count()
    if by_gpu:
        torch.cuda.set_device(_local_rank())
    backend = "cpu:gloo,cuda:nccl" if by_gpu else "gloo"
    try:
        store, _, _ = next(rendezvous(meeting, rank, count, timeout=PATIENCE))
        store = fresh(store, rank, count)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    except (RuntimeError, ValueError, FaceganError) as error:
        where = f" at {os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}" if meeting == "env://" else ""
        raise FaceganError(f"{module}: the {count} processes cannot meet{where}: {_first_line(error)}") from error
    return "cuda" if by_gpu else "cpu"


def _lost(error: RuntimeError) -> bool:
    """Whether it is of the connection between the processes."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error) or "NCCL" in str(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


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
