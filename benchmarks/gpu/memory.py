"""The memory that a step takes on any device, without one: counted while it runs on PyTorch's ``meta`` device."""

import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu.recipes import labels_for, start_state
from facegan.params import Params
from facegan.training import state
from facegan.training.draws import Draws
from facegan.training.step import train_step

META = torch.device("meta")
PLAIN = {  # fused ones have no kernel there
    "adam": lambda parameters: torch.optim.Adam(parameters, foreach=False),
    "sgd": lambda parameters: torch.optim.SGD(parameters, foreach=False),
}


class Peak(TorchDispatchMode):
    """Counts the bytes of all storages on ``meta`` that are alive: ``most`` is the largest count so far."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.device == META:
                self.count(leaf)
        return result

    def count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@contextmanager
def on_meta() -> Iterator[None]:
    """Trainings can be built on ``meta``, and take steps there."""
    autocast = torch.autocast

    def on_any(kind: str, *arguments: Any, **settings: Any) -> AbstractContextManager[Any]:
        return nullcontext() if kind == "meta" else autocast(kind, *arguments, **settings)  # fp32 is counted

    with patch.dict(state.OPTIMIZERS, PLAIN), patch.object(torch, "autocast", on_any):
        yield


def meta_step(params: Params, pictures: int) -> tuple[state.TrainingState, Draws]:
    """A training of ``params`` on ``meta``, ready for its first step on so many pictures."""
    size = params.preprocess.size
    images = torch.empty((pictures, size, size, 3), dtype=torch.uint8, device=META)
    table = labels_for(params, pictures).table
    return start_state(params, META), Draws(images, table, params.model.latent, params.train, params.seed, META)


def estimated_bytes(params: Params, pictures: int) -> int:
    """The most that is held at once over two steps, a lazy penalty's among them, without workspaces of cuDNN."""
    with on_meta(), Peak() as peak:
        training, sequence = meta_step(params, pictures)
        for tensor in (
            sequence.images,
            *training.generator.parameters(),
            *training.discriminator.parameters(),
            *training.average.parameters(),
        ):
            peak.count(tensor)
        for _ in range(2):
            train_step(training, params.train, sequence)
            training.step += 1
    return peak.most
