"""Processes that end when the one that started them is gone: no orphan keeps a core, a file or a lock.

And which process a number means: it is given again after a while, and another machine or container has its own.
"""

import os
import platform
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

PARENT = os.getppid()  # as early as this module is imported: later it may already be gone


def _exit() -> None:
    os._exit(1)


def machine() -> str:
    """This start of this machine, and the container in it: where the number of a process means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{platform.node()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return platform.node()


def began(pid: int) -> str | None:
    """When a process began, in the words of the system; None when there is none of this number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except OSError:
        if Path("/proc/self/stat").is_file():
            return None
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def end_with(parent: int, end: Callable[[], None] = _exit) -> None:
    """Call ``end`` from a thread, once this process is no longer a child of ``parent``."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        end()

    threading.Thread(target=watch, daemon=True, name="parent").start()
