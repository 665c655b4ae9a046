"""Work that several processes share, and that ends in the same numbers as that of one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from safetensors.torch import load, save
from torch import distributed

Job = TypeVar("Job")


@dataclass(frozen=True)
class Processes:
    """This one is number ``rank`` of ``count``; where there are several, ``torch.distributed`` connects them."""

    rank: int = 0
    count: int = 1

    def share(
        self, jobs: Sequence[Job], work: Callable[[Job], dict[str, torch.Tensor]]
    ) -> Iterator[dict[str, torch.Tensor]]:
        """The result of ``work`` for each of ``jobs`` in order, in every process; each does a part of them.

        All go on with the same tensors in the same order, so that what they make of them is the same too.
        """
        if self.count == 1:
            yield from map(work, jobs)
            return
        for start in range(0, len(jobs), self.count):
            turn = jobs[start : start + self.count]
            own = save(_contiguous(work(turn[self.rank]))) if self.rank < len(turn) else b""
            for owner in range(len(turn)):
                yield load(self._from(owner, own))

    def first(self, value: bool) -> bool:
        """What ``value`` is in the first process."""
        return self._from(0, b"1" if value else b"0") == b"1" if self.count > 1 else value

    def _from(self, owner: int, content: bytes) -> bytes:
        """``content`` as ``owner`` has it."""
        length = torch.tensor([len(content)])
        distributed.broadcast(length, owner)
        received = torch.empty(int(length), dtype=torch.uint8)
        if owner == self.rank:
            received = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        distributed.broadcast(received, owner)
        return content if owner == self.rank else received.numpy().tobytes()


ALONE = Processes()


def _contiguous(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
