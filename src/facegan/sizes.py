"""Sizes of pictures: the side of a square, or height and width, in pixels.

The shorter side is 4, 5, 6 or 7 times a power of two, so that there is one way to halve it down to a few pixels, and
the longer one is halved as often.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any

Size = int | tuple[int, int]  # a side, or height and width

SMALLEST, LARGEST = 32, 1024  # pixels
FIRST = range(4, 8)  # pixels of the shorter side that nothing halves


def height_and_width(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def stages(size: Size) -> list[tuple[int, int]]:
    """Height and width at every halving, the smallest first. Raises ValueError for a size that no network draws."""
    height, width = height_and_width(size)
    halvings = next(power for power in count() if min(height, width) >> power < FIRST.stop)
    found = [(height >> power, width >> power) for power in reversed(range(halvings + 1))]
    for name, side in (("a side", min(height, width)), ("the longer side", max(height, width))):
        if not SMALLEST <= side <= LARGEST:
            raise ValueError(f"{side} pixels; a side should have {SMALLEST} to {LARGEST}")
        if side % (1 << halvings):
            raise ValueError(f"{name} of {side} pixels; next to it there is {_near(side, 1 << halvings)}")
    return found


def _near(side: int, step: int) -> str:
    """The sides below and above that can be had."""
    below, above = side // step * step, -(-side // step) * step
    return f"{below} and {above}" if above <= LARGEST else str(below)


def at_once(size: Size, most: int = 64) -> int:
    """How many pictures a pass takes that keeps nothing: ``most`` up to 128x128, fewer of larger ones, at least one."""
    height, width = height_and_width(size)
    return max(1, min(most, most * 128 * 128 // (height * width)))


def size_of(described: Mapping[str, Any]) -> Size:
    """The ``size`` of a manifest or of a model's configuration, as JSON has it."""
    size = described["size"]
    return size if isinstance(size, int) else (size[0], size[1])


def channels_of(described: Mapping[str, Any]) -> int:
    """The ``channels`` of a manifest or of a model's configuration; earlier versions knew colour alone."""
    return int(described.get("channels", 3))


def in_words(size: Size) -> str:
    """As people write it, height first: "64x64"."""
    return "{}x{}".format(*height_and_width(size))
