"""Processes that start and end sooner: PyTorch and MLflow are many objects, and none of them is garbage."""

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import NoReturn


def start_quickly() -> None:
    """Look for garbage less often while modules are imported, and after."""
    gc.set_threshold(10_000)


def leave(code: int) -> NoReturn:
    """End this process without taking apart what it holds, which takes a second with PyTorch.

    Nothing may be left to do: open files, threads and what is registered with ``atexit`` are not looked after.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # `| head`; one that was closed
            stream.flush()
    os._exit(code)


def find_tools() -> None:
    """dvc and python are those beside the interpreter, whether or not its environment is active."""
    beside, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if path.partition(os.pathsep)[0] != beside:
        os.environ["PATH"] = beside + os.pathsep + path
