"""A training as its first process runs it: what ``Engine`` does, with rows, grids, scores and checkpoints."""

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
from facegan.data.labels import one_class_a_row
from facegan.data.rgb import to_rgb
from facegan.evaluation.generation import at_once_of
from facegan.pictures import write_grid
from facegan.randomness import Inputs, latents
from facegan.randomness import generator as random_generator
from facegan.sizes import at_once
from facegan.tracking.journal import Journal
from facegan.training import ema
from facegan.training.alarms import Watch, alarms, least_loss
from facegan.training.engine import Engine, NotFinite
from facegan.training.judge import Judgement
from facegan.training.objectives import OBJECTIVES
from facegan.training.state import TrainingState, weights
from facegan.training.step import COLUMNS
from facegan.training.working import WorkingFolder

NORM_LATENTS = 1024  # to re-estimate batch-norm statistics from; of 256, colours were off by two grey levels


@dataclass(kw_only=True)
class Training(Engine):
    """One training in its working folder. ``run`` begins, or goes on from the checkpoint that is there.

    ``judge`` scores a generator on pictures of its own.
    """

    folder: WorkingFolder
    journal: Journal
    judge: Callable[[nn.Module], Judgement]
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        # Shuffled: pictures of one class folder follow each other.
        shown = torch.randperm(len(self.images), generator=random_generator(self.seed, "watch"))
        shown = shown[: max(self.train.samples, at_once((self.images.shape[1], self.images.shape[2]), 1000))].to(
            self.device
        )
        self.watch = Watch.on(to_rgb(self.images[shown]), self.train.samples)
        self.inputs = Inputs(self.model.latent, self.labels.table)

    def run(self) -> TrainingState:
        total = self.plan.steps * self.per_step
        with tqdm(total=total, unit=" images", disable=None, leave=False) as self._bar:
            state = super().run()
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

    def resumed(self) -> TrainingState:
        state = self._loaded()
        self.processes.of(0, self.folder.checkpoint.read_bytes() if state.step else b"")
        if state.step == 0:
            self._sample(state)
        self._bar.update(state.step * self.per_step)
        self._saved = self._tick_began = time.monotonic()
        self._began_at = state.step
        return state

    def _loaded(self) -> TrainingState:
        state = self.fresh()
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
        return self.fresh()

    def step(self, state: TrainingState) -> None:
        super().step(state)
        self._bar.update(self.per_step)

    def tick(self, state: TrainingState) -> None:
        rate = (state.step - self._began_at) * self.per_step / (time.monotonic() - self._tick_began)
        losses = self.finite(state).double()
        images, rows = state.step * self.per_step, len(losses)
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
        self._report(values, images, rate)
        self._began_at, self._tick_began = state.step, time.monotonic()

    def checkpoint(self, state: TrainingState, stop: bool) -> None:
        if stop or time.monotonic() - self._saved > self.checkpoint_seconds:
            self._save(state)
            self._saved = time.monotonic()

    def alarm(self, images: int, text: str) -> None:
        self.journal.write("alarm", images, alarm=text)

    def _judge(self, state: TrainingState, images: int) -> float:
        try:
            state.last = self.judge(state.average)
        except ValueError as error:  # its pictures have no finite statistics
            self.alarm(images, f"no score: {error}")
            raise NotFinite(
                f"train: the generator cannot be scored at {images} images ({error}); the last good state is kept; "
                "try a lower train.lr_generator or train.lr_discriminator, or fp32"
            ) from error
        if state.best is None or state.last.score < state.best.score:
            state.best, state.best_images, state.best_weights = state.last, images, weights(state.average)
        return state.last.score

    def _report(self, values: dict[str, float], images: int, rate: float) -> None:
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
            self.alarm(images, alarm)
        self._bar.write(line, file=sys.stdout)
        sys.stdout.flush()

    def _sample(self, state: TrainingState) -> torch.Tensor:
        """A grid of the averaged generator on the run's fixed inputs: picture k shows the same ones every time.

        Where there are labels, a row shows one class. Gives ``samples`` pictures, uint8 [samples, h, w, 3].
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
            parts = input_batches(inputs, self.device, at_once_of(state.average))
            return torch.cat([to_rgb(to_uint8(state.average(*part))) for part in parts])

    def _refresh_norms(self, state: TrainingState) -> None:
        count = max(self.train.arithmetic_batch, at_once_of(state.average))
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

    def _save(self, state: TrainingState) -> None:
        if state.step % self.plan.steps_per_tick:  # what is saved is good: a tick checks its own numbers
            self.finite(state)
        self.journal.sync()
        state.save(self.folder.checkpoint)

    def _memory(self) -> float:
        """Peak memory in MiB: of the device on a GPU, of the process otherwise."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)
