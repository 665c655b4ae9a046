"""Processes that end when the one that started them is gone: no orphan keeps a core, a file or a lock."""

import os
import threading
import time
from collections.abc import Callable

PARENT = os.getppid()  # as early as this module is imported: later it may already be gone


def _exit() -> None:
    os._exit(1)


def end_with(parent: int, end: Callable[[], None] = _exit) -> None:
    """Call ``end`` from a thread, once this process is no longer a child of ``parent``."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        end()

    threading.Thread(target=watch, daemon=True, name="parent").start()
