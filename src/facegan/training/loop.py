"""The training: steps, ticks, checkpoints. Progress is counted in images."""

import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from tqdm import tqdm

from facegan.data.batches import input_batches, to_uint8
from facegan.data.labels import Labels, one_class_a_row
from facegan.errors import FaceganError
from facegan.params import ModelParams, TrainParams
from facegan.pictures import write_grid
from facegan.randomness import Inputs, latents
from facegan.randomness import generator as random_generator
from facegan.tracking.journal import Journal
from facegan.training import ema
from facegan.training.alarms import Watch, alarms, least_loss
from facegan.training.draws import Draws
from facegan.training.judge import Judgement
from facegan.training.objectives import OBJECTIVES
from facegan.training.schedule import images_in
from facegan.training.state import TrainingState, weights
from facegan.training.step import COLUMNS, train_step
from facegan.training.working import WorkingFolder

NORM_LATENTS = 1024  # to re-estimate batch-norm statistics from; of 256, colours were off by two grey levels


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


@dataclass
class Training:
    """One training in its working folder. ``run`` begins, or goes on from the checkpoint that is there.

    ``images`` is uint8 [n, size, size, 3] and is moved to ``device``; ``labels`` are theirs; ``judge`` scores a
    generator on pictures of its own; ``stopping`` is asked after every step.
    """

    model: ModelParams
    train: TrainParams
    seed: int
    images: torch.Tensor
    labels: Labels
    device: torch.device
    folder: WorkingFolder
    journal: Journal
    judge: Callable[[nn.Module], Judgement]
    stopping: Callable[[], bool]
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        self.images = self.images.to(self.device)
        self.size = self.images.shape[1]
        # Shuffled: pictures of one class folder follow each other.
        shown = torch.randperm(len(self.images), generator=random_generator(self.seed, "watch"))
        self.watch = Watch.on(self.images[shown[: max(self.train.samples, 1000)].to(self.device)], self.train.samples)
        self.plan = Plan.of(self.train, len(self.images))
        self.per_step = self.train.images_per_step
        self.draws = Draws(self.images, self.labels.table, self.model.latent, self.train, self.seed, self.device)
        self.inputs = Inputs(self.model.latent, self.labels.table)

    def run(self) -> TrainingState:
        """Train to the end. Raises Stopped when asked to stop, NotFinite when it diverges."""
        state = self._resume()
        total = self.plan.steps * self.per_step
        if state.step == 0:
            self._sample(state)
        saved = tick_began = time.monotonic()
        began_at = state.step
        with tqdm(total=total, initial=state.step * self.per_step, unit=" images", disable=None, leave=False) as bar:
            while state.step < self.plan.steps:
                self._step(state)
                bar.update(self.per_step)
                if self.plan.ends_tick(state.step):
                    rate = (state.step - began_at) * self.per_step / (time.monotonic() - tick_began)
                    self._tick(state, rate, bar)
                    began_at, tick_began = state.step, time.monotonic()
                stop = self.stopping()
                if stop or time.monotonic() - saved > self.checkpoint_seconds:
                    self._save(state)
                    saved = time.monotonic()
                if stop and state.step < self.plan.steps:
                    raise Stopped
        self._save(state)
        return state

    def final_weights(self, state: TrainingState) -> dict[str, dict[str, torch.Tensor]]:
        """What the training leaves: the best and the last averaged generator, and the discriminator."""
        assert state.best_weights is not None  # the last tick always scores
        self._refresh_norms(state)
        return {
            "generator": state.best_weights,
            "generator-last": weights(state.average),
            "discriminator": weights(state.discriminator),
        }

    def _resume(self) -> TrainingState:
        state = self._fresh()
        if not self.folder.checkpoint.is_file():
            return state
        try:
            state.load(self.folder.checkpoint)
        except ValueError as error:
            return self._start_over(str(error))
        passed = sum(self.plan.ends_tick(step) for step in range(1, state.step + 1))
        ticks = sum(
            row["kind"] == "metrics" and row["step"] <= state.step * self.per_step for row in self.journal.rows()
        )
        if ticks < passed:
            return self._start_over("the journal lacks rows that the checkpoint has passed")
        if not all((self.folder.path / row["file"]).is_file() for row in self.journal.rows() if row["kind"] == "image"):
            return self._start_over("sample grids that the journal names are gone")
        print(f"train: resuming at {state.step * self.per_step / 1000:.1f} kimg", flush=True)
        return state

    def _start_over(self, reason: str) -> TrainingState:
        print(f"train: {reason}; starting over", file=sys.stderr, flush=True)
        self.folder.checkpoint.unlink()
        return self._fresh()

    def _fresh(self) -> TrainingState:
        rows = self.plan.steps_per_tick
        return TrainingState.start(
            self.model, self.train, self.size, self.labels.classes, self.seed, rows, len(COLUMNS), self.device
        )

    def _step(self, state: TrainingState) -> None:
        losses = train_step(state, self.train, self.draws)
        state.losses[state.step % self.plan.steps_per_tick] = losses
        state.step += 1

    def _tick(self, state: TrainingState, rate: float, bar: "tqdm[None]") -> None:
        rows = (state.step - 1) % self.plan.steps_per_tick + 1
        losses = self._finite(state, rows).double()
        images = state.step * self.per_step
        values = dict(zip(COLUMNS, losses.mean(0).tolist(), strict=True))
        if not self.train.penalised:
            del values["penalty"]
        self._refresh_norms(state)
        if self.plan.scores(state.step):
            values["score"] = self._judge(state, images)
        steps = [(state.step - rows + 1 + row) * self.per_step for row in range(rows)]
        every = {f"step_{name}": losses[:, COLUMNS.index(name)].tolist() for name in COLUMNS[:2]}
        self.journal.write("losses", images, steps=steps, values=every)
        values |= self.watch.measure(self._sample(state))
        self.journal.write("metrics", images, values=values)
        self.journal.write("system", images, values={"images_per_second": rate, "memory_mib": self._memory()})
        self._report(values, images, rate, bar)

    def _judge(self, state: TrainingState, images: int) -> float:
        try:
            state.last = self.judge(state.average)
        except ValueError as error:  # its pictures have no finite statistics
            self.journal.write("alarm", images, alarm=f"no score: {error}")
            raise NotFinite(
                f"train: the generator cannot be scored at {images} images ({error}); the last good state is kept; "
                "try a lower train.lr_generator or train.lr_discriminator, or fp32"
            ) from error
        if state.best is None or state.last.score < state.best.score:
            state.best, state.best_images, state.best_weights = state.last, images, weights(state.average)
        return state.last.score

    def _report(self, values: dict[str, float], images: int, rate: float, bar: "tqdm[None]") -> None:
        left = round((self.plan.steps * self.per_step - images) / rate)
        line = (
            f"{images / 1000:8.1f} / {self.plan.steps * self.per_step / 1000:.1f} kimg  {rate:6.0f} images/s  "
            f"{left // 60:3d}:{left % 60:02d} left  G {values['loss_generator']:.3f}  "
            f"D {values['loss_discriminator']:.3f}  D(real) {values['d_real']:.2f}  D(fake) {values['d_fake']:.2f}"
        )
        if "score" in values:
            line += f"  score {values['score']:.3f}"
        least = least_loss(OBJECTIVES[self.train.objective].bounded, self.train.label_smoothing)
        for alarm in alarms(values, images, least):
            line += f"  ALARM: {alarm}"
            self.journal.write("alarm", images, alarm=alarm)
        bar.write(line, file=sys.stdout)
        sys.stdout.flush()

    def _sample(self, state: TrainingState) -> torch.Tensor:
        """A grid of the averaged generator on the run's fixed inputs: picture k shows the same ones every time.

        Where there are labels, a row shows one class. Gives ``samples`` pictures, uint8 [samples, size, size, 3].
        """
        images = state.step * self.per_step
        path = self.folder.samples / f"{images:09d}.png"
        if state.step == 0:
            self._refresh_norms(state)
        pictures = self._draw(state, self.inputs.draw(self.train.samples, self.seed, "samples"))
        if self.labels.names:
            columns = math.ceil(math.sqrt(self.train.samples))
            labels = one_class_a_row(self.labels.classes, columns)
            latent = latents(columns, self.model.latent, self.seed, "samples")
            write_grid(path, self._draw(state, (latent.repeat(len(labels) // columns, 1), labels)), columns)
        else:
            write_grid(path, pictures)
        self.journal.write("image", images, key="samples", file=path.relative_to(self.folder.path).as_posix())
        return pictures

    def _draw(self, state: TrainingState, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        with torch.no_grad(), self._precision():
            return to_uint8(torch.cat([state.average(*part) for part in input_batches(inputs, self.device)]))

    def _refresh_norms(self, state: TrainingState) -> None:
        count = max(self.train.batch, 64)
        batches = -(-NORM_LATENTS // count)
        drawn = (self.inputs.draw(count, self.seed, "norms", number) for number in range(batches))
        with self._precision():
            ema.refresh(
                state.average,
                state.generator,
                (part for inputs in drawn for part in input_batches(inputs, self.device, count)),
            )

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.train.precision == "bf16")

    def _finite(self, state: TrainingState, rows: int) -> torch.Tensor:
        """The tick's numbers so far, on the CPU: the one synchronisation with the device. Raises NotFinite."""
        losses = state.losses[:rows].cpu()
        broken = (~torch.isfinite(losses)).any(1).nonzero()
        if len(broken):
            step = (state.step - rows + int(broken[0]) + 1) * self.per_step
            names = [name for name, value in zip(COLUMNS, losses[int(broken[0])], strict=True) if not value.isfinite()]
            self.journal.write("alarm", step, alarm=f"not finite: {', '.join(names)}")
            tick = 1 + (state.step - 1) // self.plan.steps_per_tick
            raise NotFinite(
                f"train: {names[0]} is not finite at {step} images (tick {tick}); "
                "the last good state is kept; try a lower train.lr_generator or train.lr_discriminator, or fp32"
            )
        return losses

    def _save(self, state: TrainingState) -> None:
        rows = state.step % self.plan.steps_per_tick
        if rows:  # what is saved is good: a tick checks its own numbers
            self._finite(state, rows)
        self.journal.sync()
        state.save(self.folder.checkpoint)

    def _memory(self) -> float:
        """Peak memory in MiB: of the device on a GPU, of the process otherwise."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)
