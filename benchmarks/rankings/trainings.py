"""Trainings whose checkpoints are ranked: networks, objectives, lengths, and a discriminator that is too fast."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save, save_file
from torch import nn

from benchmarks.corruptions import drawn_faces, given_pictures
from facegan.data.labels import Labels
from facegan.files import write_atomic
from facegan.networks import build_generator
from facegan.params import Params
from facegan.params_yaml import load_params, validate_params
from facegan.tracking.journal import Journal
from facegan.training.device import make_deterministic
from facegan.training.engine import NotFinite
from facegan.training.judge import Judgement
from facegan.training.loop import Training
from facegan.training.working import WorkingFolder

SIZE = 64
COSINE = {"over": "400 kimg", "shape": "cosine"}
STEADY = {
    "train.batch": 32,
    "train.ema_kimg": 10.0,
    "train.lr_generator": {"start": 4e-4, "end": 2e-5, **COSINE},
    "train.lr_discriminator": {"start": 2e-4, "end": 1e-5, **COSINE},
}
SMOOTH = {  # the hinge loss with spectral norm, and upsampling that leaves no checkerboard
    "train.batch": 32,
    "train.objective": "hinge",
    "train.ema_kimg": 5.0,
    "train.lr_generator": 2e-4,
    "train.lr_discriminator": 4e-4,
    "model.generator.upsample": "resize",
    "model.discriminator.norm": "spectral",
}
WITHOUT_NORM = {"model.generator.norm": "none", "model.generator.upsample": "blur", "model.discriminator.norm": "none"}
STYLEGAN2 = WITHOUT_NORM | {
    "model.network": "stylegan2",
    "model.generator.channels": 16,
    "model.generator.max_channels": 64,
    "model.discriminator.channels": 16,
    "model.discriminator.max_channels": 64,
    "train.batch": 16,
    "train.lr_generator": 2e-3,
    "train.lr_discriminator": 2e-3,
    "train.beta1_generator": 0.0,
    "train.beta1_discriminator": 0.0,
    "train.beta2_generator": 0.99,
    "train.beta2_discriminator": 0.99,
    "train.r1": 0.05,
    "train.penalty_every": 16,
    "train.ema_kimg": 5.0,
}
# It runs ahead of the generator, which learns slowly, and does not collapse.
FAST_DISCRIMINATOR = {"train.lr_generator": 4e-4, "train.lr_discriminator": 1e-3, "train.ema_kimg": 2.0}
LEAST_SQUARES = {
    "train.objective": "least-squares",
    "train.batch": 32,
    "model.generator.upsample": "blur",
    "train.ema_kimg": 5.0,
}


@dataclass(frozen=True)
class Recipe:
    """Changes to the base recipe, its length, and the distance between two checkpoints, both in kimg."""

    name: str
    pictures: str  # "drawn" or "real"
    kimg: int
    every: int
    changes: dict[str, Any] = field(default_factory=dict)

    def params(self) -> Params:
        values = load_params(Path("recipes/base.yaml")).model_dump(mode="json")
        spans = {"duration": self.kimg, "tick": self.every, "evaluate_every": self.every}
        settings = {"train.precision": "bf16", **self.changes, **{f"train.{k}": f"{v} kimg" for k, v in spans.items()}}
        for key, value in settings.items():
            *blocks, last = key.split(".")
            block = values
            for part in blocks:
                block = block[part]
            block[last] = value
        return validate_params(values, self.name)


RECIPES = (
    Recipe("real-steady", "real", 400, 50, STEADY),
    Recipe("real-hinge", "real", 200, 40, SMOOTH),
    Recipe("drawn-steady", "drawn", 240, 40, STEADY),
    Recipe("drawn-hinge", "drawn", 120, 24, SMOOTH),
    Recipe("real-fast-discriminator", "real", 120, 20, FAST_DISCRIMINATOR),
    Recipe("drawn-fast-discriminator", "drawn", 60, 12, FAST_DISCRIMINATOR),
    Recipe("real-stylegan2", "real", 40, 8, STYLEGAN2),
    Recipe("drawn-stylegan2", "drawn", 40, 8, STYLEGAN2),
    Recipe("real-least-squares", "real", 90, 30, LEAST_SQUARES),
    Recipe("drawn-default", "drawn", 48, 8, {"train.precision": "fp32"}),
)


def picture_set(folder: Path, name: str, given: Path | None, count: int) -> torch.Tensor:
    """``drawn`` or ``real`` faces, uint8 [count, 64, 64, 3], shuffled; made once and kept in ``folder``."""
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        if name == "real":
            assert given is not None
            images = given_pictures(given, count, SIZE).images
        else:
            images = drawn_faces(count, SIZE).images
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
        save_file({"images": images[order].contiguous()}, path)
    return load_file(path)["images"]


def train_all(folder: Path, recipes: tuple[Recipe, ...], jobs: int) -> None:
    """Train what is not there yet, ``jobs`` at a time, each on one thread."""
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for _ in pool.map(train, [folder] * len(recipes), recipes):
            pass


def train(folder: Path, recipe: Recipe) -> None:
    """Leaves ``folder/checkpoints/NAME/KIMG.safetensors``; goes on where it was interrupted."""
    torch.set_num_threads(1)
    device = torch.device("cpu")
    make_deterministic(device)
    params, target = recipe.params(), folder / "checkpoints" / recipe.name
    if (target / f"{recipe.kimg:05d}.safetensors").is_file():
        return
    working = WorkingFolder(folder / "work" / recipe.name)
    working.samples.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    images = load_file(folder / f"{recipe.pictures}.safetensors")["images"]
    images = images[: len(images) * 9 // 10]  # the rest is held out
    saved = len(list(target.glob("*.safetensors")))

    def keep(generator: nn.Module) -> Judgement:
        nonlocal saved
        content = save({name: value.contiguous() for name, value in generator.state_dict().items()})
        before = target / f"{min(saved * recipe.every, recipe.kimg):05d}.safetensors"
        if not (before.is_file() and before.read_bytes() == content):  # a resumed training may repeat a tick
            saved += 1
            write_atomic(target / f"{min(saved * recipe.every, recipe.kimg):05d}.safetensors", content)
        return Judgement(0.0)

    with Journal(working.path) as journal:
        training = Training(
            model=params.model,
            train=params.train,
            seed=params.seed,
            images=images,
            labels=Labels.none(len(images)),
            device=device,
            folder=working,
            journal=journal,
            judge=keep,
            stopping=lambda: False,
        )
        try:
            training.run()
        except NotFinite as error:
            print(f"{recipe.name}: {error}")


def checkpoints(folder: Path, recipe: Recipe) -> list[tuple[int, nn.Module]]:
    """(kimg, averaged generator in eval mode) of a training, in order."""
    found = []
    for path in sorted((folder / "checkpoints" / recipe.name).glob("*.safetensors")):
        network = build_generator(recipe.params().model, SIZE, ())
        network.load_state_dict(load_file(path))
        found.append((int(path.stem), network.eval()))
    return found
