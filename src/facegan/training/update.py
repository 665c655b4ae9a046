"""One update of a network, from the microbatches of its batch: the same bits however many processes share them.

A microbatch is the unit of arithmetic. What it leaves (gradients, the norms' running statistics, numbers to log) is
one vector, and vectors are added up by one balanced binary tree over the microbatches, first inside a process, then
between processes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from facegan.errors import FaceganError
from facegan.networks.blocks import iterate_spectral_norms
from facegan.params import TrainParams
from facegan.sharing import ALONE, Processes

Tensor = torch.Tensor
# The loss of one microbatch, by its number, and float [k] of what is logged.
Losses = Callable[[int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Microbatches:
    """``count`` parts of a batch, each of ``size`` pictures, of which this process computes those in ``own``."""

    batch: int
    size: int
    processes: Processes = ALONE

    @property
    def count(self) -> int:
        return self.batch // self.size

    @property
    def own(self) -> range:
        share = self.count // self.processes.count
        return range(self.processes.rank * share, (self.processes.rank + 1) * share)

    def rows(self, number: int) -> slice:
        """Its places in the batch."""
        return slice(number * self.size, (number + 1) * self.size)

    def mean(self, leaves: Callable[[int], Tensor]) -> Tensor:
        """The mean of float [n] over all microbatches, the same in every process."""
        total = self.processes.total(_added(leaves, self.own))
        return total / self.count if self.count > 1 else total


def _added(leaves: Callable[[int], Tensor], numbers: range) -> Tensor:
    if len(numbers) == 1:
        return leaves(numbers[0])
    middle = (len(numbers) + 1) // 2
    left = _added(leaves, numbers[:middle])
    return left.add_(_added(leaves, numbers[middle:]))


def refuse_to_share(train: TrainParams, processes: int) -> None:
    """Raise FaceganError when so many processes cannot share a batch evenly: it says which microbatch they can."""
    count = train.batch // train.arithmetic_batch
    if processes & (processes - 1):
        raise FaceganError(f"train: {processes} processes cannot train as one; start 2, 4, 8 or another power of two")
    if count % processes:
        size = train.batch // processes
        if train.batch % processes or size < 2:
            way = f"set train.batch to a multiple of {2 * processes}"
        else:
            way = f"set train.microbatch to {size}, or start fewer"
        raise FaceganError(
            f"train: {processes} processes cannot share {count} microbatch{'es' * (count > 1)} of "
            f"{train.arithmetic_batch} pictures; {way}"
        )


def update(
    network: nn.Module, optimizer: torch.optim.Optimizer, moving: list[nn.Module], parts: Microbatches, losses: Losses
) -> Tensor:
    """A step of ``optimizer`` along the mean gradient of ``network``; gives the mean of what is logged.

    The ``moving`` networks run forward in it: their spectral norms take one power iteration before, from the weights
    alone, and their running statistics become the mean of those that each microbatch would have left alone.
    """
    for moved in moving:
        iterate_spectral_norms(moved)
    left_behind = [value for moved in moving for value in _left_behind(moved)]
    means = [value for value in left_behind if value.is_floating_point()]  # the others are counters
    before = [value.clone() for value in left_behind] if parts.count > 1 else []

    def leaf(number: int) -> Tensor:
        if before:
            _put_back(left_behind, before)
        loss, numbers = losses(number)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if parts.count == 1:
            return numbers
        return torch.cat([value.reshape(-1) for value in (*_gradients(network), *means, numbers)])

    mean = parts.mean(leaf)
    if parts.count > 1:
        for value in (*_gradients(network), *means):
            value.data.copy_(mean[: value.numel()].view(value.shape))
            mean = mean[value.numel() :]
    optimizer.step()
    return mean


@contextmanager
def unmoved(network: nn.Module) -> Iterator[None]:
    """What a forward pass leaves behind is put back."""
    left_behind = _left_behind(network)
    before = [value.clone() for value in left_behind]
    yield
    _put_back(left_behind, before)


def _gradients(network: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


def _left_behind(network: nn.Module) -> list[Tensor]:
    """What a forward pass leaves behind: the running statistics of batch norms, and how often they moved."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    values = [value for norm in norms for value in (norm.running_mean, norm.running_var, norm.num_batches_tracked)]
    return [value for value in values if value is not None]


def _put_back(values: list[Tensor], before: list[Tensor]) -> None:
    for value, old in zip(values, before, strict=True):
        value.data.copy_(old)  # behind the back of autograd: a graph that is kept for G reads no running statistics
