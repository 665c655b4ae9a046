"""Losses on logits against their textbook forms."""

import math
from collections.abc import Iterable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from facegan.params import TrainParams
from facegan.training.objectives import OBJECTIVES

LOGITS = st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=8)
BCE = OBJECTIVES["bce"]


@given(LOGITS, LOGITS)
def test_bce_is_torchs_binary_cross_entropy_on_logits(real: list[float], fake: list[float]) -> None:
    x, y = torch.tensor(real), torch.tensor(fake)
    ones, zeros = torch.ones(len(real)), torch.zeros(len(fake))
    expected = binary_cross_entropy_with_logits(x, ones) + binary_cross_entropy_with_logits(y, zeros)
    torch.testing.assert_close(BCE.discriminator(x, y), expected, rtol=1e-6, atol=1e-6)
    # Non-saturating: the fakes called real, and not the minus of the discriminator's loss.
    expected = binary_cross_entropy_with_logits(y, torch.ones(len(fake)))
    torch.testing.assert_close(BCE.generator(x, y), expected, rtol=1e-6, atol=1e-6)


@given(LOGITS, LOGITS)
def test_gradients_of_bce_are_torchs(real: list[float], fake: list[float]) -> None:
    def gradients(textbook: bool) -> tuple[torch.Tensor, ...]:
        x, y = torch.tensor(real, requires_grad=True), torch.tensor(fake, requires_grad=True)
        if textbook:
            loss = binary_cross_entropy_with_logits(x, torch.ones(len(real)))
            loss = loss + binary_cross_entropy_with_logits(y, torch.zeros(len(fake)))
        else:
            loss = BCE.discriminator(x, y)
        return torch.autograd.grad(loss, (x, y))

    for ours, theirs in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)  # torch subtracts from 1


@pytest.mark.parametrize("logit", [20.0, 30.0, 80.0])
def test_bce_still_teaches_where_probabilities_have_saturated(logit: float) -> None:
    sure = torch.tensor([logit], requires_grad=True)
    (textbook,) = torch.autograd.grad(binary_cross_entropy(sure.sigmoid(), torch.zeros(1)), sure)
    assert textbook == 0  # why losses are written on logits
    (slope,) = torch.autograd.grad(BCE.discriminator(torch.zeros(1), sure), sure)  # sure of a fake
    assert slope == pytest.approx(1)
    missed = torch.tensor([-logit], requires_grad=True)
    (slope,) = torch.autograd.grad(BCE.discriminator(missed, torch.zeros(1)), missed)  # missed a real one
    assert slope == pytest.approx(-1)
    (slope,) = torch.autograd.grad(BCE.generator(missed, missed), missed)  # the generator is found out
    assert slope == pytest.approx(-1)


def test_every_objective_that_parameters_allow_is_there() -> None:
    assert set(OBJECTIVES) == set(TrainParams.model_fields["objective"].annotation.__args__)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_is_a_scalar_whatever_the_batch(name: str) -> None:
    objective = OBJECTIVES[name]
    for count in (1, 7):
        assert objective.discriminator(torch.randn(count), torch.randn(count)).shape == ()
        assert objective.generator(torch.randn(count), torch.randn(count)).shape == ()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_is_least_when_its_player_wins(name: str) -> None:
    objective, high, low = OBJECTIVES[name], torch.full((4,), 1.0), torch.full((4,), 0.0)
    assert objective.discriminator(high, low) < objective.discriminator(low, high)
    assert objective.generator(low, high) < objective.generator(high, low)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_only_pairing_objectives_look_at_real_pictures_for_the_generator(name: str) -> None:
    fake, real = torch.randn(5), [torch.zeros(5), torch.ones(5)]
    losses = [OBJECTIVES[name].generator(some, fake) for some in real]
    assert (losses[0] != losses[1]) == OBJECTIVES[name].pairs


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_bounded_loss_is_nothing_once_the_discriminator_has_won(name: str) -> None:
    won = 1.0 if name == "least-squares" else 50.0
    lost = 0.0 if name == "least-squares" else -50.0
    loss = OBJECTIVES[name].discriminator(torch.full((3,), won), torch.full((3,), lost))
    assert (loss.abs() < 1e-6) == OBJECTIVES[name].bounded


@given(LOGITS, LOGITS)
def test_formulas_are_those_of_the_papers(first: list[float], second: list[float]) -> None:
    count = min(len(first), len(second))
    x, y = first[:count], second[:count]

    def mean(values: Iterable[float]) -> float:
        return sum(values) / count

    def softplus(value: float) -> float:
        return max(value, 0.0) + math.log1p(math.exp(-abs(value)))

    expected = {
        "hinge": (mean(max(0.0, 1 - a) for a in x) + mean(max(0.0, 1 + b) for b in y), -mean(y)),
        "wasserstein": (mean(y) - mean(x), -mean(y)),
        "least-squares": (mean((a - 1) ** 2 for a in x) + mean(b**2 for b in y), mean((b - 1) ** 2 for b in y)),
        "relativistic": (
            mean(softplus(-(a - b)) for a, b in zip(x, y, strict=True)),
            mean(softplus(-(b - a)) for a, b in zip(x, y, strict=True)),
        ),
    }
    real, fake = torch.tensor(x), torch.tensor(y)
    for name, (discriminator, generator) in expected.items():
        assert OBJECTIVES[name].discriminator(real, fake).item() == pytest.approx(discriminator, rel=1e-4, abs=1e-4)
        assert OBJECTIVES[name].generator(real, fake).item() == pytest.approx(generator, rel=1e-4, abs=1e-4)
