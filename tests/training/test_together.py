"""Microbatches: what they add up to, that no bit depends on who computes them, and what they cost."""

import hashlib
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from facegan.data.labels import Labels
from facegan.errors import FaceganError
from facegan.sharing import Processes, tree
from facegan.training.draws import Draws
from facegan.training.state import TrainingState
from facegan.training.step import COLUMNS, train_step
from facegan.training.update import Microbatches, refuse_to_share, update
from training.tiny import CPU, Given, Tiny
from training.together import SYSTEMS

TOGETHER = Path(__file__).with_name("together.py")


def test_one_two_and_four_processes_leave_the_same_bytes(tmp_path: Path) -> None:
    """Checkpoint, both networks, history, losses and grids of every network, objective, penalty and option."""
    found = {}
    for count in (1, 2, 4):
        folder = tmp_path / str(count)
        folder.mkdir()
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        subprocess.run([*launch, TOGETHER, folder, ",".join(SYSTEMS)], check=True, timeout=300)
        found[count] = {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith("journal")  # which tells the time
        }
    assert {f"{name}/checkpoint.safetensors" for name in SYSTEMS} <= set(found[1])
    assert found[2] == found[1]
    assert found[4] == found[1]


@given(st.integers(1, 24), st.integers(0, 4), st.integers(0, 1000))
def test_the_sum_is_the_same_however_many_processes_share_it(each: int, power: int, seed: int) -> None:
    """Of microbatches whose sum depends on its order."""
    count = each << power
    leaves = torch.randn((count, 3), generator=torch.Generator().manual_seed(seed)) * 10.0 ** torch.arange(3)

    class Rank(Processes):
        def total(self, vector: torch.Tensor) -> torch.Tensor:
            parts.append(vector)
            return vector

    sums = []
    for processes in (1 << step for step in range(power + 1)):
        parts: list[torch.Tensor] = []
        for rank in range(processes):
            Microbatches(2 * count, 2, Rank(rank, processes)).mean(lambda number: leaves[number].clone())
        assert len(parts) == processes
        sums.append(tree(parts))
    assert all(torch.equal(total, sums[0]) for total in sums)
    torch.testing.assert_close(sums[0], leaves.double().sum(0).float())


@pytest.mark.parametrize("penalty", [{}, {"r1": 1.0, "r2": 0.5}, {"gradient_penalty": 10.0, "penalty_every": 2}])
@pytest.mark.parametrize("network", ["conv", "r3gan"])
def test_microbatches_add_up_to_the_batch(tiny: Tiny, network: str, penalty: dict[str, float]) -> None:
    """Where no layer looks at several pictures, the step is that of the whole batch."""
    parts = {"norm": "none"}, {"norm": "none", "first_norm": False}
    model = tiny.model(network, generator=parts[0], discriminator=parts[1])
    source = torch.Generator().manual_seed(2)
    draws = Given(torch.rand(12, 3, 32, 32, generator=source) * 2 - 1, torch.randn(12, 8, generator=source))
    left: list[TrainingState] = []
    numbers = []
    for size in (12, 4, 2):
        train = tiny.train(batch=12, microbatch=size, **penalty)
        state = tiny.state(train, model)
        numbers.append(train_step(state, train, draws, Microbatches(12, size)))
        left.append(state)
    for state, values in zip(left[1:], numbers[1:], strict=True):
        torch.testing.assert_close(values, numbers[0], rtol=1e-4, atol=1e-6)
        for mine, whole in zip(networks(state), networks(left[0]), strict=True):
            for gradient, expected in zip(gradients(mine), gradients(whole), strict=True):
                torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)


def networks(state: TrainingState) -> tuple[nn.Module, nn.Module]:
    return state.generator, state.discriminator


def gradients(network: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


def test_a_norm_belongs_to_a_microbatch_and_its_statistics_to_all(tiny: Tiny) -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    rows = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)) * 3 + 1
    alone = []
    for part in rows.split(4):
        copied = deepcopy(network)
        copied(part).mean().backward()
        alone.append(copied)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)

    def losses(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        loss = network(rows[4 * number : 4 * number + 4]).mean()
        return loss, loss.detach()[None]

    update(network, optimizer, [network], Microbatches(8, 4), losses)
    for name in ("running_mean", "running_var"):
        expected = sum(getattr(copied[0], name) for copied in alone) / 2
        torch.testing.assert_close(getattr(network[0], name), expected)
    assert network[0].num_batches_tracked == 1  # a step is a step, however it was shared
    for parameter, *parts in zip(network.parameters(), *(copied.parameters() for copied in alone), strict=True):
        torch.testing.assert_close(parameter.grad, sum(part.grad for part in parts) / 2)


def test_the_fakes_of_several_microbatches_move_the_generators_norms_once(tiny: Tiny) -> None:
    train = tiny.train(batch=12, microbatch=4, discriminator_steps=2)
    state = tiny.state(train)
    source = torch.Generator().manual_seed(2)
    draws = Given(torch.rand(12, 3, 32, 32, generator=source) * 2 - 1, torch.randn(12, 8, generator=source))
    train_step(state, train, draws, Microbatches(12, 4))
    moved = {int(norm.num_batches_tracked) for norm in norms(state.generator)}
    assert moved == {2}  # one a turn of the discriminator
    assert {int(norm.num_batches_tracked) for norm in norms(state.discriminator)} == {2 * 2 + 1}


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_every_pass_draws_for_itself_but_fakes_that_are_drawn_again(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds of what dropout and noise inputs draw from: of a microbatch, in the order of the passes."""
    train = tiny.train(batch=8, microbatch=4, r1=1.0, penalty_every=2)
    state = tiny.state(train, tiny.model(discriminator={"norm": "none", "first_norm": False}))
    draws = Draws(tiny.images, Labels.none(len(tiny.images)).table, 8, train, 1, CPU)
    seeds: list[int] = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    train_step(state, train, draws)
    fakes, discriminator = seeds[0:4:2], seeds[1:4:2]
    penalty, again, generator = seeds[4:6], seeds[6:10:2], seeds[7:10:2]
    assert again == fakes
    assert len({*fakes, *discriminator, *penalty, *generator}) == 8
    state.step += 1
    seeds.clear()
    train_step(state, train, draws)
    assert not {*seeds} & {*fakes, *discriminator, *penalty, *generator}


def test_a_step_of_microbatches_is_finite_float32_without_a_graph(tiny: Tiny) -> None:
    train = tiny.train(batch=12, microbatch=4, precision="bf16")
    source = torch.Generator().manual_seed(2)
    draws = Given(torch.rand(12, 3, 32, 32, generator=source) * 2 - 1, torch.randn(12, 8, generator=source))
    numbers = train_step(tiny.state(train), train, draws, Microbatches(12, 4))
    assert numbers.shape == (len(COLUMNS),) and numbers.dtype == torch.float32
    assert numbers.isfinite().all() and not numbers.requires_grad


PEAK = """
import sys, torch
sys.path[:0] = [{tests!r}]
from pathlib import Path
from training.tiny import CPU, Given, Tiny
from facegan.training.step import train_step
from facegan.training.update import Microbatches

def resident(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))

torch.set_num_threads(1)
tiny = Tiny(Path())
train = tiny.train(batch=128)
state = tiny.state(train, tiny.model(channels=16, generator={{"channels": 16}}, discriminator={{"channels": 16}}))
draws = Given(torch.rand(128, 3, 32, 32), torch.randn(128, 8))
train_step(state, train, Given(torch.rand(2, 3, 32, 32), torch.randn(2, 8)), Microbatches(2, 2))
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = resident("VmRSS")
train_step(state, train, draws, Microbatches(128, {size}))
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").is_file(), reason="only Linux tells a peak since a moment")
def test_microbatches_of_an_eighth_take_less_than_a_third_of_the_memory(tmp_path: Path) -> None:
    peaks = []
    for size in (128, 16):
        script = PEAK.format(tests=str(TOGETHER.parents[1]), size=size)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert 0 < peaks[1] < peaks[0] / 3, peaks


@pytest.mark.parametrize(
    ("batch", "microbatch", "processes", "message"),
    [
        (64, None, 3, "3 processes cannot train as one; start 2, 4, 8 or another power of two"),
        (
            64,
            None,
            2,
            "2 processes cannot share 1 microbatch of 64 pictures; set train.microbatch to 32, or start fewer",
        ),
        (64, 16, 8, "8 processes cannot share 4 microbatches of 16 pictures; set train.microbatch to 8"),
        (12, 4, 2, "2 processes cannot share 3 microbatches of 4 pictures; set train.microbatch to 6"),
        (6, 2, 4, "4 processes cannot share 3 microbatches of 2 pictures; set train.batch to a multiple of 8"),
    ],
)
def test_what_cannot_be_shared_is_refused_with_what_can(
    tiny: Tiny, batch: int, microbatch: int | None, processes: int, message: str
) -> None:
    with pytest.raises(FaceganError, match=message):
        refuse_to_share(tiny.train(batch=batch, microbatch=microbatch), processes)


def test_a_batch_smaller_than_a_microbatch_is_one(tiny: Tiny) -> None:
    """So that a recipe's microbatch is not in the way of another batch."""
    assert tiny.train(batch=8, microbatch=64).arithmetic_batch == 8
    with pytest.raises(ValueError, match=r"train.microbatch: 5 should divide train.batch \(8\)"):
        tiny.train(batch=8, microbatch=5)


def test_what_can_be_shared_is_not_refused(tiny: Tiny) -> None:
    for batch, microbatch, processes in ((64, None, 1), (64, 32, 2), (12, 2, 2), (64, 4, 16)):
        refuse_to_share(tiny.train(batch=batch, microbatch=microbatch), processes)
