"""The steps of a training, in every process that takes part. Progress is counted in images."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from facegan.data.labels import Labels
from facegan.data.stored import Pictures
from facegan.errors import FaceganError
from facegan.params import ModelParams, TrainParams
from facegan.sharing import ALONE, Agreement, Processes
from facegan.sizes import Size
from facegan.training.draws import Draws
from facegan.training.reading import kept_on
from facegan.training.schedule import images_in
from facegan.training.state import TrainingState
from facegan.training.step import COLUMNS, train_step
from facegan.training.update import Microbatches


class Stopped(Exception):
    """The training was asked to stop; its state is saved."""


class NotFinite(FaceganError):
    """A loss or gradient is not finite; the last good checkpoint is kept."""


@dataclass(frozen=True)
class Plan:
    """A training in steps: how many, and how many make a tick."""

    steps: int
    steps_per_tick: int
    ticks_per_score: int

    @classmethod
    def of(cls, train: TrainParams, pictures: int) -> "Plan":
        steps = -(-images_in(train.duration, pictures) // train.images_per_step)
        per_tick = min(steps, max(1, round(images_in(train.tick, pictures) / train.images_per_step)))
        per_score = images_in(train.evaluate_every, pictures) / train.images_per_step
        return cls(steps, per_tick, max(1, round(per_score / per_tick)))

    def ends_tick(self, step: int) -> bool:
        return step % self.steps_per_tick == 0 or step == self.steps

    def scores(self, step: int) -> bool:
        return step == self.steps or step % (self.steps_per_tick * self.ticks_per_score) == 0


@dataclass(kw_only=True)
class Engine:
    """What every process of a training does: all of them hold the whole state, and go through the same steps.

    ``images`` is uint8 [n, h, w, 3], and is kept on ``device`` if it is a GPU with room; ``labels`` are theirs;
    ``stopping`` is asked after every step. The first process is a ``Training``, which writes.
    """

    model: ModelParams
    train: TrainParams
    seed: int
    images: Pictures
    labels: Labels
    device: torch.device
    stopping: Callable[[], bool]
    processes: Processes = field(default=ALONE)

    def __post_init__(self) -> None:
        self.images = kept_on(self.device, self.images)
        height, width = self.images.shape[1:3]
        self.size: Size = height if height == width else (height, width)
        self.channels = self.images.shape[3]
        self.plan = Plan.of(self.train, len(self.images))
        self.per_step = self.train.images_per_step
        self.parts = Microbatches(self.train.batch, self.train.arithmetic_batch, self.processes)
        self.draws = Draws(self.images, self.labels.table, self.model.latent, self.train, self.seed, self.device)

    def run(self) -> TrainingState:
        """Train to the end. Raises Stopped when a process was asked to stop, NotFinite when the training diverges."""
        agreed = Agreement(self.processes)
        state = self.resumed()
        while state.step < self.plan.steps:
            self.step(state)
            if self.plan.ends_tick(state.step):
                self.tick(state)
            stop = agreed(self.stopping())
            self.checkpoint(state, stop)
            if stop and state.step < self.plan.steps:
                raise Stopped
        return state

    def resumed(self) -> TrainingState:
        """The state to begin with: that of the first process."""
        state, saved = self.fresh(), self.processes.of(0, b"")
        if saved:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "checkpoint.safetensors"
                path.write_bytes(saved)
                state.load(path)
        return state

    def fresh(self) -> TrainingState:
        """The state before the first step."""
        rows = self.plan.steps_per_tick
        return TrainingState.start(
            self.model, self.train, self.size, self.labels.classes, self.seed, rows, len(COLUMNS), self.device,
            self.channels,
        )  # fmt: skip

    def step(self, state: TrainingState) -> None:
        losses = train_step(state, self.train, self.draws, self.parts)
        state.losses[state.step % self.plan.steps_per_tick] = losses
        state.step += 1

    def tick(self, state: TrainingState) -> None:
        """What is done at the end of a tick: raises NotFinite where its numbers are not."""
        self.finite(state)

    def checkpoint(self, state: TrainingState, stop: bool) -> None:
        """What is done after a step, with which the training may have to ``stop``."""

    def finite(self, state: TrainingState) -> torch.Tensor:
        """The tick's numbers so far, on the CPU: the one synchronisation with the device. Raises NotFinite."""
        rows = (state.step - 1) % self.plan.steps_per_tick + 1
        losses = state.losses[:rows].cpu()
        broken = (~torch.isfinite(losses)).any(1).nonzero()
        if len(broken):
            step = (state.step - rows + int(broken[0]) + 1) * self.per_step
            names = [name for name, value in zip(COLUMNS, losses[int(broken[0])], strict=True) if not value.isfinite()]
            self.alarm(step, f"not finite: {', '.join(names)}")
            tick = 1 + (state.step - 1) // self.plan.steps_per_tick
            raise NotFinite(
                f"train: {names[0]} is not finite at {step} images (tick {tick}); "
                "the last good state is kept; try a lower train.lr_generator or train.lr_discriminator, or fp32"
            )
        return losses

    def alarm(self, images: int, text: str) -> None:
        """Called with what went wrong; the first process logs it."""
