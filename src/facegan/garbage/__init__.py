"""What nothing needs any more: found first, with its size, and removed when that is asked for."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """``what`` in words, its size in bytes, and how it is removed."""

    what: str
    size: int
    remove: Callable[[], None]


def counted(number: int, noun: str) -> str:
    """1 run, 2 runs."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
