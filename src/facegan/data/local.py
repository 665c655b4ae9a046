"""The files of a source that lie on this machine."""

import os
from pathlib import Path

from facegan.errors import FaceganError


def files_at(path: Path, ending: str, key: str) -> dict[str, Path]:
    """The file ``path``, or all files with an ending below the folder ``path``, by relative POSIX name, in order.

    Raises FaceganError, which begins with ``key`` of ``params.yaml``, when there is none.
    """
    if path.is_file() and path.name.lower().endswith(ending):
        return {printable(path.name): path}
    if path.is_file():
        raise FaceganError(f"{key}: {path.name} is neither a {ending} file nor a folder of them")
    if not path.is_dir():
        raise FaceganError(f"{key}: {path} does not exist; it is relative to the repository")
    found = {}
    for folder, _, names in os.walk(path, onerror=_raise):
        for name in names:
            full = Path(folder, name)
            if name.lower().endswith(ending) and not name.startswith(".") and full.is_file():
                found[printable(full.relative_to(path).as_posix())] = full
    if not found:
        raise FaceganError(f"{key}: {path.name} holds no {ending} file")
    return dict(sorted(found.items()))


def printable(name: str) -> str:
    """Bytes in a file name that are not UTF-8 become visible escapes: a name must fit in JSON, CSV and ZIP."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _raise(error: OSError) -> None:
    raise error  # os.walk passes over a folder that it may not read
