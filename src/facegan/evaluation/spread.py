"""How far a score would move with other generated pictures: the delete-a-group jackknife."""

import math
from collections.abc import Callable
from typing import Any

import torch

GROUPS = 10


def groups(count: int) -> torch.Tensor:
    """int64 [count]: which of at most ten groups each picture is in, in turn, so that they are as large as can be."""
    return torch.arange(count) % min(GROUPS, count)


def jackknife(count: int, without: Callable[[int], float]) -> float | None:
    """Standard error of a score of ``count`` pictures, from its values ``without`` each group (Efron & Stein, 1981).

    A bias that depends on the count, as that of a Frechet distance, is nearly the same for all and cancels. None for
    fewer than three pictures, of which none can be left out.
    """
    if count < 3:
        return None
    number = min(GROUPS, count)
    values = torch.tensor([without(group) for group in range(number)], dtype=torch.float64)
    return math.sqrt((number - 1) / number * float((values - values.mean()).square().sum()))


def entry(
    value: float, std: float | None, floor: float, floor_std: float | None, n: int, **more: Any
) -> dict[str, Any]:
    """A score of a report; a spread that is not known is left out."""
    spread = {"std": std, "floor_std": floor_std}
    known = {key: found for key, found in spread.items() if found is not None}
    return {"value": value, "floor": floor, "n": n, **known, **more}


def certain(times: float, *errors: float | None) -> float:
    """So many standard errors of a difference; endless where one is not known."""
    if any(error is None for error in errors):
        return math.inf
    return times * math.hypot(*(error for error in errors if error is not None))
