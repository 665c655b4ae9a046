"""One step: the discriminator's updates, then one of the generator."""

from dataclasses import dataclass
from typing import Self

import torch

from facegan.params import TrainParams
from facegan.training import ema
from facegan.training.draws import Draws
from facegan.training.objectives import OBJECTIVES
from facegan.training.penalties import Logits, gradient_penalty, squared_gradient
from facegan.training.schedule import value_at
from facegan.training.state import TrainingState, set_rate

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


def train_step(state: TrainingState, train: TrainParams, draws: Draws) -> torch.Tensor:
    """Update ``state`` by one step; gives float32 [len(COLUMNS)] on the device, without a synchronisation.

    The fakes of the last update of the discriminator are those that the generator is updated with, through the new
    discriminator: they are drawn once.
    """
    settings = Settings.at(train, state.step * train.images_per_step, len(draws.images))
    set_rate(state.generator_optimizer, settings.lr_generator, settings.betas_generator)
    set_rate(state.discriminator_optimizer, settings.lr_discriminator, settings.betas_discriminator)
    with draws.inside_networks(state.step):
        for turn in range(train.discriminator_steps):
            number = state.step * train.discriminator_steps + turn
            real, latent, labels = draws.real(number), draws.latents(number), draws.labels_shown(number)
            last = turn == train.discriminator_steps - 1
            with _precision(train, real), torch.set_grad_enabled(last):
                fake = state.generator(latent, *labels)
            judged = _update_discriminator(state, train, settings, draws, real, fake.detach(), labels, number)
        loss_generator = _update_generator(state, train, draws, fake, labels, number)
    ema.update(state.average, state.generator, ema.decay(train.images_per_step, settings.ema_kimg))
    return torch.stack([loss_generator, *judged, _norm(state.generator), _norm(state.discriminator)])


def _update_discriminator(
    state: TrainingState,
    train: TrainParams,
    settings: Settings,
    draws: Draws,
    real: torch.Tensor,
    fake: torch.Tensor,
    labels: tuple[torch.Tensor, ...],
    number: int,
) -> tuple[torch.Tensor, ...]:
    """Gives the loss, the penalty, D(real) and D(fake). Real pictures and fakes have the same labels, if any."""
    objective = OBJECTIVES[train.objective]

    def discriminator(pictures: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = state.discriminator(pictures, *labels)
        return logits

    if train.penalised:
        fake = fake.float()
    real, fake = draws.augmented(real, "real", number), draws.augmented(fake, "fake", number)
    together = train.penalised and train.penalty_every == 1
    if together:
        real.requires_grad_(settings.r1 > 0)
        fake.requires_grad_(settings.r2 > 0)
    with _precision(train, real, fp32=together):
        # Two passes: batch norm over a merged batch would leak the label.
        logits_real, logits_fake = discriminator(real).float(), discriminator(fake).float()
    # Binary cross-entropy with real labels of 1 - s is that with labels of 1, and s D(x).
    loss = objective.discriminator(logits_real, logits_fake) + train.label_smoothing * logits_real.mean()
    penalty = torch.zeros((), device=real.device)
    if together:
        penalty = _penalty(discriminator, settings, draws, real, fake, logits_real, logits_fake, number)
    state.discriminator_optimizer.zero_grad(set_to_none=True)
    (loss + penalty if together else loss).backward()
    state.discriminator_optimizer.step()
    judged = loss.detach(), logits_real.detach().sigmoid().mean(), logits_fake.detach().sigmoid().mean()

    if train.penalised and train.penalty_every > 1 and number % train.penalty_every == 0:
        real, fake = real.requires_grad_(settings.r1 > 0), fake.requires_grad_(settings.r2 > 0)
        logits_real, logits_fake = (
            discriminator(part) if part.requires_grad else logits
            for part, logits in ((real, logits_real), (fake, logits_fake))
        )
        every = train.penalty_every
        penalty = every * _penalty(discriminator, settings, draws, real, fake, logits_real, logits_fake, number)
        if penalty.requires_grad:  # not where every weight has come to the 0 at the end of its schedule
            state.discriminator_optimizer.zero_grad(set_to_none=True)
            penalty.backward()
            state.discriminator_optimizer.step()
    loss, d_real, d_fake = judged
    return loss, penalty.detach(), d_real, d_fake


def _penalty(
    discriminator: Logits,
    settings: Settings,
    draws: Draws,
    real: torch.Tensor,
    fake: torch.Tensor,
    logits_real: torch.Tensor,
    logits_fake: torch.Tensor,
    number: int,
) -> torch.Tensor:
    total = torch.zeros((), device=real.device)
    if settings.r1 > 0:
        total = total + settings.r1 / 2 * squared_gradient(logits_real, real)
    if settings.r2 > 0:
        total = total + settings.r2 / 2 * squared_gradient(logits_fake, fake)
    if settings.gradient_penalty > 0:
        with torch.autocast(real.device.type, enabled=False):
            shares = draws.shares(number)
            apart = gradient_penalty(discriminator, real.detach(), fake.detach(), shares)
        total = total + settings.gradient_penalty * apart
    return total


def _update_generator(
    state: TrainingState,
    train: TrainParams,
    draws: Draws,
    fake: torch.Tensor,
    labels: tuple[torch.Tensor, ...],
    number: int,
) -> torch.Tensor:
    objective, discriminator = OBJECTIVES[train.objective], state.discriminator
    discriminator.requires_grad_(False)  # gradients of D's weights are not wanted here: 8 % of the work
    with _precision(train, fake):
        logits = discriminator(draws.augmented(fake, "generator", state.step), *labels).float()
        opposite = logits
        if objective.pairs:
            with torch.no_grad():
                shown = draws.augmented(draws.opposite(number), "opposite", number)
                opposite = discriminator(shown, *labels).float()
    loss = objective.generator(opposite, logits)
    state.generator_optimizer.zero_grad(set_to_none=True)
    loss.backward()
    state.generator_optimizer.step()
    discriminator.requires_grad_(True)
    return loss.detach()


def _precision(train: TrainParams, like: torch.Tensor, fp32: bool = False) -> torch.autocast:
    return torch.autocast(like.device.type, torch.bfloat16, enabled=train.precision == "bf16" and not fp32)


def _norm(network: torch.nn.Module) -> torch.Tensor:
    """Euclidean norm of all gradients together."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    norms: tuple[torch.Tensor, ...] = torch._foreach_norm(gradients)
    total: torch.Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return total
