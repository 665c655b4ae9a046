"""Progress with rate and time left: a live bar on a terminal, a line now and then in a log."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(
    iterable: Iterable[Any] | None,
    total: int,
    description: str,
    unit: str = "pictures",
    scale: int = 1,
    hidden: bool = False,
) -> Any:
    """A tqdm bar over ``total`` things, each of them ``scale`` of ``unit``; ``iterable`` may be None."""
    return tqdm(
        iterable,
        total=total,
        desc=description,
        unit=f" {unit}",
        unit_scale=scale if scale > 1 else False,
        mininterval=0.5 if sys.stderr.isatty() else 10.0,
        maxinterval=10.0,
        leave=False,
        disable=hidden,
    )
