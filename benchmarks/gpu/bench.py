"""What every part shares: the settings of a run, its results on disk, and the process that measures."""

import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from facegan.training.device import make_deterministic

RESULTS = "results.jsonl"
PATIENCE = 4  # an item may take so many times as long as expected
LEAST_PATIENCE = 90.0  # seconds, which covers CUDA's start
GRACE = 20.0  # seconds after the end of its time that what is under way may take

Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """The settings of a run; sent to the process that measures.

    ``pictures`` and ``extractor`` are files to train on and to score with, where there are such. ``tiny`` shrinks
    everything to what a CPU does in seconds. ``ends`` is the time (of ``time.time``) to be done by.
    """

    device: torch.device
    out: Path
    ends: float
    tiny: bool = False
    pictures: Path | None = None
    extractor: Path | None = None
    before: Path | None = None

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.time()

    def write(self, **row: Any) -> None:
        """Append one result; it is on the disk when this returns."""
        with (self.out / RESULTS).open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(json.dumps(row), flush=True)

    def synchronize(self) -> None:
        """Wait for what the device computes."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Item:
    """One thing to measure: it gives rows as it has them, in about ``seconds`` on a data-center GPU."""

    part: str
    name: str
    seconds: float
    measure: Callable[[Bench], Iterator[Row]]

    @property
    def key(self) -> str:
        return f"{self.part}/{self.name}"


def run_items(bench: Bench, names: Sequence[str], items_of: Callable[[Bench], list[Item]]) -> int:
    """Measure the items called ``names`` in a process of its own; gives how many failed.

    An item that fails, crashes or hangs costs its own results and no others: a new process goes on with the next where
    CUDA's error, which stays, has made the old one useless. What would not fit into the time that is left is skipped.
    """
    items = {item.key: item for item in items_of(bench)}
    waiting = list(names)
    failed = 0
    context = multiprocessing.get_context("spawn")
    while waiting:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(bench, waiting, items_of, sender))
        process.start()
        sender.close()
        before = len(waiting)
        ended = _follow(bench, receiver, waiting, items)
        process.kill()
        process.join()
        failed += ended.failed
        if ended.at is not None:
            bench.write(part=items[ended.at].part, item=items[ended.at].name, error=ended.problem)
            waiting.remove(ended.at)
            failed += 1
        elif len(waiting) == before:
            if bench.left > 0:
                raise RuntimeError(f"the process that measures cannot start ({ended.problem})")
            break
    return failed


@dataclass
class _Ended:
    """Why a process is followed no longer: the item that it was ``at``, if any, and how many failed before."""

    at: str | None = None
    problem: str = ""
    failed: int = 0


def _follow(bench: Bench, receiver: "Connection[Any, Any]", waiting: list[str], items: dict[str, Item]) -> _Ended:
    """Take what is finished off ``waiting``, to the end or to where the process is of no more use."""
    ended = _Ended()
    while waiting:
        patience = max(LEAST_PATIENCE, PATIENCE * items[ended.at].seconds if ended.at else 0.0)
        patience = max(min(patience, bench.left + GRACE), GRACE)
        try:
            if not receiver.poll(patience):
                ended.problem = f"no result after {patience:.0f} s"
                break
            kind, key = receiver.recv()
        except EOFError:
            ended.problem = "the process crashed"
            break
        if kind == "began":
            ended.at = key
            continue
        waiting.remove(key)
        ended.at = None
        ended.failed += kind != "done"
        if kind == "broken":
            break
    return ended


def _work(
    bench: Bench, names: Sequence[str], items_of: Callable[[Bench], list[Item]], told: "Connection[Any, Any]"
) -> None:
    items = {item.key: item for item in items_of(bench)}
    for item in (items[name] for name in names):
        if bench.left < item.seconds:
            bench.write(part=item.part, item=item.name, skipped=f"{bench.left:.0f} s left, {item.seconds:.0f} needed")
            told.send(("done", item.key))
            continue
        told.send(("began", item.key))
        began = time.perf_counter()
        kind = "done"
        make_deterministic(bench.device)
        try:
            for row in item.measure(bench):
                bench.write(part=item.part, item=item.name, **row)
        except Exception as error:
            kind = "failed" if _usable(bench) else "broken"
            where = traceback.extract_tb(error.__traceback__)[-1]
            line = " ".join(str(error).split())[:500]
            bench.write(
                part=item.part,
                item=item.name,
                error=f"{type(error).__name__}: {line}",
                at=f"{Path(where.filename).name}:{where.lineno}",
            )
            traceback.print_exc()
        bench.write(part=item.part, item=item.name, took=round(time.perf_counter() - began, 2))
        told.send((kind, item.key))


def _usable(bench: Bench) -> bool:
    """Whether the device still answers: after some errors it does not, in this process."""
    try:
        bench.synchronize()
    except RuntimeError:
        return False
    return True
