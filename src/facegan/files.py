"""Writing files so that a kill at any moment leaves the old content or the new, never a part."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(entries: Iterable[tuple[str, int, str]]) -> str:
    """One SHA-256 for a set of files given as (POSIX name, bytes, SHA-256 of the content), in any order."""
    digest = hashlib.sha256()
    for name, size, content in sorted(entries):
        digest.update(f"{name}\0{size}\0{content}\n".encode())
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """``tree_digest`` of all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return tree_digest((path.relative_to(folder).as_posix(), path.stat().st_size, sha256(path)) for path in files)


def json_digest(value: object) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write, flush to disk, rename. The folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, so that the same value is the same bytes. NaN is refused: it is not JSON."""
    write_atomic(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time, by a lock on the file ``path``, which is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder beside ``path``; on success it takes the place of ``path`` whole, on failure it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (path.with_name(f".{path.name}.{state}") for state in ("partial", "old"))
    if old.exists() and not path.exists():  # killed between the two renames below
        old.rename(path)
    for leftover in (partial, old):  # of a run that was killed here
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if path.exists():
        path.rename(old)
    partial.rename(path)
    shutil.rmtree(old, ignore_errors=True)
