"""Processes find each other in a store that others have used before them, and were killed."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore

from facegan.errors import FaceganError
from facegan.repository.meeting import fresh


def meet(store: HashStore, count: int, late: int | None = None, seconds: float = 20) -> list[str]:
    """What each finds in the part of the store where they meet: what the first has put there."""

    def one(rank: int) -> str:
        if rank == late:
            time.sleep(0.3)
        part = fresh(store, rank, count, seconds)
        if rank == 0:
            part.set("who", f"meeting {time.monotonic_ns()}")
        return part.get("who").decode()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.parametrize("late", [0, 2])
def test_all_meet_and_another_start_meets_apart(late: int) -> None:
    """Whichever comes late: the others see the dead of the first start until then."""
    store = HashStore()
    first, second = (meet(store, 4, late) for _ in range(2))
    assert len(set(first)) == len(set(second)) == 1
    assert set(first) != set(second)


def test_one_who_never_comes_is_not_waited_for_for_ever() -> None:
    store = HashStore()
    meet(store, 2)
    with pytest.raises(FaceganError, match="the 2 processes did not all come within 1 seconds"):
        fresh(store, 1, 2, seconds=1)  # the first of an earlier start stands there
    with pytest.raises(FaceganError, match="did not all come"):
        fresh(store, 0, 2, seconds=1)
