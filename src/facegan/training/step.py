"""One step: the discriminator's updates, then one of the generator."""

from dataclasses import dataclass
from typing import Self

import torch

from facegan.params import TrainParams
from facegan.training import ema
from facegan.training.draws import Draws
from facegan.training.objectives import OBJECTIVES
from facegan.training.penalties import gradient_penalty, squared_gradient
from facegan.training.schedule import value_at
from facegan.training.state import TrainingState, set_rate
from facegan.training.update import Microbatches, unmoved, update

Tensor = torch.Tensor

COLUMNS = (
    "loss_generator",
    "loss_discriminator",
    "penalty",  # added to the discriminator's loss; 0 in steps without
    "d_real",  # mean probability that D gives to real pictures
    "d_fake",
    "grad_norm_generator",
    "grad_norm_discriminator",
)


@dataclass(frozen=True)
class Settings:
    """The values of the schedules at a step; what does not change is in ``TrainParams``."""

    lr_generator: float
    lr_discriminator: float
    betas_generator: tuple[float, float]
    betas_discriminator: tuple[float, float]
    gradient_penalty: float
    r1: float
    r2: float
    ema_kimg: float

    @classmethod
    def at(cls, train: TrainParams, images: int, pictures: int) -> Self:
        """After ``images`` shown of a set of ``pictures``.

        With a penalty every k updates, which makes an update of its own, the discriminator takes k + 1 in the place
        of k: its learning rate and betas are corrected for that (Karras et al., 2020, appendix B).
        """

        def now(key: str) -> float:
            return value_at(getattr(train, key), images, pictures)

        correction = train.penalty_every / (train.penalty_every + 1) if train.penalty_every > 1 else 1.0
        return cls(
            lr_generator=now("lr_generator"),
            lr_discriminator=now("lr_discriminator") * correction,
            betas_generator=(now("beta1_generator"), now("beta2_generator")),
            betas_discriminator=(now("beta1_discriminator") ** correction, now("beta2_discriminator") ** correction),
            gradient_penalty=now("gradient_penalty"),
            r1=now("r1"),
            r2=now("r2"),
            ema_kimg=now("ema_kimg"),
        )

    @property
    def penalised(self) -> bool:
        return max(self.r1, self.r2, self.gradient_penalty) > 0


def train_step(state: TrainingState, train: TrainParams, draws: Draws, parts: Microbatches | None = None) -> Tensor:
    """Update ``state`` by one step; gives float32 [len(COLUMNS)] on the device, without a synchronisation.

    The fakes of the last update of the discriminator are those that the generator is updated with, through the new
    discriminator. Their graph is kept where this process has one microbatch; of several they are drawn again.
    """
    parts = parts or Microbatches(train.batch, train.arithmetic_batch)
    settings = Settings.at(train, state.step * train.images_per_step, len(draws.images))
    set_rate(state.generator_optimizer, settings.lr_generator, settings.betas_generator)
    set_rate(state.discriminator_optimizer, settings.lr_discriminator, settings.betas_discriminator)
    step = _Step(state, train, settings, draws, parts)
    with draws.inside_networks():
        for turn in range(train.discriminator_steps):
            number = state.step * train.discriminator_steps + turn
            judged = step.update_discriminator(number, last=turn == train.discriminator_steps - 1)
        loss_generator = step.update_generator(number)
    ema.update(state.average, state.generator, ema.decay(train.images_per_step, settings.ema_kimg))
    return torch.cat([loss_generator, judged, torch.stack([_norm(state.generator), _norm(state.discriminator)])])


@dataclass
class _Step:
    """The updates of one step. Losses are means over a microbatch, and an update's over all of them."""

    state: TrainingState
    train: TrainParams
    settings: Settings
    draws: Draws
    parts: Microbatches
    kept: Tensor | None = None  # fakes with their graph

    def update_discriminator(self, number: int, last: bool) -> Tensor:
        """Gives the loss, the penalty, D(real) and D(fake). Real pictures and fakes have the same labels, if any."""
        state, train, draws = self.state, self.train, self.draws
        objective = OBJECTIVES[train.objective]
        together = train.penalised and train.penalty_every == 1
        lazy = train.penalised and train.penalty_every > 1 and number % train.penalty_every == 0
        shown: dict[int, tuple[Tensor, Tensor]] = {}  # what a lazy penalty looks at again

        def losses(part: int) -> tuple[Tensor, Tensor]:
            rows = self.parts.rows(part)
            real, labels = draws.real(number, rows), draws.labels_shown(number, rows)
            fake = self._drawn(number, part, graph=last)
            if last and len(self.parts.own) == 1:
                self.kept = fake
            fake = fake.detach().float() if train.penalised else fake.detach()
            real, fake = draws.augmented(real, "real", number, rows), draws.augmented(fake, "fake", number, rows)
            if together:
                self._watch(real, fake)
            draws.seed_networks("discriminator", number, part)
            with _precision(train, real, fp32=together):
                # Two passes: batch norm over a merged batch would leak the label.
                logits_real = state.discriminator(real, *labels).float()
                logits_fake = state.discriminator(fake, *labels).float()
            # Binary cross-entropy with real labels of 1 - s is that with labels of 1, and s D(x).
            loss = objective.discriminator(logits_real, logits_fake) + train.label_smoothing * logits_real.mean()
            penalty = torch.zeros_like(loss)
            if together:
                penalty = self._penalty(number, part, real, fake, logits_real, logits_fake)
            if lazy:
                shown[part] = real, fake
            numbers = (loss, penalty, logits_real.sigmoid().mean(), logits_fake.sigmoid().mean())
            return loss + penalty if together else loss, torch.stack(numbers).detach()

        def penalties(part: int) -> tuple[Tensor, Tensor]:
            real, fake = shown[part]
            self._watch(real, fake)
            labels = draws.labels_shown(number, self.parts.rows(part))
            draws.seed_networks("penalty", number, part)
            logits = [state.discriminator(x, *labels) if x.requires_grad else x.new_zeros(()) for x in (real, fake)]
            penalty = train.penalty_every * self._penalty(number, part, real, fake, *logits)
            return penalty, penalty.detach()[None]

        moving = [state.generator, state.discriminator]
        numbers = update(state.discriminator, state.discriminator_optimizer, moving, self.parts, losses)
        if lazy and self.settings.penalised:  # not where every weight has come to the 0 at the end of its schedule
            penalty = update(state.discriminator, state.discriminator_optimizer, moving[1:], self.parts, penalties)
            numbers = torch.cat([numbers[:1], penalty, numbers[2:]])
        return numbers

    def update_generator(self, number: int) -> Tensor:
        """Gives the loss, [1]."""
        state, train, draws = self.state, self.train, self.draws
        objective, discriminator = OBJECTIVES[train.objective], state.discriminator

        def losses(part: int) -> tuple[Tensor, Tensor]:
            rows = self.parts.rows(part)
            labels, fake = draws.labels_shown(number, rows), self.kept
            if fake is None:
                with unmoved(state.generator):
                    fake = self._drawn(number, part)
            draws.seed_networks("generator", number, part)
            with _precision(train, fake):
                logits = discriminator(draws.augmented(fake, "generator", state.step, rows), *labels).float()
                opposite = logits
                if objective.pairs:
                    with torch.no_grad():
                        shown = draws.augmented(draws.opposite(number, rows), "opposite", number, rows)
                        opposite = discriminator(shown, *labels).float()
            loss = objective.generator(opposite, logits)
            return loss, loss.detach()[None]

        discriminator.requires_grad_(False)  # gradients of D's weights are not wanted here: 8 % of the work
        numbers = update(state.generator, state.generator_optimizer, [discriminator], self.parts, losses)
        discriminator.requires_grad_(True)
        return numbers

    def _drawn(self, number: int, part: int, graph: bool = True) -> Tensor:
        """The fakes of a microbatch: the same ones each time."""
        rows = self.parts.rows(part)
        latent, labels = self.draws.latents(number, rows), self.draws.labels_shown(number, rows)
        self.draws.seed_networks("fakes", number, part)
        with _precision(self.train, latent), torch.set_grad_enabled(graph):
            fake: Tensor = self.state.generator(latent, *labels)
        return fake

    def _watch(self, real: Tensor, fake: Tensor) -> None:
        """Take gradients with respect to the pictures that a penalty asks about."""
        real.requires_grad_(self.settings.r1 > 0)
        fake.requires_grad_(self.settings.r2 > 0)

    def _penalty(
        self, number: int, part: int, real: Tensor, fake: Tensor, logits_real: Tensor, logits_fake: Tensor
    ) -> Tensor:
        settings, rows = self.settings, self.parts.rows(part)
        total = torch.zeros((), device=real.device)
        if settings.r1 > 0:
            total = total + settings.r1 / 2 * squared_gradient(logits_real, real)
        if settings.r2 > 0:
            total = total + settings.r2 / 2 * squared_gradient(logits_fake, fake)
        if settings.gradient_penalty > 0:
            labels = self.draws.labels_shown(number, rows)
            with torch.autocast(real.device.type, enabled=False):
                shares = self.draws.shares(number, rows)
                apart = gradient_penalty(
                    lambda pictures: self.state.discriminator(pictures, *labels), real.detach(), fake.detach(), shares
                )
            total = total + settings.gradient_penalty * apart
        return total


def _precision(train: TrainParams, like: Tensor, fp32: bool = False) -> torch.autocast:
    return torch.autocast(like.device.type, torch.bfloat16, enabled=train.precision == "bf16" and not fp32)


def _norm(network: torch.nn.Module) -> Tensor:
    """Euclidean norm of all gradients together."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    norms: tuple[Tensor, ...] = torch._foreach_norm(gradients)
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return total
