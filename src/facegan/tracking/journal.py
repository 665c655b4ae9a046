"""The journal of a training: append-only JSON lines with step, time and value, written before anything else.

A row is written once for each (kind, step): a resumed training that repeats steps after its checkpoint repeats
their numbers bit for bit, so the first row stands. A line cut short by a kill is dropped when the journal is opened.

Kinds: ``metrics`` (what a tick measured; the same for the same parameters), ``losses`` (every step of a tick),
``system`` (rate and memory; never in an output), ``image`` (a file below the working folder), ``start``, ``alarm``
and ``end`` (with the digest of the generator when it is finished, else why it is not, where that is known).
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

NAME = "journal.jsonl"
DIVERGED, OUT_OF_MEMORY = "diverged", "out of memory"  # why a training ended
ONCE = ("metrics", "losses", "system", "image")

Row = dict[str, Any]


class Journal:
    """Appends rows; every line is in the operating system's hands when a call returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file = (folder / NAME).open("a+b")
        _drop_cut_line(self._file)
        self._seen = {(row["kind"], row["step"]) for row in self.rows() if row["kind"] in ONCE}

    def write(self, kind: str, step: int | None = None, **content: Any) -> None:
        """Append one row. ``step`` is in images seen; kinds in ``ONCE`` keep the first row of each step."""
        if kind in ONCE:
            if (kind, step) in self._seen:
                return
            self._seen.add((kind, step))
        row = {"time": time.time_ns() // 1_000_000, "kind": kind, "step": step, **content}
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()

    def rows(self) -> Iterator[Row]:
        yield from read_rows(self.folder)

    def sync(self) -> None:
        """Onto the disk; a checkpoint must not outlive the rows before it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_rows(folder: Path, offset: int = 0) -> Iterator[Row]:
    """Whole rows from byte ``offset`` on; each carries ``end``, the offset behind it.

    A line that is no JSON (a power cut can leave zeros) is passed over.
    """
    path = folder / NAME
    if not path.is_file():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return  # being written now, or cut short
            offset += len(line)
            with contextlib.suppress(ValueError, TypeError):
                yield {**json.loads(line), "end": offset}


def _drop_cut_line(file: Any) -> None:
    file.seek(0)
    content = file.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        file.truncate(whole)
    file.seek(0, os.SEEK_END)
