"""Several processes that train as one, against one process with as many threads."""

import json
import os
import statistics
import subprocess
import sys
import time

import torch

from benchmarks.training import dcgan
from facegan.data.labels import Labels
from facegan.repository.distributed import several
from facegan.training.device import make_deterministic
from facegan.training.engine import Engine

BATCH, MICROBATCH = 64, 32
STEPS, ROUNDS = 6, 5


def measure() -> list[tuple[str, str, str]]:
    """Rows (what, measured, aim): in turns, each in processes of its own; medians."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for processes, found in rates.items():
            found.append(_rate(processes, threads=2 // processes))
    one, two = (statistics.median(found) for found in rates.values())
    what = f"training in two processes of one thread, conv 64x64, batch {BATCH} in microbatches of {MICROBATCH}"
    return [(f"{what}, against one process of two threads ({one:.0f} images/s)", f"{two / one:.2f}", ">= 0.95")]


def _rate(processes: int, threads: int) -> float:
    environment = {**os.environ, "FACEGAN_PROCESSES": str(processes), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "benchmarks.together"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout))


def main() -> None:
    """Print the images a second of this process and those that it starts."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    device = torch.device("cpu")
    make_deterministic(device)
    model, train = dcgan("fp32", BATCH)
    with several("benchmarks.together") as processes:
        images = torch.randint(0, 256, (1000, 64, 64, 3), dtype=torch.uint8)
        engine = Engine(
            model=model,
            train=train.model_copy(update={"microbatch": MICROBATCH}),
            seed=1,
            images=images,
            labels=Labels.none(len(images)),
            device=device,
            stopping=lambda: False,
            processes=processes,
        )
        state = engine.fresh()
        for step in range(2 + STEPS):
            if step == 2:  # the first ones find their memory
                began = time.perf_counter()
            engine.step(state)
        rate = STEPS * BATCH / (time.perf_counter() - began)
        if processes.rank == 0:
            print(json.dumps(rate))


if __name__ == "__main__":
    main()
