"""Trainings of a few steps that several processes share: run by tests, once for each number of processes."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from facegan.data.labels import Labels
from facegan.repository.distributed import several
from facegan.training.device import make_deterministic
from training.tiny import Tiny

STEPS, BATCH, MICROBATCH = 3, 16, 4
LABELS = Labels({"hair": ["long", "short"]}, (torch.arange(22) % 2)[:, None])
AUGMENT = ["color", "translation", "cutout"]
PENALISED = {"norm": "none"}
# By name: the network, and what a test changes of the model and of the training.
SYSTEMS: dict[str, tuple[str, dict, dict]] = {
    "conv": ("conv", {}, {}),
    "bf16": ("conv", {}, {"precision": "bf16"}),
    "dropout": ("conv", {"discriminator": {"dropout": 0.3}}, {"augment": AUGMENT}),
    "spectral": ("conv", {"discriminator": {"norm": "spectral", "first_norm": False}}, {"objective": "hinge"}),
    "turns": (
        "conv",
        {"discriminator": {**PENALISED, "first_norm": False}},
        {"objective": "wasserstein", "gradient_penalty": 10.0, "discriminator_steps": 2},
    ),
    "dense": ("dense", {"discriminator": {"first_norm": False}}, {"label_smoothing": 0.1}),
    "resnet": ("resnet", {"discriminator": {"first_norm": False, "norm": "spectral"}}, {"objective": "hinge"}),
    "stylegan2": ("stylegan2", {"discriminator": {"first_norm": False}}, {"r1": 1.0, "penalty_every": 2}),
    "r3gan": (
        "r3gan",
        {"discriminator": {"first_norm": False}},
        {"objective": "relativistic", "r1": 1.0, "r2": 1.0, "optimizer": "sgd"},
    ),
    "labels": (
        "conv",
        {
            "labels": "all",
            "generator": {"norm": "conditional"},
            "discriminator": {"norm": "spectral", "first_norm": False},
        },
        {"objective": "relativistic"},
    ),
}


def train(tiny: Tiny, name: str, processes, **settings) -> None:
    network, model, changes = SYSTEMS[name]
    arguments = {
        "train": tiny.train(steps=STEPS, every=2, batch=BATCH, microbatch=MICROBATCH, **changes),
        "model": tiny.model(network, **model),
        "labels": LABELS if "labels" in model else None,
        "processes": processes,
        **settings,
    }
    if processes.rank == 0:
        tiny.finish(name, **arguments)
    else:
        tiny.follow(**arguments)


def main() -> None:
    torch.set_num_threads(1)
    make_deterministic(torch.device("cpu"))
    with several(str(Path(__file__).stem)) as processes:
        tiny = Tiny(Path(sys.argv[1]))
        for name in sys.argv[2].split(","):
            train(tiny, name, processes)


if __name__ == "__main__":
    main()
