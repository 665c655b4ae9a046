"""A training small enough to be run whole, many times over."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from parameters import model_params, train_params
from torch import nn

from facegan.data.labels import Labels
from facegan.networks.conditional import ConditionalGenerator
from facegan.params import ModelParams, TrainParams
from facegan.sharing import ALONE, Processes
from facegan.tracking.journal import Journal
from facegan.training.draws import ALL
from facegan.training.engine import Engine, Stopped
from facegan.training.judge import Judgement
from facegan.training.loop import Training
from facegan.training.outputs import write_history, write_models
from facegan.training.state import TrainingState
from facegan.training.step import COLUMNS
from facegan.training.working import WorkingFolder

CPU = torch.device("cpu")
SIZE = 32
STEPS, TICK = 7, 3  # the last tick is short


class Given:
    """Draws of one step that a test gives: the same pictures and latents whatever the number."""

    def __init__(self, real: torch.Tensor, latent: torch.Tensor) -> None:
        self._real, self._latent = real, latent
        self.images = range(len(real))

    def real(self, number: int, rows: slice = ALL) -> torch.Tensor:
        return self._real[rows]

    opposite = real

    def latents(self, number: int, rows: slice = ALL) -> torch.Tensor:
        return self._latent[rows]

    def labels_shown(self, number: int, rows: slice = ALL) -> tuple[torch.Tensor, ...]:
        return ()

    def augmented(self, pictures: torch.Tensor, player: str, number: int, rows: slice = ALL) -> torch.Tensor:
        return pictures

    def shares(self, number: int, rows: slice = ALL) -> torch.Tensor:
        return torch.linspace(0, 1, len(self._real))[rows]

    def inside_networks(self) -> AbstractContextManager[None]:
        return nullcontext()

    def seed_networks(self, purpose: str, number: int, microbatch: int) -> None:
        pass


def judged_by(score: Callable[[nn.Module], float], error: float | None = 0.5) -> Callable[[nn.Module], Judgement]:
    """A judge that says what ``score`` says."""
    return lambda network: Judgement(score(network), error)


class Tiny:
    """Builds and runs trainings of a few steps below ``home``; whatever is not asked for has a tiny default."""

    def __init__(self, home: Path) -> None:
        self.home = home
        noise = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (22, SIZE, SIZE, 3), dtype=torch.uint8, generator=noise)
        self.latents = torch.randn(8, 8, generator=noise)

    def model(self, network: str = "conv", **changes: Any) -> ModelParams:
        return model_params(network, **{"discriminator": {"first_norm": True}, **changes})

    def train(
        self, steps: int = STEPS, every: int = TICK, score: int | None = None, batch: int = 4, **changes: Any
    ) -> TrainParams:
        """``steps``, ``every`` (a tick) and ``score`` (every tick) count steps."""
        values: dict[str, Any] = {
            "duration": f"{steps * batch / 1000} kimg",
            "batch": batch,
            "lr_generator": 2e-3,
            "lr_discriminator": 1e-3,
            "ema_kimg": 0.01,
            "tick": f"{every * batch / 1000} kimg",
            "evaluate_every": f"{(score or every) * batch / 1000} kimg",
            "samples": 5,
        }
        return train_params(**(values | changes))

    def score(self, network: nn.Module) -> float:
        """A judge whose score falls and rises: how bright the pictures are."""
        with torch.no_grad():
            labels = (torch.arange(8)[:, None] % 2,) if isinstance(network, ConditionalGenerator) else ()
            return float(network(self.latents, *labels).abs().mean())

    def state(self, train: TrainParams | None = None, model: ModelParams | None = None, seed: int = 1) -> TrainingState:
        return TrainingState.start(model or self.model(), train or self.train(), SIZE, (), seed, 3, len(COLUMNS), CPU)

    @contextmanager
    def training(
        self,
        name: str,
        train: TrainParams | None = None,
        model: ModelParams | None = None,
        seed: int = 1,
        score: Callable[[nn.Module], float] | None = None,
        stopping: Callable[[], bool] = lambda: False,
        checkpoint_seconds: float = 1e9,
        labels: Labels | None = None,
        processes: Processes = ALONE,
    ) -> Iterator[Training]:
        folder = WorkingFolder(self.home / name)
        with Journal(folder.path) as journal:
            yield Training(
                model=model or self.model(),
                train=train or self.train(),
                seed=seed,
                images=self.images,
                labels=Labels.none(len(self.images)) if labels is None else labels,
                device=CPU,
                folder=folder,
                journal=journal,
                judge=judged_by(score or self.score),
                stopping=stopping,
                checkpoint_seconds=checkpoint_seconds,
                processes=processes,
            )

    def follow(self, train: TrainParams, model: ModelParams, labels: Labels | None, processes: Processes) -> None:
        """What a process does that is not the first."""
        Engine(
            model=model,
            train=train,
            seed=1,
            images=self.images,
            labels=Labels.none(len(self.images)) if labels is None else labels,
            device=CPU,
            stopping=lambda: False,
            processes=processes,
        ).run()

    def run(self, name: str, stop_after: int | None = None, **settings: Any) -> TrainingState | None:
        """One start of the training: its last state, or None when it was stopped after so many steps."""
        asked = 0

        def stopping() -> bool:
            nonlocal asked
            asked += 1
            return asked == stop_after

        with self.training(name, stopping=stopping, **settings) as training:
            try:
                return training.run()
            except Stopped:
                return None

    def finish(self, name: str, **settings: Any) -> dict[str, bytes]:
        """Train to the end, from wherever it stands, and write what a training leaves: every file's bytes."""
        with self.training(name, **settings) as training:
            state = training.run()
            out = self.home / f"{name}-outputs"
            write_models(training, state, "the key", out / "models")
            write_history(training.folder, out / "reports")
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
