"""The checkpoint holds a training to the bit, and refuses what is not its own."""

import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from facegan.networks import build_discriminator, build_generator, initialise
from facegan.training.judge import Judgement
from facegan.training.state import TrainingState, portable, weights
from facegan.training.step import train_step
from training.tiny import Given, Tiny


def steps(tiny: Tiny, state: TrainingState, count: int, seed: int = 0) -> TrainingState:
    """Train a little, so that no tensor is at its start."""
    source = torch.Generator().manual_seed(seed)
    for _ in range(count):
        real = torch.rand(4, 3, 32, 32, generator=source) * 2 - 1
        losses = train_step(state, tiny.train(), Given(real, torch.randn(4, 8, generator=source)))
        state.losses[state.step % 3] = losses
        state.step += 1
    return state


def tensors(state: TrainingState) -> dict[str, torch.Tensor]:
    """Everything that a state holds, by a name of the test's own."""
    found = {"losses": state.losses}
    for name in ("generator", "discriminator", "average"):
        network = getattr(state, name)
        found |= {f"{name}/{key}": value for key, value in network.named_parameters()}
        found |= {f"{name}/{key}": value for key, value in network.named_buffers()}
        if name == "average":
            continue
        optimizer = getattr(state, f"{name}_optimizer")
        for key, parameter in network.named_parameters():
            for moment, value in optimizer.state[parameter].items():
                found[f"{name}/adam/{key}/{moment}"] = value
    found |= {f"best/{key}": value for key, value in (state.best_weights or {}).items()}
    return found


@pytest.fixture
def trained(tiny: Tiny) -> TrainingState:
    state = steps(tiny, tiny.state(), 2)
    state.best, state.best_images, state.best_weights = Judgement(0.1 + 0.2, 0.1), 4, weights(state.average)
    state.last = Judgement(0.7)
    return steps(tiny, state, 2, seed=1)


def test_a_checkpoint_is_read_back_to_the_bit(tiny: Tiny, trained: TrainingState, tmp_path: Path) -> None:
    trained.save(tmp_path / "checkpoint")
    read = tiny.state(seed=2)
    read.load(tmp_path / "checkpoint")
    expected, found = tensors(trained), tensors(read)
    assert sorted(found) == sorted(expected)
    assert sum("/exp_avg_sq" in name for name in expected) == sum("/exp_avg_sq" in name for name in found) > 10
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
        assert found[name].dtype == value.dtype, name
        if not name.startswith("best/"):
            assert found[name].stride() == value.stride(), f"{name} lies in memory in another order"
    assert (read.step, read.best, read.best_images, read.last) == (4, Judgement(0.1 + 0.2, 0.1), 4, Judgement(0.7))


def test_training_goes_on_from_a_checkpoint_as_if_nothing_had_been(
    tiny: Tiny, trained: TrainingState, tmp_path: Path
) -> None:
    trained.save(tmp_path / "checkpoint")
    read = tiny.state(seed=2)
    read.load(tmp_path / "checkpoint")
    expected = tensors(steps(tiny, trained, 3, seed=5))
    for name, value in tensors(steps(tiny, read, 3, seed=5)).items():
        assert torch.equal(value, expected[name]), name


def test_the_same_state_is_the_same_bytes(tiny: Tiny, trained: TrainingState, tmp_path: Path) -> None:
    trained.save(tmp_path / "a")
    trained.save(tmp_path / "another-name")
    read = tiny.state(seed=2)
    read.load(tmp_path / "a")
    read.save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "another-name").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_another_state_is_other_bytes(tiny: Tiny, trained: TrainingState, tmp_path: Path) -> None:
    trained.save(tmp_path / "a")
    before = (tmp_path / "a").read_bytes()
    optimizer_state = trained.generator_optimizer.state[next(trained.generator.parameters())]
    optimizer_state["exp_avg_sq"][0, 0, 0, 0] += 1e-3
    trained.save(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() != before


def test_saving_changes_nothing(trained: TrainingState, tmp_path: Path) -> None:
    before = deepcopy(tensors(trained))
    trained.save(tmp_path / "a")
    assert all(torch.equal(value, before[name]) for name, value in tensors(trained).items())


def test_a_checkpoint_of_an_untrained_state_is_read_back(tiny: Tiny, tmp_path: Path) -> None:
    state = tiny.state()
    state.save(tmp_path / "a")
    read = tiny.state(seed=2)
    read.load(tmp_path / "a")
    assert (read.step, read.best, read.last, read.best_weights) == (0, None, None, None)
    assert all(torch.equal(value, tensors(state)[name]) for name, value in tensors(read).items())


def test_a_checkpoint_cut_short_anywhere_is_refused(tiny: Tiny, trained: TrainingState, tmp_path: Path) -> None:
    trained.save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for length in (0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cut"):
            tiny.state().load(tmp_path / "cut")
    (tmp_path / "cut").write_bytes(whole)
    tiny.state().load(tmp_path / "cut")


@pytest.mark.parametrize("content", [b"\0" * 4096, b"PK\x03\x04 not this", b"{}"])
def test_a_file_that_is_no_checkpoint_is_refused(tiny: Tiny, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ValueError, match="other"):
        tiny.state().load(tmp_path / "other")


def test_a_checkpoint_of_another_architecture_is_refused(tiny: Tiny, trained: TrainingState, tmp_path: Path) -> None:
    trained.save(tmp_path / "small")
    for model in (
        tiny.model(channels=8),
        tiny.model(latent=9),
        tiny.model(discriminator={"first_norm": False}),
    ):
        with pytest.raises(ValueError, match="small cannot be used"):
            tiny.state(model=model).load(tmp_path / "small")


def test_a_failed_save_leaves_the_old_checkpoint(
    trained: TrainingState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint"
    trained.save(path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facegan.files.os.fsync", full)
    trained.step += 1
    with pytest.raises(OSError, match="No space"):
        trained.save(path)
    assert path.read_bytes() == before


def test_a_checkpoint_is_no_pickle_and_holds_no_path(trained: TrainingState, tmp_path: Path) -> None:
    trained.save(tmp_path / "a")
    with safe_open(tmp_path / "a", "pt") as file:
        assert "generator.layers.0.weight" in file.keys()  # noqa: SIM118 - not a dict
    content = (tmp_path / "a").read_bytes()
    assert str(tmp_path).encode() not in content
    assert sys.prefix.encode() not in content


def test_the_start_is_a_function_of_the_parameters_alone(tiny: Tiny) -> None:
    torch.manual_seed(1)
    first = tensors(tiny.state())
    torch.manual_seed(2)
    assert all(torch.equal(value, first[name]) for name, value in tensors(tiny.state()).items())
    other = tensors(tiny.state(seed=2))
    for name in ("generator/layers.0.weight", "discriminator/layers.0.weight"):
        assert not torch.equal(first[name], other[name])


def test_the_start_is_the_promised_one(tiny: Tiny) -> None:
    state = tiny.state(seed=7)
    generator, discriminator = build_generator(tiny.model(), 32), build_discriminator(tiny.model(), 32)
    initialise(generator, tiny.model(), 7, "generator")
    initialise(discriminator, tiny.model(), 7, "discriminator")
    for network, expected in (
        (state.generator, generator),
        (state.average, generator),
        (state.discriminator, discriminator),
    ):
        assert all(torch.equal(value, expected.state_dict()[name]) for name, value in network.state_dict().items())
    assert not state.average.training
    assert not any(parameter.requires_grad for parameter in state.average.parameters())
    assert state.step == 0
    assert state.best_weights is None


def test_adam_has_the_settings_of_the_parameters(tiny: Tiny) -> None:
    betas = {"beta1_generator": 0.25, "beta2_generator": 0.75, "beta1_discriminator": 0.1, "beta2_discriminator": 0.9}
    train = tiny.train(lr_generator=3e-4, lr_discriminator=5e-4, **betas)
    state = tiny.state(train)
    train_step(state, train, Given(torch.rand(4, 3, 32, 32), torch.randn(4, 8)))
    for optimizer, network, rate, expected in (
        (state.generator_optimizer, state.generator, 3e-4, (0.25, 0.75)),
        (state.discriminator_optimizer, state.discriminator, 5e-4, (0.1, 0.9)),
    ):
        assert type(optimizer) is torch.optim.Adam
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"], group["eps"]) == (rate, expected, 1e-8)
        assert not group["weight_decay"]
        assert not group["amsgrad"]
        assert [id(value) for value in group["params"]] == [id(value) for value in network.parameters()]


def test_weights_are_a_copy(tiny: Tiny) -> None:
    state = tiny.state()
    copy = weights(state.average)
    before = deepcopy(copy)
    with torch.no_grad():
        for value in state.average.state_dict().values():
            value.add_(1)
    assert copy
    assert all(torch.equal(value, before[name]) for name, value in copy.items())
    assert all(value.is_contiguous() for value in copy.values())


def test_portable_tensors_are_contiguous_and_equal(tiny: Tiny) -> None:
    given = dict(tiny.state().generator.state_dict())
    assert not all(value.is_contiguous() for value in given.values())  # channels last
    for name, value in portable(given).items():
        assert value.is_contiguous()
        assert value.device.type == "cpu"
        assert torch.equal(value, given[name])
