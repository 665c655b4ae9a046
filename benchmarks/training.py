"""Training rate against the plain loop and against the machine's matrix-multiply limit, in one run."""

import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.plain import PlainLoop
from facegan.params import ModelParams, TrainParams, load_params
from facegan.tracking.journal import Journal
from facegan.training.device import make_deterministic
from facegan.training.loop import Training
from facegan.training.state import TrainingState
from facegan.training.step import COLUMNS
from facegan.training.working import WorkingFolder

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

    def __init__(self, folder: Path, precision: str, batch: int, device: torch.device) -> None:
        params = load_params(Path("recipes/base.yaml"))
        wide = {
            player: {**params.model.model_dump()[player], "channels": 64} for player in ("generator", "discriminator")
        }
        model = ModelParams.model_validate({**params.model.model_dump(), **wide})
        train = TrainParams.model_validate({**params.train.model_dump(), "precision": precision, "batch": batch})
        images = torch.randint(0, 256, (4000, 64, 64, 3), dtype=torch.uint8)
        working = WorkingFolder(folder)
        self.training = Training(
            model, train, 1, images, device, working, Journal(folder), score=lambda _: 0.0, stopping=lambda: False
        )
        rows = self.training.plan.steps_per_tick
        self.state = TrainingState.start(model, train, 64, 1, rows, len(COLUMNS), device)
        self.batch, self.device = batch, device

    def run(self, steps: int) -> float:
        _wait(self.device)
        began = time.perf_counter()
        for _ in range(steps):
            self.training._step(self.state)
        _wait(self.device)
        return steps * self.batch / (time.perf_counter() - began)


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
    with tempfile.TemporaryDirectory() as temporary:
        ours = {name: Ours(Path(temporary, name), name, batch, device) for name in precisions}
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
