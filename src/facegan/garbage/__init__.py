"""What nothing needs any more: found first, with its size, and removed when that is asked for."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """``what`` in words, its size in bytes, and how it is removed."""

    what: str
    size: int
    remove: Callable[[], None]
