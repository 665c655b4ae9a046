"""Training rate against the plain loop and against the machine's matrix-multiply limit, in one run."""

import statistics
import time
from pathlib import Path

import torch

from benchmarks.plain import PlainLoop
from facegan.data.labels import Labels
from facegan.params import ModelParams, TrainParams
from facegan.params_yaml import load_params, parse_params
from facegan.repository.recipes import recipe
from facegan.repository.yaml_file import text
from facegan.training.device import make_deterministic
from facegan.training.engine import Engine

GFLOP_PER_IMAGE = 2.27  # a whole step at 64x64 with 64 base channels, D frozen in G's turn
ROUNDS = 5
AHEAD = 6  # steps that use up what the plain loop's workers hold ready


def peak(dtype: torch.dtype, device: torch.device) -> float:
    """GFLOP/s of the best of some large matrix products."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(12):
        _wait(device)
        began = time.perf_counter()
        a @ b
        _wait(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - began) / 1e9)
    return best


class Ours:
    """The product's own step, batches from memory included."""

    def __init__(self, model: ModelParams, train: TrainParams, device: torch.device) -> None:
        images = torch.randint(0, 256, (4000, 64, 64, 3), dtype=torch.uint8)
        self.training = Engine(
            model=model,
            train=train,
            seed=1,
            images=images,
            labels=Labels.none(len(images)),
            device=device,
            stopping=lambda: False,
        )
        self.state = self.training.fresh()
        self.device = device

    def run(self, steps: int) -> float:
        _wait(self.device)
        began = time.perf_counter()
        for _ in range(steps):
            self.training.step(self.state)
        _wait(self.device)
        return steps * self.training.per_step / (time.perf_counter() - began)


def dcgan(precision: str, batch: int) -> tuple[ModelParams, TrainParams]:
    """The base recipe with the paper's 64 channels."""
    params = load_params(Path("recipes/base.yaml"))
    values = params.model.model_dump()
    wide = {player: {**values[player], "channels": 64} for player in ("generator", "discriminator")}
    train = {**params.train.model_dump(), "precision": precision, "batch": batch, "microbatch": None}
    return ModelParams.model_validate({**values, **wide}), TrainParams.model_validate(train)


def networks(device: torch.device) -> list[tuple[str, str, str]]:
    """A recipe of every network at 64x64: rate, and what part of conv-64's that is, in alternating rounds."""
    make_deterministic(device)
    batch, steps = (256, 20) if device.type == "cuda" else (16, 1)
    contenders, parameters = {}, {}
    for name in ("conv-64", "keras-64", "wgan-gp-64", "hinge-sn-64", "stylegan2-64", "r3gan-64"):
        params = parse_params(text(recipe(Path(), name)))
        train = params.train.model_copy(update={"batch": batch, "microbatch": None})
        contender = contenders[name] = Ours(params.model, train, device)
        players = (contender.state.generator, contender.state.discriminator)
        parameters[name] = [sum(weight.numel() for weight in player.parameters()) / 1e6 for player in players]
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(3):
        for name, contender in contenders.items():
            contender.run(1)
            rates[name].append(contender.run(steps * max(1, contender.training.train.penalty_every)))
    median = {name: statistics.median(values) for name, values in rates.items()}
    return [
        (
            f"{name}: {parameters[name][0]:.1f} M and {parameters[name][1]:.1f} M parameters",
            f"{rate:.1f} images/s, {rate / median['conv-64']:.2f} of conv-64",
            "",
        )
        for name, rate in median.items()
    ]


def measure(folder: Path, device: torch.device) -> list[tuple[str, str, str]]:
    """Rows (what, measured, aim); every contender takes its turn in every round, medians are compared.

    A turn begins with steps that are not timed: the plain loop's workers decode ahead while others have their turn.
    """
    make_deterministic(device)
    gpu = device.type == "cuda"
    batch, steps = (256, 100) if gpu else (64, 8)
    precisions = ("bf16",) if gpu else ("fp32", "bf16")
    torch.use_deterministic_algorithms(False)
    plain = PlainLoop(folder, batch, device, workers=8 if gpu else 2)
    ours = {name: Ours(*dcgan(name, batch), device) for name in precisions}
    peaks = {"fp32": torch.float32, "bf16": torch.bfloat16}
    rates: dict[str, list[float]] = {name: [] for name in ("plain", *ours)}
    limits: dict[str, list[float]] = {name: [] for name in ours}
    for _ in range(ROUNDS):
        plain.run(AHEAD)
        rates["plain"].append(plain.run(steps))
        torch.use_deterministic_algorithms(True)
        for name, contender in ours.items():
            contender.run(2)
            rates[name].append(contender.run(steps))
            limits[name].append(peak(peaks[name], device) / GFLOP_PER_IMAGE)
        torch.use_deterministic_algorithms(False)
    median = {name: statistics.median(values) for name, values in rates.items()}
    rows = [("plain loop, images/s", f"{median['plain']:.0f}", "")]
    aims = {"fp32": "1.3", "bf16": "10" if gpu else "2.3"}
    for name in ours:
        rows.append((f"training {name}, images/s", f"{median[name]:.0f}", ""))
        rows.append(
            (f"training {name} against the plain loop", f"{median[name] / median['plain']:.2f}", f">= {aims[name]}")
        )
        limit = statistics.median(limits[name])
        rows.append((f"training {name} against the limit of {limit:.0f}", f"{median[name] / limit:.2f}", ">= 0.55"))
    return rows


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
