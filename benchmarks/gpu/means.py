"""What could make a step faster on a GPU, one means at a time: kept in the product only if it pays here.

A step asks for its random numbers and picture indices one tensor after the other, through ``draws.upload``. That the
sequence of shapes is the same for every step of one kind is what both means below rest on: ``Tape`` records what some
steps ask for, uploads all of it at once, and gives it back without a copy from the host. The rates are upper bounds:
what is played was drawn before the clock started.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.gpu.bench import Bench, Item, Row
from benchmarks.gpu.speed import CONTENDERS, FEW, Contender, Runner, products
from facegan.data.batches import to_network
from facegan.randomness import derived_seed
from facegan.training import draws, step
from facegan.training.state import TrainingState

AHEAD = 32  # steps whose inputs are uploaded at once
CHOSEN = (CONTENDERS[0], CONTENDERS[2], CONTENDERS[3])


def items(bench: Bench) -> list[Item]:
    measured: list[tuple[str, float, Callable[[Contender, Bench], Iterator[Row]]]] = [
        ("upload by tick", 12.0, _upload_by_tick),
        ("channels first", 10.0, _channels_first),
        ("CUDA graph", 20.0, _graph),
        ("compiled", 60.0, _compiled),
    ]
    if bench.device.type != "cuda":
        measured = measured[:2]
    chosen = FEW[:1] if bench.tiny else CHOSEN
    return [
        Item("means", f"{name}: {each.name}", seconds, partial(measure, each))
        for name, seconds, measure in measured
        for each in chosen
    ]


class Tape:
    """Stands for ``draws.upload``: records the tensors that steps ask for, then plays them from the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.recorded: list[list[torch.Tensor]] = []  # by step, on the CPU
        self.static: list[torch.Tensor] = []  # what a captured step reads
        self._played = 0

    def record(self, steps: int, one_step: Callable[[], object]) -> None:
        """Inputs of ``steps`` steps, which are taken."""
        for _ in range(steps):
            asked: list[torch.Tensor] = []

            def remember(tensor: torch.Tensor, device: torch.device, asked: list[torch.Tensor] = asked) -> torch.Tensor:
                asked.append(tensor)
                return tensor.to(device)

            with patch.object(draws, "upload", remember):
                one_step()
            self.recorded.append(asked)
        self._stacks = [torch.stack(parts) for parts in zip(*self.recorded, strict=True)]
        if self.device.type == "cuda":
            self._stacks = [stack.pin_memory().to(self.device, non_blocking=True) for stack in self._stacks]
        self.static = [stack[0].clone() for stack in self._stacks]

    def place(self, number: int) -> None:
        """Make the inputs of recorded step ``number`` those that are played next."""
        torch._foreach_copy_(self.static, [stack[number % len(stack)] for stack in self._stacks])
        self._played = 0

    @contextmanager
    def playing(self) -> Iterator[None]:
        def next_one(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
            self._played += 1
            return self.static[(self._played - 1) % len(self.static)]

        with patch.object(draws, "upload", next_one):
            yield


def _recorded(runner: Runner, bench: Bench) -> Tape:
    """A tape of the first ``AHEAD`` steps; the runner's state is as it was."""
    tape = Tape(bench.device)
    before = _copied(runner.state)

    def one_step() -> None:
        step.train_step(runner.state, runner.training.train, runner.training.draws)
        runner.state.step += 1

    tape.record(2 if bench.tiny else AHEAD, one_step)
    runner.state = before
    return tape


def _copied(state: TrainingState) -> TrainingState:
    copied = copy.copy(state)
    networks = copy.deepcopy((state.generator, state.discriminator, state.average))
    copied.generator, copied.discriminator, copied.average = networks
    for name, network in (("generator_optimizer", networks[0]), ("discriminator_optimizer", networks[1])):
        old = getattr(state, name)
        new = type(old)(network.parameters(), **{k: v for k, v in old.defaults.items() if k != "differentiable"})
        new.load_state_dict(copy.deepcopy(old.state_dict()))
        setattr(copied, name, new)
    return copied


def _upload_by_tick(contender: Contender, bench: Bench) -> Iterator[Row]:
    """One upload for many steps instead of several small ones in each."""
    with products(contender.precision):
        runner = Runner(contender.params(bench.tiny), bench)
        tape = _recorded(runner, bench)
        usual = runner.rates()
        with tape.playing():
            number = 0

            def one_step(state: TrainingState) -> None:
                nonlocal number
                tape.place(number)
                number += 1
                step.train_step(state, runner.training.train, runner.training.draws)
                state.step += 1

            with patch.object(runner.training, "step", one_step):
                rates = runner.rates()
        yield _row(usual, rates)


def _channels_first(contender: Contender, bench: Bench) -> Iterator[Row]:
    with products(contender.precision):
        usual = Runner(contender.params(bench.tiny), bench)
        other = Runner(contender.params(bench.tiny), bench)
        for network in (other.state.generator, other.state.discriminator, other.state.average):
            network.to(memory_format=torch.contiguous_format)
        rates = usual.rates()
        with patch.object(draws, "to_network", lambda images: to_network(images).contiguous()):
            yield _row(rates, other.rates())


def _graph(contender: Contender, bench: Bench) -> Iterator[Row]:
    """A whole step as a CUDA graph, checked against eager steps to the bit.

    Of a lazy penalty's two kinds of steps, the one without is captured.
    """
    with products(contender.precision):
        runner = Runner(contender.params(bench.tiny), bench)
        runner.steps(runner.every)
        with _Captured(runner, bench) as captured:
            exact = captured.is_exact()
            usual, rates = captured.rates(captured.eager), captured.rates(captured.graph.replay)
        yield _row(usual, rates) | {"same_bits": exact, "without_penalty": runner.every > 1}


class _Captured:
    """One step of a training, eager and as a graph, on the inputs of a tape."""

    def __init__(self, runner: Runner, bench: Bench) -> None:
        self.runner, self.bench, self.training = runner, bench, runner.training
        runner.state.step = 1 + runner.state.step // runner.every * runner.every  # one without a lazy penalty
        self.tape = Tape(bench.device)
        saved = _copied(runner.state)

        def one_step() -> None:
            step.train_step(runner.state, self.training.train, self.training.draws)
            runner.state.step += runner.every

        self.tape.record(2, one_step)
        self.state = runner.state = saved
        for optimizer in (self.state.generator_optimizer, self.state.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["capturable"] = True
                group["lr"] = torch.tensor(float(group["lr"]), device=bench.device)
        self.seed = derived_seed(self.training.seed, "inside", self.state.step)
        self.losses = torch.zeros(len(step.COLUMNS), device=bench.device)
        self.graph = torch.cuda.CUDAGraph()

    def __enter__(self) -> "_Captured":
        @contextmanager
        def left_alone(self: object) -> Iterator[None]:
            yield

        with ExitStack() as stack:
            stack.enter_context(self.tape.playing())
            stack.enter_context(patch.object(step, "set_rate", lambda *_: None))  # rates are tensors already
            # A capture may not seed: the default generator is seeded before each step instead.
            stack.enter_context(patch.object(draws.Draws, "inside_networks", left_alone))
            stack.enter_context(patch.object(draws.Draws, "seed_networks", lambda *_: None))
            self._warm_up()
            self.start = [value.clone() for value in _tensors(self.state)]
            self.tape.place(0)
            with torch.cuda.graph(self.graph):
                self.eager()
            self._patches = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    def eager(self) -> None:
        self.losses.copy_(step.train_step(self.state, self.training.train, self.training.draws))

    def _warm_up(self) -> None:
        """A few steps on another stream, as PyTorch asks for before a capture."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for number in range(3):
                self._ready(number)
                self.eager()
        torch.cuda.current_stream().wait_stream(side)

    def _ready(self, number: int) -> None:
        self.tape.place(number)
        torch.cuda.manual_seed(self.seed)

    def is_exact(self) -> bool:
        """Whether two replays leave the bits of two eager steps from the same state."""
        eager, replayed = (self._after_two(run) for run in (self.eager, self.graph.replay))
        return all(torch.equal(a, b) for a, b in zip(eager, replayed, strict=True))

    def _after_two(self, run: Callable[[], None]) -> list[torch.Tensor]:
        with torch.no_grad():
            for value, kept in zip(_tensors(self.state), self.start, strict=True):
                value.copy_(kept)
        for number in range(2):
            self._ready(number)
            run()
        self.bench.synchronize()
        return [value.clone() for value in _tensors(self.state)]

    def rates(self, run: Callable[[], None]) -> list[float]:
        """Images a second of steps without a lazy penalty, three times."""
        steps = max(2, round(0.5 / self._seconds(run, 2) * 2))
        return [steps * self.training.per_step / self._seconds(run, steps) for _ in range(3)]

    def _seconds(self, run: Callable[[], None], steps: int) -> float:
        self.bench.synchronize()
        began = time.perf_counter()
        for number in range(steps):
            self._ready(number)
            run()
        self.bench.synchronize()
        return time.perf_counter() - began


def _tensors(state: TrainingState) -> list[torch.Tensor]:
    found = [
        value
        for network in (state.generator, state.discriminator, state.average)
        for value in network.state_dict().values()
    ]
    for optimizer in (state.generator_optimizer, state.discriminator_optimizer):
        found += [value for moments in optimizer.state.values() for value in moments.values()]
    return found


def _compiled(contender: Contender, bench: Bench) -> Iterator[Row]:
    """`torch.compile` of both networks; double backward cannot be compiled, so a penalty's update stays eager."""
    with products(contender.precision):
        runner = Runner(contender.params(bench.tiny), bench)
        if runner.training.train.penalised:
            yield {"skipped": "its penalty is differentiated twice, which torch.compile cannot do"}
            return
        usual = runner.rates()
        began = time.perf_counter()
        for network in (runner.state.generator, runner.state.discriminator):
            network.compile(dynamic=False)
        runner.steps(2)
        seconds = time.perf_counter() - began
        yield _row(usual, runner.rates()) | {"compiling_took": seconds}


def _row(usual: list[float], changed: list[float]) -> dict[str, Any]:
    before, after = statistics.median(usual), statistics.median(changed)
    return {"usual": before, "images_per_second": after, "times_usual": after / before}
