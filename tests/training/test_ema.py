"""The average of the generator forgets by half in a half-life, and its norms are its own."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from facegan.networks import build_generator, initialise
from facegan.training import ema
from training.tiny import Tiny


def generator(tiny: Tiny, seed: int = 1) -> nn.Module:
    network = build_generator(tiny.model(), 32)
    initialise(network, tiny.model(), seed, "any")
    return network


@settings(max_examples=30)
@given(st.integers(2, 512), st.floats(0.01, 100))
def test_half_of_the_past_is_left_after_a_half_life(batch: int, half_life_kimg: float) -> None:
    steps = half_life_kimg * 1000 / batch
    assert ema.decay(batch, half_life_kimg) ** steps == pytest.approx(0.5)


def test_the_average_is_half_way_after_a_half_life() -> None:
    average, network = nn.Linear(3, 2), nn.Linear(3, 2)
    start = deepcopy(average)
    for _ in range(25):  # of 40 images: one kimg
        ema.update(average, network, ema.decay(40, 1.0))
    for now, before, after in zip(average.parameters(), start.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(now, (before + after) / 2, rtol=1e-5, atol=1e-6)


def test_a_half_life_of_zero_is_the_network_itself() -> None:
    average, network = nn.Linear(3, 2), nn.Linear(3, 2)
    ema.update(average, network, ema.decay(64, 0.0))
    for now, expected in zip(average.parameters(), network.parameters(), strict=True):
        assert torch.equal(now, expected)


def test_an_update_leaves_buffers_and_the_network_alone(tiny: Tiny) -> None:
    average, network = generator(tiny), generator(tiny, 2)
    network.train()(tiny.latents)  # its statistics move
    before, buffers = deepcopy(network.state_dict()), deepcopy(dict(average.named_buffers()))
    ema.update(average, network, 0.5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(torch.equal(value, buffers[name]) for name, value in average.named_buffers())


def test_norms_hold_the_statistics_of_the_batches_they_were_given(tiny: Tiny) -> None:
    network = generator(tiny)
    batches = [torch.randn(16, 8) * scale for scale in (1.0, 2.0, 0.5)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    means: dict[nn.Module, list[torch.Tensor]] = {norm: [] for norm in norms}
    variances: dict[nn.Module, list[torch.Tensor]] = {norm: [] for norm in norms}

    def note(norm: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        means[norm].append(inputs[0].mean((0, 2, 3)))
        variances[norm].append(inputs[0].var((0, 2, 3), correction=1))

    hooks = [norm.register_forward_hook(note) for norm in norms]
    ema.reestimate_norms(network, ((batch,) for batch in batches))
    for hook in hooks:
        hook.remove()
    for norm in norms:
        assert len(means[norm]) == 3
        torch.testing.assert_close(norm.running_mean, torch.stack(means[norm]).mean(0), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(norm.running_var, torch.stack(variances[norm]).mean(0), rtol=1e-5, atol=1e-6)


def test_reestimated_norms_draw_the_pictures_of_batch_statistics(tiny: Tiny) -> None:
    network, latent = generator(tiny), torch.randn(64, 8)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)  # statistics gathered with other weights are wrong ones
        before = network.eval()(latent)
        in_training = deepcopy(network).train()(latent)
        ema.reestimate_norms(network, [(latent,)])
        after = network(latent)
    assert (before - in_training).abs().max() > 0.1
    torch.testing.assert_close(after, in_training, rtol=0, atol=1e-2)  # N-1 against N


def test_reestimating_forgets_what_was_there(tiny: Tiny) -> None:
    fresh, used = generator(tiny), generator(tiny)
    for _ in range(3):
        used.train()(torch.randn(8, 8) * 5)
    for network in (fresh, used, used):  # and may be done again
        ema.reestimate_norms(network, [(tiny.latents,)])
    assert all(torch.equal(value, used.state_dict()[name]) for name, value in fresh.state_dict().items())


def test_reestimating_leaves_eval_mode_and_usual_momenta(tiny: Tiny) -> None:
    network = generator(tiny).train()
    ema.reestimate_norms(network, [(tiny.latents,)])
    assert not any(module.training for module in network.modules())
    assert {module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}


@pytest.mark.parametrize("build", [lambda: nn.Linear(8, 2), lambda: nn.Sequential(nn.Dropout(), nn.Linear(8, 2))])
def test_a_network_without_norms_is_only_put_into_eval_mode(build: Callable[[], nn.Module]) -> None:
    network = build()
    before = deepcopy(network.state_dict())
    ema.reestimate_norms(network, iter(()))
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_reestimating_changes_no_parameter_and_makes_no_gradient(tiny: Tiny) -> None:
    network = generator(tiny)
    before = deepcopy(dict(network.named_parameters()))
    ema.reestimate_norms(network, [(tiny.latents,)])
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())
    assert all(value.grad is None for value in network.parameters())
