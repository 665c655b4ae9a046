"""Work that several processes share, and that ends in the same numbers as that of one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from safetensors.torch import load, save
from torch import distributed

from facegan.errors import FaceganError

Job = TypeVar("Job")


@dataclass(frozen=True)
class Processes:
    """This one is number ``rank`` of ``count``; where there are several, ``torch.distributed`` connects them.

    ``wire`` is the kind of device whose tensors go between them directly; all others go through the CPU.
    """

    rank: int = 0
    count: int = 1
    wire: str = "cpu"

    def share(
        self, jobs: Sequence[Job], work: Callable[[Job], dict[str, torch.Tensor]]
    ) -> Iterator[dict[str, torch.Tensor]]:
        """The result of ``work`` for each of ``jobs`` in order, on the CPU of every process; each does a part of them.

        All go on with the same tensors in the same order, so that what they make of them is the same too.
        """
        if self.count == 1:
            yield from (_on_cpu(work(job)) for job in jobs)
            return
        for start in range(0, len(jobs), self.count):
            turn = jobs[start : start + self.count]
            own = save(_on_cpu(work(turn[self.rank]))) if self.rank < len(turn) else b""
            for owner in range(len(turn)):
                yield load(self.of(owner, own))

    def first(self, value: bool) -> bool:
        """What ``value`` is in the first process."""
        return self.of(0, b"1" if value else b"0") == b"1" if self.count > 1 else value

    def of(self, owner: int, content: bytes) -> bytes:
        """``content`` as process number ``owner`` has it."""
        if self.count == 1:
            return content
        length = torch.tensor([len(content)])
        distributed.broadcast(length, owner)
        sent = torch.empty(int(length), dtype=torch.uint8)
        if owner == self.rank and content:
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        if len(sent):
            distributed.broadcast(sent, owner)
        return content if owner == self.rank else sent.numpy().tobytes()

    def agree(self, what: str, digest: str) -> None:
        """Raises FaceganError when ``digest`` is not that of the first process everywhere."""
        digests = [self.of(rank, digest.encode()) for rank in range(self.count)]
        for rank, theirs in enumerate(digests):
            if theirs != digests[0]:
                raise FaceganError(
                    f"{what}: process {rank + 1} of {self.count} has other code, data or parameters than the first; "
                    "check out the same commit and run `dvc pull` on every machine"
                )

    def total(self, vector: torch.Tensor) -> torch.Tensor:
        """The sum over all processes of float [n], added up by a balanced binary tree over their ranks.

        ``count`` is a power of two. Each process adds up one part of the vector, which then goes to all: twice the
        vector's bytes each way, however many there are.
        """
        if self.count == 1:
            return vector
        part = -(-len(vector) // self.count)
        sent = torch.zeros(part * self.count, dtype=vector.dtype, device=self.wire)
        sent[: len(vector)] = vector
        received = torch.empty_like(sent)
        distributed.all_to_all_single(received, sent)
        distributed.all_gather(list(sent.split(part)), tree(list(received.split(part))))
        return sent[: len(vector)].to(vector.device)


def tree(parts: list[torch.Tensor]) -> torch.Tensor:
    """The sum of ``parts``, halves of them first: the same bits whoever added up a half."""
    while len(parts) > 1:
        parts = [left + right for left, right in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


class Agreement:
    """Whether any of several processes has asked to stop: all hear of it after the same step, one step late.

    So the question is on its way while a step is computed, over CPUs, and no device is waited for.
    """

    def __init__(self, processes: Processes) -> None:
        self._several = processes.count > 1
        if self._several:
            self._group: Any = distributed.new_group(backend="gloo")
            self._asked = torch.zeros(1, dtype=torch.uint8)
            self._answer: distributed.Work | None = None

    def __call__(self, asked: bool) -> bool:
        if not self._several:
            return asked
        if self._answer is not None:
            self._answer.wait()
        agreed = bool(self._asked)
        self._asked = torch.tensor([asked], dtype=torch.uint8)
        self._answer = distributed.all_reduce(self._asked, distributed.ReduceOp.MAX, group=self._group, async_op=True)
        return agreed


ALONE = Processes()


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Compute:
    """Where work is done: on a device, by processes that share it."""

    device: torch.device = CPU
    processes: Processes = ALONE

    def rows(self, count: int, step: int, work: Callable[[slice], torch.Tensor]) -> torch.Tensor:
        """What ``work`` gives for ``count`` rows, ``step`` of them at a time, as one tensor on the CPU."""
        found = self.processes.share(in_steps(count, step), lambda part: {"rows": work(part)})
        return torch.cat([part["rows"] for part in found])


def in_steps(count: int, step: int) -> list[slice]:
    """0 to ``count``, ``step`` at a time; at least one, which may be empty."""
    return [slice(start, min(start + step, count)) for start in range(0, max(count, 1), step)]


HERE = Compute()


def _on_cpu(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
