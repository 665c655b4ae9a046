"""Everything that a training carries from step to step, and the checkpoint that holds it exactly."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from facegan.files import write_atomic
from facegan.networks import build_discriminator, build_generator, initialise
from facegan.params import ModelParams, TrainParams
from facegan.sizes import Size
from facegan.training.judge import Judgement

Tensors = dict[str, torch.Tensor]

# Rates come with every step: see set_rate.
OPTIMIZERS: dict[str, Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, fused=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, fused=True),
}


def set_rate(optimizer: torch.optim.Optimizer, lr: float, betas: tuple[float, float]) -> None:
    """Learning rate and betas of the next step; of the betas, SGD has only the first, its momentum."""
    for group in optimizer.param_groups:
        group["lr"] = lr
        group.update({"betas": betas} if "betas" in group else {"momentum": betas[0]})


@dataclass
class TrainingState:
    """Both networks, the averaged generator, both optimisers, the step, and what was best so far.

    ``best`` is what the judge said at ``best_images``, ``last`` what it said last.
    ``losses`` float32 [steps in a tick, columns] holds the numbers of the tick under way, on the device.
    """

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    losses: torch.Tensor
    step: int = 0
    best: Judgement | None = None
    best_images: int = 0
    best_weights: Tensors | None = None
    last: Judgement | None = None

    @classmethod
    def start(
        cls,
        model: ModelParams,
        train: TrainParams,
        size: Size,
        classes: Sequence[int],
        seed: int,
        rows: int,
        columns: int,
        device: torch.device,
        channels: int = 3,
    ) -> Self:
        """The state before the first step: a pure function of the parameters."""
        generator, average = (build_generator(model, size, classes, channels) for _ in range(2))
        discriminator = build_discriminator(model, size, classes, channels)
        initialise(generator, model, seed, "generator")
        initialise(discriminator, model, seed, "discriminator")
        average.load_state_dict(generator.state_dict())
        for network in (generator, discriminator, average):
            network.to(device)
        average.requires_grad_(False).eval()
        optimizer = OPTIMIZERS[train.optimizer]
        return cls(
            generator,
            discriminator,
            average,
            optimizer(generator.parameters()),
            optimizer(discriminator.parameters()),
            torch.zeros((rows, columns), device=device),
        )

    def save(self, path: Path) -> None:
        """Write the checkpoint: old or new content whatever happens meanwhile; the same state, the same bytes."""
        tensors: Tensors = {"losses": self.losses}
        for prefix, network in self._networks().items():
            tensors |= {f"{prefix}.{name}": value for name, value in network.state_dict().items()}
        for prefix, optimizer, network in self._optimizers():
            for name, parameter in network.named_parameters():
                tensors |= {f"{prefix}.{name}.{key}": value for key, value in optimizer.state[parameter].items()}
        tensors |= {f"best.{name}": value for name, value in (self.best_weights or {}).items()}
        judged = {name: asdict(said) if said else None for name, said in (("best", self.best), ("last", self.last))}
        scalars = {"step": self.step, "best_images": self.best_images, **judged}
        write_atomic(path, save(portable(tensors), {"state": json.dumps(scalars)}))

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same parameters. Raises ValueError when it is damaged or another's."""
        try:
            with safe_open(path, "pt") as file:
                scalars: dict[str, Any] = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            for prefix, network in self._networks().items():
                network.load_state_dict(_below(tensors, prefix))
            for prefix, optimizer, network in self._optimizers():
                for name, parameter in network.named_parameters():
                    for key, value in _below(tensors, f"{prefix}.{name}").items():
                        place = value.to(parameter.device)
                        if value.dim() == parameter.dim():
                            place = torch.empty_like(parameter).copy_(value)  # the parameter's memory layout
                        optimizer.state[parameter][key] = place
            self.losses.copy_(tensors["losses"])
            self.step, self.best_images = scalars["step"], scalars["best_images"]
            self.best, self.last = (Judgement(**scalars[name]) if scalars[name] else None for name in ("best", "last"))
        except (SafetensorError, RuntimeError, KeyError, TypeError, OSError) as error:
            raise ValueError(f"{path.name} cannot be used: {error}") from error
        self.best_weights = _below(tensors, "best") or None

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}

    def _optimizers(self) -> list[tuple[str, torch.optim.Optimizer, nn.Module]]:
        return [
            ("optimizer_generator", self.generator_optimizer, self.generator),
            ("optimizer_discriminator", self.discriminator_optimizer, self.discriminator),
        ]


def portable(tensors: Tensors) -> Tensors:
    """On the CPU and contiguous: what safetensors stores."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def weights(network: nn.Module) -> Tensors:
    """A copy of parameters and buffers."""
    return {name: value.clone() for name, value in portable(dict(network.state_dict())).items()}


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
