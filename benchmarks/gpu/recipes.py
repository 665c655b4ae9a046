"""The recipes at their own size and shrunk, and trainings of them for a few steps."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from facegan.data.labels import Labels
from facegan.params import Params
from facegan.params_yaml import parse_params
from facegan.repository.recipes import names, recipe
from facegan.repository.yaml_file import text
from facegan.tracking.journal import Journal
from facegan.training.engine import Engine
from facegan.training.judge import Judgement
from facegan.training.loop import Training
from facegan.training.state import TrainingState
from facegan.training.step import COLUMNS
from facegan.training.working import WorkingFolder

CLASSES = {"hair": ["black", "blonde", "pink"], "eyes": ["blue", "green"]}
TINY = 32  # pixels


def all_recipes() -> list[str]:
    return names(Path())


def load_recipe(name: str, tiny: bool = False) -> Params:
    """A recipe's parameters; ``tiny`` keeps everything but its size, widths and batch."""
    params = parse_params(text(recipe(Path(), name)))
    if not tiny:
        return params
    narrow = {"channels": 8, "max_channels": 16}
    model = params.model.model_copy(
        update={
            "latent": min(params.model.latent, 16),
            "generator": params.model.generator.model_copy(update=narrow),
            "discriminator": params.model.discriminator.model_copy(update=narrow),
        }
    )
    return params.model_copy(
        update={
            "model": model,
            "train": params.train.model_copy(
                update={"batch": 8, "microbatch": 4 if params.train.microbatch else None, "judge": "fd_random"}
            ),
            "preprocess": params.preprocess.model_copy(update={"size": TINY}),
        }
    )


def lasting(params: Params, steps: int, tick: int) -> Params:
    """The same parameters for ``steps`` steps, with ticks and scores every ``tick`` steps."""
    per_step = params.train.images_per_step
    spans = {"duration": steps, "tick": tick, "evaluate_every": tick}
    update = {key: f"{count * per_step / 1000} kimg" for key, count in spans.items()}
    return params.model_copy(update={"train": params.train.model_copy(update=update)})


def noise_pictures(params: Params, count: int) -> torch.Tensor:
    """uint8 [count, size, size, 3] to take steps on."""
    size = params.preprocess.size
    source = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=source)


def labels_for(params: Params, count: int) -> Labels:
    """Labels for a recipe that knows some, drawn at random; a few unknown."""
    if not params.model.labels:
        return Labels.none(count)
    source = torch.Generator().manual_seed(1)
    columns = [torch.randint(-1, len(values), (count,), generator=source) for values in CLASSES.values()]
    return Labels(CLASSES, torch.stack(columns, 1))


def build_training(
    params: Params,
    images: torch.Tensor,
    device: torch.device,
    folder: Path,
    journal: Journal,
    judge: Callable[[nn.Module], Judgement] = lambda _: Judgement(0.0),
    stopping: Callable[[], bool] = lambda: False,
    checkpoint_seconds: float = 1e9,
) -> Training:
    """A training on ``images`` uint8 [n, size, size, 3], as `pipeline.train` builds it."""
    working = WorkingFolder(folder)
    working.samples.mkdir(parents=True, exist_ok=True)
    labels = labels_for(params, len(images))
    return Training(
        model=params.model,
        train=params.train,
        seed=params.seed,
        images=images,
        labels=labels,
        device=device,
        folder=working,
        journal=journal,
        judge=judge,
        stopping=stopping,
        checkpoint_seconds=checkpoint_seconds,
    )


def build_engine(params: Params, images: torch.Tensor, device: torch.device) -> Engine:
    """Its steps alone."""
    return Engine(
        model=params.model,
        train=params.train,
        seed=params.seed,
        images=images,
        labels=labels_for(params, len(images)),
        device=device,
        stopping=lambda: False,
    )


def start_state(params: Params, device: torch.device, rows: int = 1) -> TrainingState:
    classes = labels_for(params, 1).classes
    size = params.preprocess.size
    return TrainingState.start(params.model, params.train, size, classes, params.seed, rows, len(COLUMNS), device)
