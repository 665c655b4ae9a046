"""One update of the discriminator and one of the generator."""

import torch

from facegan.params import TrainParams
from facegan.training import ema
from facegan.training.objectives import OBJECTIVES
from facegan.training.state import TrainingState

COLUMNS = (
    "loss_generator",
    "loss_discriminator",
    "d_real",  # mean probability that D gives to real pictures
    "d_fake",
    "grad_norm_generator",
    "grad_norm_discriminator",
)


def train_step(state: TrainingState, train: TrainParams, real: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
    """Update ``state`` by one step; gives float32 [len(COLUMNS)] on the device, without a synchronisation.

    ``real`` is float [n, 3, size, size] in [-1, 1], ``latent`` float [n, latent]. The fakes are generated once: the
    discriminator sees them detached, the generator is updated through the new discriminator.
    """
    objective = OBJECTIVES[train.objective]
    bf16 = torch.autocast(real.device.type, torch.bfloat16, enabled=train.precision == "bf16")
    generator, discriminator = state.generator, state.discriminator

    with bf16:
        fake = generator(latent)
        # Two passes: batch norm over a merged batch would leak the label.
        logits_real, logits_fake = discriminator(real).float(), discriminator(fake.detach()).float()
    loss_discriminator = objective.discriminator(logits_real, logits_fake)
    state.discriminator_optimizer.zero_grad(set_to_none=True)
    loss_discriminator.backward()
    state.discriminator_optimizer.step()

    discriminator.requires_grad_(False)  # gradients of D's weights are not wanted here: 8 % of the work
    with bf16:
        logits = discriminator(fake).float()
    loss_generator = objective.generator(logits)
    state.generator_optimizer.zero_grad(set_to_none=True)
    loss_generator.backward()
    state.generator_optimizer.step()
    discriminator.requires_grad_(True)

    ema.update(state.average, generator, ema.decay(train.batch, train.ema_kimg))
    return torch.stack(
        [
            loss_generator.detach(),
            loss_discriminator.detach(),
            logits_real.detach().sigmoid().mean(),
            logits_fake.detach().sigmoid().mean(),
            _norm(generator),
            _norm(discriminator),
        ]
    )


def _norm(network: torch.nn.Module) -> torch.Tensor:
    """Euclidean norm of all gradients together."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    norms: tuple[torch.Tensor, ...] = torch._foreach_norm(gradients)
    total: torch.Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return total
