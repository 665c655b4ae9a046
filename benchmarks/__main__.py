"""Run the benchmarks and print one table. Ratios are taken within one run; leave the machine alone meanwhile."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import evaluation, million, overhead, pictures, pipeline, preprocess, serving, together, training
from facegan.training.device import choose_device, describe

Rows = list[tuple[str, str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    groups = [
        "training",
        "networks",
        "together",
        "overhead",
        "preprocess",
        "memory",
        "million",
        "evaluation",
        "serving",
        "pipeline",
        "tests",
    ]
    parser.add_argument("--only", choices=groups, action="append")
    parser.add_argument("--pictures", type=Path, help="a folder or archive of JPEG pictures; default: drawn ones")
    parser.add_argument("--count", type=int, default=100_000, help="pictures of the memory measurement")
    parser.add_argument("--million", type=int, default=1_000_000, help="pictures of the set larger than memory")
    options = parser.parse_args()
    device = choose_device(None)
    print(f"{describe(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    with tempfile.TemporaryDirectory() as temporary:
        files = pictures.jpeg_folder(Path(temporary), 12_000, options.pictures)
        benchmarks: dict[str, Callable[[], Rows]] = {
            "training": lambda: training.measure(Path(temporary), device),
            "networks": lambda: training.networks(device),
            "together": together.measure,
            "overhead": lambda: overhead.measure(device),
            "preprocess": lambda: preprocess.measure(files),
            "memory": lambda: preprocess.memory(files, options.count),
            "million": lambda: million.measure(options.million),
            "evaluation": lambda: evaluation.measure(device),
            "serving": lambda: serving.measure(Path(temporary, "serving")),
            "pipeline": pipeline.measure,
            "tests": pipeline.tests,
        }
        rows: Rows = []
        for name, measure in benchmarks.items():
            if name in (options.only or groups) and (options.only or name != "million"):  # it takes hours
                rows += measure()
    width = max(len(row[0]) for row in rows)
    print(f"\n{'what':{width}s}  {'measured':>10s}  aim")
    for what, measured, aim in rows:
        print(f"{what:{width}s}  {measured:>10s}  {aim}")


if __name__ == "__main__":
    main()
