"""One step is one step of a plain DCGAN, and nothing leaks from one player to the other."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from facegan.params import TrainParams
from facegan.training.draws import ALL
from facegan.training.state import TrainingState
from facegan.training.step import COLUMNS, train_step
from training.tiny import Given, Tiny


class Textbook:
    """The DCGAN loop of the tutorials, for 32x32: plain modules, plain Adam, labels of ones and zeros."""

    def __init__(self, state: TrainingState, lr_generator: float, lr_discriminator: float) -> None:
        self.generator = nn.Sequential(
            nn.ConvTranspose2d(8, 16, 4, 1, 0, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )
        self.discriminator = nn.Sequential(
            nn.Conv2d(3, 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(4),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4, 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.LeakyReLU(0.2),
            nn.Conv2d(8, 16, 4, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.LeakyReLU(0.2),
            nn.Conv2d(16, 1, 4, 1, 0, bias=False),
        )
        for mine, theirs in self.pairs(state):
            mine.load_state_dict(dict(zip(mine.state_dict(), theirs.state_dict().values(), strict=True)))
        self.adam_generator = torch.optim.Adam(
            self.generator.parameters(), lr=lr_generator, betas=(0.5, 0.999), foreach=False
        )
        self.adam_discriminator = torch.optim.Adam(
            self.discriminator.parameters(), lr=lr_discriminator, betas=(0.5, 0.999), foreach=False
        )

    def pairs(self, state: TrainingState) -> Iterator[tuple[nn.Module, nn.Module]]:
        yield self.generator, state.generator
        yield self.discriminator, state.discriminator

    def step(self, real: torch.Tensor, latent: torch.Tensor) -> dict[str, float]:
        self.discriminator.zero_grad()
        on_real = self.discriminator(real).view(-1)
        loss_real = binary_cross_entropy_with_logits(on_real, torch.ones(len(real)))
        loss_real.backward()
        fake = self.generator(latent[:, :, None, None])
        on_fake = self.discriminator(fake.detach()).view(-1)
        loss_fake = binary_cross_entropy_with_logits(on_fake, torch.zeros(len(real)))
        loss_fake.backward()
        self.discriminator_gradients = [parameter.grad.clone() for parameter in self.discriminator.parameters()]
        self.adam_discriminator.step()
        self.generator.zero_grad()
        loss = binary_cross_entropy_with_logits(self.discriminator(fake).view(-1), torch.ones(len(real)))
        loss.backward()
        self.adam_generator.step()

        def norm(gradients: list[torch.Tensor]) -> float:
            return float(sum(gradient.square().sum() for gradient in gradients) ** 0.5)

        return {
            "loss_generator": loss.item(),
            "loss_discriminator": (loss_real + loss_fake).item(),
            "penalty": 0.0,
            "d_real": on_real.sigmoid().mean().item(),
            "d_fake": on_fake.sigmoid().mean().item(),
            "grad_norm_generator": norm([parameter.grad for parameter in self.generator.parameters()]),
            "grad_norm_discriminator": norm(self.discriminator_gradients),
        }


@pytest.fixture
def data() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Three steps' pictures and latents."""
    source = torch.Generator().manual_seed(3)
    return [(torch.rand(8, 3, 32, 32, generator=source) * 2 - 1, torch.randn(8, 8, generator=source)) for _ in range(3)]


def test_three_steps_are_those_of_a_plain_dcgan_loop(tiny: Tiny, data: Any) -> None:
    train = tiny.train(batch=8, lr_generator=2e-4, lr_discriminator=1e-4)
    state = tiny.state(train)
    start = deepcopy((state.generator.state_dict(), state.discriminator.state_dict()))
    textbook = Textbook(state, 2e-4, 1e-4)
    for real, latent in data:
        expected = textbook.step(real, latent)
        values = dict(zip(COLUMNS, train_step(state, train, Given(real, latent)).tolist(), strict=True))
        assert values == pytest.approx(expected, rel=1e-4)
    for (theirs, ours), before in zip(textbook.pairs(state), start, strict=True):
        for expected, (name, value) in zip(theirs.state_dict().values(), ours.state_dict().items(), strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=5e-6, msg=lambda text, name=name: name + text)
            moved = (value - before[name]).abs().max()
            assert moved > 1e-4, f"{name} has not moved, so the comparison says nothing"


def test_the_step_of_the_generator_leaves_no_gradient_in_the_discriminator(tiny: Tiny, data: Any) -> None:
    train = tiny.train(batch=8)
    state = tiny.state(train)
    textbook = Textbook(state, 1e-3, 1e-3)
    textbook.step(*data[0])
    train_step(state, train, Given(*data[0]))
    for parameter, expected in zip(state.discriminator.parameters(), textbook.discriminator_gradients, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-6)  # of its own step alone


def test_the_step_of_the_discriminator_leaves_no_gradient_in_the_generator(tiny: Tiny, data: Any) -> None:
    # With D's learning rate at nothing, G's gradient is that of its own loss alone.
    train = tiny.train(batch=8, lr_discriminator=1e-30)
    state = tiny.state(train)
    generator, discriminator = deepcopy(state.generator), deepcopy(state.discriminator)
    loss = binary_cross_entropy_with_logits(discriminator(generator(data[0][1])), torch.ones(8))
    expected = torch.autograd.grad(loss, list(generator.parameters()))
    train_step(state, train, Given(*data[0]))
    for parameter, gradient in zip(state.generator.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
        assert gradient.abs().max() > 1e-4


def test_the_discriminator_sees_real_and_fake_apart_and_the_generator_sees_it_updated(tiny: Tiny, data: Any) -> None:
    train = tiny.train(batch=8)
    state = tiny.state(train)
    seen: list[tuple[int, torch.Tensor]] = []
    state.discriminator.register_forward_pre_hook(
        lambda network, given: seen.append((len(given[0]), next(network.parameters()).detach().clone()))
    )
    train_step(state, train, Given(*data[0]))
    assert [count for count, _ in seen] == [8, 8, 8]
    assert torch.equal(seen[0][1], seen[1][1])
    assert not torch.equal(seen[1][1], seen[2][1])


def test_the_fakes_are_drawn_once(tiny: Tiny, data: Any) -> None:
    train = tiny.train(batch=8)
    state = tiny.state(train)
    drawn = []
    state.generator.register_forward_hook(lambda *given: drawn.append(given))
    train_step(state, train, Given(*data[0]))
    assert len(drawn) == 1


def test_parameters_want_gradients_again_after_a_step(tiny: Tiny, data: Any) -> None:
    train = tiny.train(batch=8)
    state = tiny.state(train)
    train_step(state, train, Given(*data[0]))
    for network in (state.generator, state.discriminator):
        assert all(parameter.requires_grad for parameter in network.parameters())
        assert network.training
    assert not any(parameter.requires_grad for parameter in state.average.parameters())


def test_the_average_follows_the_generator(tiny: Tiny, data: Any) -> None:
    train = tiny.train(batch=8, ema_kimg=0.016)  # a half-life of two steps
    state = tiny.state(train)
    before = deepcopy(list(state.average.parameters()))
    train_step(state, train, Given(*data[0]))
    for average, old, new in zip(state.average.parameters(), before, state.generator.parameters(), strict=True):
        torch.testing.assert_close(average.data, 0.5**0.5 * old.data + (1 - 0.5**0.5) * new.data)


def test_numbers_of_a_step_are_finite_float32_without_a_graph(tiny: Tiny, data: Any) -> None:
    for precision in ("fp32", "bf16"):
        train = tiny.train(batch=8, precision=precision)
        numbers = train_step(tiny.state(train), train, Given(*data[0]))
        assert numbers.shape == (len(COLUMNS),)
        assert numbers.dtype == torch.float32
        assert numbers.isfinite().all()
        assert not numbers.requires_grad


def test_bf16_is_used_when_asked_and_weights_stay_fp32(tiny: Tiny, data: Any) -> None:
    numbers = {}
    for precision in ("fp32", "bf16"):
        train = tiny.train(batch=8, precision=precision)
        state = tiny.state(train)
        seen: list[torch.dtype] = []
        state.discriminator.layers[0].register_forward_hook(lambda layer, given, out, seen=seen: seen.append(out.dtype))
        numbers[precision] = train_step(state, train, Given(*data[0]))
        assert set(seen) == {torch.float32 if precision == "fp32" else torch.bfloat16}
        for network in (state.generator, state.discriminator, state.average):
            assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert not torch.equal(numbers["fp32"], numbers["bf16"])
    torch.testing.assert_close(numbers["fp32"], numbers["bf16"], rtol=0.05, atol=0.01)


def test_a_step_does_not_depend_on_the_global_generator(tiny: Tiny, data: Any) -> None:
    train = tiny.train(batch=8)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(train_step(tiny.state(train), train, Given(*data[0])))
    assert torch.equal(*results)


# ---- penalties, smoothing and turns


def single_judge(tiny: Tiny, **changes: Any) -> tuple[TrainingState, TrainParams]:
    """A system whose discriminator looks at each picture alone, and its parameters."""
    train = tiny.train(batch=8, **changes)
    return tiny.state(train, tiny.model(discriminator={"norm": "none"})), train


def squared(discriminator: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """|grad D(x)|^2 of each picture, one after the other."""
    values = []
    for picture in pictures:
        x = picture[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
        values.append(gradient.square().sum())
    return torch.stack(values)


@pytest.mark.parametrize("which", ["r1", "r2", "gradient_penalty"])
@pytest.mark.parametrize("every", [1, 4])
def test_a_penalty_has_its_weight_and_its_pictures(tiny: Tiny, data: Any, which: str, every: int) -> None:
    state, train = single_judge(tiny, **{which: 3.0, "penalty_every": every, "lr_discriminator": 1e-30})
    real, latent = data[0]
    discriminator, fake = deepcopy(state.discriminator), state.generator(latent).detach()
    if which == "gradient_penalty":
        shares = Given(real, latent).shares(0)[:, None, None, None]
        expected = 3.0 * (squared(discriminator, real + shares * (fake - real)).sqrt() - 1).square().mean()
    else:
        expected = 1.5 * squared(discriminator, real if which == "r1" else fake).mean()
    values = dict(zip(COLUMNS, train_step(state, train, Given(real, latent)).tolist(), strict=True))
    assert values["penalty"] == pytest.approx(every * expected.item(), rel=1e-4)
    loss = binary_cross_entropy_with_logits(discriminator(real), torch.ones(8))
    loss = loss + binary_cross_entropy_with_logits(discriminator(fake), torch.zeros(8))
    assert values["loss_discriminator"] == pytest.approx(loss.item(), rel=1e-4)  # without the penalty
    total = expected + loss if every == 1 else every * expected  # which takes an update of its own
    for parameter, gradient in zip(
        state.discriminator.parameters(),
        torch.autograd.grad(total, list(discriminator.parameters()), allow_unused=True),
        strict=True,
    ):
        if gradient is not None:
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)


def test_a_lazy_penalty_comes_every_kth_update_and_the_rates_make_up_for_it(tiny: Tiny, data: Any) -> None:
    state, train = single_judge(tiny, r1=1.0, penalty_every=3)
    penalties = []
    for _ in range(7):
        penalties.append(train_step(state, train, Given(*data[0]))[COLUMNS.index("penalty")].item())
        state.step += 1
    assert [value > 0 for value in penalties] == [True, False, False, True, False, False, True]
    (group,) = state.discriminator_optimizer.param_groups
    assert group["lr"] == pytest.approx(1e-3 * 0.75)
    assert group["betas"] == pytest.approx((0.5**0.75, 0.999**0.75))
    (group,) = state.generator_optimizer.param_groups
    assert (group["lr"], group["betas"]) == (2e-3, (0.5, 0.999))


@pytest.mark.parametrize("every", [1, 2])
def test_a_penalty_may_come_to_nothing(tiny: Tiny, data: Any, every: int) -> None:
    fading = {"start": 1.0, "end": 0.0, "over": "0.008 kimg", "shape": "linear"}
    state, train = single_judge(tiny, r1=fading, penalty_every=every)
    for expected in (True, False, False):
        values = train_step(state, train, Given(*data[0]))
        assert (values[COLUMNS.index("penalty")] > 0) == expected
        state.step += every  # an update with a penalty


def test_smoothing_is_of_real_labels_alone(tiny: Tiny, data: Any) -> None:
    state, train = single_judge(tiny, label_smoothing=0.1)
    real, latent = data[0]
    with torch.no_grad():
        for parameter in state.discriminator.parameters():
            parameter.mul_(12)  # so that it tells real from fake
        on_real, on_fake = state.discriminator(real), state.discriminator(state.generator(latent))
    assert (on_real.mean() - on_fake.mean()).abs() > 0.01
    expected = binary_cross_entropy_with_logits(on_real, torch.full((8,), 0.9))
    expected = expected + binary_cross_entropy_with_logits(on_fake, torch.zeros(8))
    assert train_step(state, train, Given(real, latent))[1].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_discriminator_has_its_turns_on_pictures_and_latents_of_their_own(tiny: Tiny, data: Any) -> None:
    asked: list[tuple[str, int]] = []

    class Noting(Given):
        def real(self, number: int, rows: slice = ALL) -> torch.Tensor:
            asked.append(("real", number))
            return super().real(number, rows)

        def latents(self, number: int, rows: slice = ALL) -> torch.Tensor:
            asked.append(("latents", number))
            return super().latents(number, rows)

    train = tiny.train(batch=8, discriminator_steps=3)
    state = tiny.state(train)
    steps = {"generator": 0, "discriminator": 0}
    for name, optimizer in (("generator", state.generator_optimizer), ("discriminator", state.discriminator_optimizer)):
        optimizer.register_step_post_hook(lambda *_, name=name: steps.update({name: steps[name] + 1}))
    for _ in range(2):
        train_step(state, train, Noting(*data[0]))
        state.step += 1
    assert steps == {"generator": 2, "discriminator": 6}
    assert asked == [(kind, number) for number in range(6) for kind in ("real", "latents")]


def test_pairs_are_with_other_real_pictures(tiny: Tiny, data: Any) -> None:
    class Apart(Given):
        def opposite(self, number: int, rows: slice = ALL) -> torch.Tensor:
            return -self.real(number, rows)

    state, train = single_judge(tiny, objective="relativistic", lr_discriminator=1e-30)
    real, latent = data[0]
    with torch.no_grad():
        shift = state.discriminator(-real) - state.discriminator(state.generator(latent))
    values = train_step(state, train, Apart(real, latent))
    assert values[0].item() == pytest.approx(torch.nn.functional.softplus(shift).mean().item(), rel=1e-5)
