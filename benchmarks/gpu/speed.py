"""How fast: images a second against the plain loop and against what matrix products allow, and where the time goes."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks import overhead, pictures
from benchmarks.gpu.bench import Bench, Item, Row
from benchmarks.gpu.recipes import build_engine, load_recipe, noise_pictures, start_state
from benchmarks.plain import PlainLoop
from facegan.params import Params
from facegan.training.state import TrainingState

SECONDS = 2.0  # of a measurement
ROUNDS = 3
BEFORE = ("r3gan-64", "stylegan2-64")  # recipes whose step is held against an earlier revision's


@dataclass(frozen=True)
class Contender:
    """A recipe at a size, batch and precision; "tf32" is fp32 with TF32 products."""

    recipe: str
    size: int
    batch: int
    precision: str

    @property
    def name(self) -> str:
        return f"{self.recipe} {self.size}px batch {self.batch} {self.precision}"

    def params(self, tiny: bool) -> Params:
        params = load_recipe(self.recipe, tiny)
        update: Row = {"precision": "bf16" if self.precision == "bf16" else "fp32"}
        if tiny:
            return params.model_copy(update={"train": params.train.model_copy(update=update)})
        train = params.train.model_copy(update=update | {"batch": self.batch, "microbatch": None})
        preprocess = params.preprocess.model_copy(update={"size": self.size})
        return params.model_copy(update={"train": train, "preprocess": preprocess})


CONTENDERS = (
    Contender("conv-64", 64, 256, "bf16"),
    Contender("conv-64", 64, 256, "tf32"),
    Contender("stylegan2-64", 64, 256, "bf16"),
    Contender("r3gan-64", 64, 256, "bf16"),
    Contender("r3gan-64", 64, 256, "tf32"),
    Contender("stylegan2-64", 64, 256, "tf32"),
    Contender("conv-64", 128, 128, "bf16"),
    Contender("conv-64", 256, 64, "bf16"),
    Contender("stylegan2-64", 128, 64, "bf16"),
    Contender("r3gan-64", 128, 64, "bf16"),
    Contender("stylegan2-64", 256, 32, "bf16"),
    Contender("r3gan-64", 256, 16, "bf16"),
    Contender("conv-64", 64, 256, "fp32"),
)
FEW = CONTENDERS[:1] + CONTENDERS[3:4]


def items(bench: Bench) -> list[Item]:
    contenders = FEW if bench.tiny else CONTENDERS
    found = [Item("speed", "limit", 6.0, _limit), Item("speed", "plain", 20.0, _against_plain)]
    found += [Item("speed", f"profile {each.name}", 12.0, partial(_profile, each)) for each in contenders[:4]]
    found += [Item("speed", each.name, 10.0, partial(_rate, each)) for each in contenders]
    found.append(Item("speed", "overhead", 15.0, _overhead))
    if bench.before is not None:
        found += [Item("speed", f"before {name}", 40.0, partial(_before, name)) for name in BEFORE]
    return found


@contextmanager
def products(precision: str) -> Iterator[None]:
    """TF32 in products of fp32 numbers, if asked for."""
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def limits(bench: Bench) -> dict[str, float]:
    """TFLOP/s of the best of some large matrix products, and of some convolutions, for each precision."""
    side, channels, count = (64, 8, 2) if bench.tiny else (8192, 512, 64)
    found = {}
    for precision, dtype in (("bf16", torch.bfloat16), ("tf32", torch.float32), ("fp32", torch.float32)):
        with products(precision):
            a, b = (torch.randn(side, side, device=bench.device).to(dtype) for _ in range(2))
            found[precision] = 2 * side**3 / _best(lambda a=a, b=b: a @ b, bench) / 1e12
            layers = torch.randn(count, channels, 32, 32, device=bench.device).to(
                dtype, memory_format=torch.channels_last
            )
            kernel = torch.randn(channels, channels, 3, 3, device=bench.device)
            kernel = kernel.to(dtype, memory_format=torch.channels_last)
            seconds = _best(lambda x=layers, k=kernel: torch.nn.functional.conv2d(x, k, padding=1), bench)
            found[f"{precision} convolution"] = 2 * layers.numel() * channels * 9 / seconds / 1e12
    return found


def _best(work: Callable[[], object], bench: Bench) -> float:
    """Seconds of the fastest of a few calls, each of ten in a row."""
    best = float("inf")
    for _ in range(4):
        bench.synchronize()
        began = time.perf_counter()
        for _ in range(10):
            work()
        bench.synchronize()
        best = min(best, (time.perf_counter() - began) / 10)
    return best


class Runner:
    """The product's step on pictures that are on the device, timed from synchronisation to synchronisation."""

    def __init__(self, params: Params, bench: Bench) -> None:
        self.bench = bench
        images = noise_pictures(params, 256 if bench.tiny else 4096)
        self.training = build_engine(params, images, bench.device)
        self.state: TrainingState = start_state(params, bench.device, self.training.plan.steps_per_tick)
        self.every = max(1, params.train.penalty_every) if params.train.penalised else 1

    def steps(self, count: int) -> float:
        """Seconds that ``count`` steps take."""
        self.bench.synchronize()
        began = time.perf_counter()
        for _ in range(count):
            self.training.step(self.state)
        self.bench.synchronize()
        return time.perf_counter() - began

    def rates(self, rounds: int = ROUNDS, seconds: float = SECONDS) -> list[float]:
        """Images a second, over whole rounds of a lazy penalty."""
        self.steps(self.every)  # warm
        one = self.steps(self.every) / self.every
        few = 0.05 if self.bench.tiny else seconds / rounds
        count = self.every * max(1, round(few / one / self.every))
        return [count * self.training.per_step / self.steps(count) for _ in range(rounds)]

    def flops_per_image(self) -> float:
        """Of products and convolutions, all passes together."""
        with _Flops() as counter:
            for _ in range(self.every):
                self.training.step(self.state)
        return counter.total / (self.every * self.training.per_step)


class _Flops(TorchDispatchMode):
    """PyTorch's own counts; its FlopCounterMode follows modules too, which double backward does not allow."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func.overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def _limit(bench: Bench) -> Iterator[Row]:
    yield {"tflops": limits(bench)}


def _rate(contender: Contender, bench: Bench) -> Iterator[Row]:
    limit = limits(bench)[contender.precision]
    with products(contender.precision):
        params = contender.params(bench.tiny)
        runner = Runner(params, bench)
        flops = runner.flops_per_image()
        rates = runner.rates()
        rate = statistics.median(rates)
        yield {
            "images_per_second": rate,
            "rates": rates,
            "gflop_per_image": flops / 1e9,
            "of_matrix_limit": rate * flops / (limit * 1e12),
            "penalty_in_fp32": params.train.penalised,  # whatever the precision of the rest
        }


def _against_plain(bench: Bench) -> Iterator[Row]:
    """`conv-64` in bf16 and the tutorial's loop, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        count, batch = (64, 8) if bench.tiny else (21_000, 256)  # an epoch for all rounds: workers start once
        pictures.jpeg_folder(Path(folder, "jpeg"), count, None)
        torch.use_deterministic_algorithms(False)
        plain = PlainLoop(Path(folder, "jpeg"), batch, bench.device, 4 if bench.tiny else 64, 2 if bench.tiny else 14)
        runner = Runner(CONTENDERS[0].params(bench.tiny), bench)
        rates: dict[str, list[float]] = {"plain": [], "ours": []}
        for _ in range(1 if bench.tiny else ROUNDS):
            with products("tf32"):  # in convolutions, as PyTorch does unless told otherwise
                plain.run(2)
                rates["plain"].append(plain.run(2 if bench.tiny else 25))
            torch.use_deterministic_algorithms(True)
            rates["ours"] += runner.rates(1, 1.0)
            torch.use_deterministic_algorithms(False)
        medians = {name: statistics.median(values) for name, values in rates.items()}
        yield {
            "rates": rates,
            "plain_images_per_second": medians["plain"],
            "times_plain": medians["ours"] / medians["plain"],
        }


def _profile(contender: Contender, bench: Bench) -> Iterator[Row]:
    """Kernels a step, how long the device waits between them, copies, and the kernels that take longest."""
    gpu = bench.device.type == "cuda"
    with products(contender.precision):
        runner = Runner(contender.params(bench.tiny), bench)
        runner.steps(2 * runner.every)
        steps = runner.every * max(1, 10 // runner.every)
        with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as recorded:
            seconds = runner.steps(steps)
        averages = recorded.key_averages()
        times = {event.key: event.self_device_time_total if gpu else event.self_cpu_time_total for event in averages}
        counts = {event.key: event.count for event in averages}
        moved = [key for key in counts if times[key] > 0 and ("memcpy" in key.lower() or "memset" in key.lower())]
        kernels = [key for key in counts if times[key] > 0 and key not in moved]
        busy = sum(times.values()) / 1e6
        longest = sorted(kernels, key=lambda key: -times[key])[:15]
        yield {
            "kernels_per_step": sum(counts[key] for key in kernels) / steps,
            "copies_per_step": sum(counts[key] for key in moved) / steps,
            "milliseconds_per_step": 1000 * seconds / steps,
            "busy": busy / seconds,
            "longest": [[key[:90], counts[key] / steps, round(times[key] / steps, 1)] for key in longest],
        }


def _overhead(bench: Bench) -> Iterator[Row]:
    overhead.measure(bench.device, 0.1)  # CUDA's start is not counted
    for what, measured, aim in overhead.measure(bench.device, 0.1 if bench.tiny else 60):
        yield {"what": what, "measured": measured, "aim": aim}


_EARLIER = """
import json, sys, tempfile, time
from pathlib import Path
import torch
from benchmarks.training import Ours
from facegan.repository.recipes import recipe
from facegan.repository.yaml_file import text
from facegan.params_yaml import parse_params
from facegan.training.device import make_deterministic
import facegan
assert Path(facegan.__file__).is_relative_to(Path.cwd()), facegan.__file__
device, name, batch = torch.device(sys.argv[1]), sys.argv[2], int(sys.argv[3])
make_deterministic(device)
params = parse_params(text(recipe(Path(), name)))
with tempfile.TemporaryDirectory() as folder:
    ours = Ours(Path(folder), params.model, params.train.model_copy(update={"batch": batch}), device)
    steps = max(1, params.train.penalty_every) * (1 if device.type == "cpu" or params.train.penalty_every > 1 else 10)
    ours.run(max(1, steps // 4))
    print(json.dumps([ours.run(steps) for _ in range(3)]))
"""


def _before(name: str, bench: Bench) -> Iterator[Row]:
    """A recipe's step in an earlier revision of this project (a folder with its src and benchmarks), and today's."""
    assert bench.before is not None
    before = bench.before.resolve()
    batch = 2 if bench.device.type == "cpu" else 64
    command = [sys.executable, "-c", _EARLIER, str(bench.device), name, str(batch)]
    path = os.pathsep.join([str(before / "src"), str(before), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=before, env=environment, capture_output=True, text=True, timeout=150)
    if done.returncode != 0:
        raise RuntimeError(f"the earlier revision failed: {done.stderr[-400:]}")
    earlier = statistics.median(json.loads(done.stdout.splitlines()[-1]))
    params = load_recipe(name)
    train = params.train.model_copy(update={"batch": batch, "microbatch": None})
    params = params.model_copy(update={"train": train})
    today = statistics.median(Runner(params, bench).rates())
    yield {"recipe": name, "batch": batch, "earlier_images_per_second": earlier, "times_earlier": today / earlier}
