"""Where processes that train together find each other, whatever those before them have left behind.

A store of torchrun's outlives the processes that it starts again, with the addresses of the dead in it, and nothing
that torchrun says tells one start from the next on several machines (pytorch/pytorch#135712).
"""

import time
from hashlib import sha256
from uuid import uuid4

from torch.distributed.distributed_c10d import PrefixStore, Store

from facegan.errors import FaceganError

SECONDS = 300.0  # for all to come: they are started together


def fresh(store: Store, rank: int, count: int, seconds: float = SECONDS) -> PrefixStore:
    """A part of ``store`` that nobody has used before, the same for all ``count`` processes.

    Each says that it is present by a number of its own. The first proposes a meeting of those who are; the others agree
    to one that has their number in it; it begins when all have. So the numbers of dead processes, still in the
    store, hold up nobody. Raises FaceganError when not all have come.
    """
    own = uuid4().hex
    store.set(f"present {rank}", own)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if rank == 0:
            present = [_held(store, f"present {other}") for other in range(count)]
            name = sha256(" ".join(present).encode()).hexdigest()
            store.set("proposed", " ".join([name, *present]))
            if all(_held(store, f"agreed {other}") == name for other in range(1, count)):
                store.set("begun", name)
                return PrefixStore(name, store)
        else:
            name, *present = (_held(store, "proposed") or "none").split(" ")
            if len(present) == count and present[rank] == own:
                store.set(f"agreed {rank}", name)
                if _held(store, "begun") == name:
                    return PrefixStore(name, store)
        time.sleep(0.05)
    raise FaceganError(f"the {count} processes did not all come within {seconds:.0f} seconds")


def _held(store: Store, key: str) -> str:
    """What the store has; nothing when it has nothing yet."""
    return store.get(key).decode() if store.check([key]) else ""
