"""Several processes that train or evaluate as one, against one process with as many threads."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.training import dcgan
from facegan.data.labels import Labels
from facegan.evaluation.face_network import face_extractor
from facegan.evaluation.reference import reference
from facegan.evaluation.suite import Real, evaluate_generator
from facegan.networks import build_generator, initialise
from facegan.repository.distributed import several
from facegan.sharing import CPU, Compute, Processes
from facegan.training.device import make_deterministic
from facegan.training.engine import Engine

BATCH, MICROBATCH = 64, 32
STEPS, ROUNDS = 6, 5
SIDE = 5000  # pictures
WHAT = "FACEGAN_BENCHMARK"  # what the processes do


def measure() -> list[tuple[str, str, str]]:
    """Rows (what, measured, aim): in turns, each in processes of its own; medians."""
    training, evaluating = _medians("training", ROUNDS), _medians("evaluating", 3)
    what = f"training in two processes of one thread, conv 64x64, batch {BATCH} in microbatches of {MICROBATCH}"
    return [
        (
            f"{what}, against one process of two threads ({training[0]:.0f} images/s)",
            f"{training[1] / training[0]:.2f}",
            ">= 0.95",
        ),
        (
            f"evaluating so, {SIDE:,} a side with labels ({1 / evaluating[0]:.0f} s in one process)",
            f"{evaluating[1] / evaluating[0]:.2f}",
            ">= 0.95",
        ),
    ]


def _medians(what: str, rounds: int) -> list[float]:
    """Rates of one process of two threads and of two processes of one."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for processes, found in rates.items():
            found.append(_rate(what, processes, threads=2 // processes))
    return [statistics.median(found) for found in rates.values()]


def _rate(what: str, processes: int, threads: int) -> float:
    settings = {WHAT: what, "FACEGAN_PROCESSES": str(processes), "OMP_NUM_THREADS": str(threads)}
    environment = {**os.environ, **settings}
    command = [sys.executable, "-m", "benchmarks.together"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout))


def main() -> None:
    """Print the rate of this process and those that it starts."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    make_deterministic(CPU)
    work = {"training": _training, "evaluating": _evaluating}[os.environ[WHAT]]
    with several("benchmarks.together") as processes:
        rate = work(processes)
        if processes.rank == 0:
            print(json.dumps(rate))


def _training(processes: Processes) -> float:
    """Images a second."""
    model, train = dcgan("fp32", BATCH)
    images = torch.randint(0, 256, (1000, 64, 64, 3), dtype=torch.uint8)
    engine = Engine(
        model=model,
        train=train.model_copy(update={"microbatch": MICROBATCH}),
        seed=1,
        images=images,
        labels=Labels.none(len(images)),
        device=CPU,
        stopping=lambda: False,
        processes=processes,
    )
    state = engine.fresh()
    for step in range(2 + STEPS):
        if step == 2:  # the first ones find their memory
            began = time.perf_counter()
        engine.step(state)
    return STEPS * BATCH / (time.perf_counter() - began)


def _evaluating(processes: Processes) -> float:
    """Evaluations a second: real pictures, all scores and the labels' classifier, of an untrained generator."""
    model, _ = dcgan("fp32", BATCH)
    labels = Labels({"class": ["a", "b"]}, torch.arange(2 * SIDE)[:, None] % 2)
    network = build_generator(model, 64, labels.classes)
    initialise(network, model, 1, "generator")
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2 * SIDE, 64, 64, 3), dtype=torch.uint8, generator=source)
    sides = [Labels(labels.names, part) for part in labels.table.split([2 * SIDE - 1000, 1000])]
    real = Real(images[:-1000], images[-1000:], *sides, {"shards": [], "enlarged": 0.0})
    extractor, compute = face_extractor(CPU), Compute(CPU, processes)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        held = reference(images, extractor, SIDE, 1, Path(cache), [], "", lambda _: None, processes)
        evaluate_generator(network, model.latent, real, held, extractor, SIDE, 1, lambda _: None, compute)
    return 1 / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
