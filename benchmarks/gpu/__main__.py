"""Everything that only a GPU shows, in order of worth, within the minutes given.

Needs torch, torchvision, numpy, safetensors, Pillow, tqdm, onnx, onnxscript and onnxruntime, and the wheels that
``python -m benchmarks.gpu.carry`` gathers; no DVC, no MLflow, no network. Every result is a line of ``results.jsonl``
in the output folder as soon as it is known, and grids are PNGs beside it. All parts
together take about 25 minutes. ``--device cpu --tiny`` tries what a CPU can.
"""

import argparse
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.gpu.bench import Bench, run_items
from benchmarks.gpu.parts import PARTS, all_items
from facegan.training.device import choose_device, describe


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True, help="stop measuring after so many")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.jsonl and grids")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all, in this order")
    parser.add_argument("--items", nargs="+", default=[], help="only items whose name contains one of these words")
    parser.add_argument("--device", help="default: the GPU")
    parser.add_argument("--tiny", action="store_true", help="everything as small as a CPU does in seconds")
    parser.add_argument("--pictures", type=Path, help="a folder or archive to train on; default: drawn faces")
    parser.add_argument("--extractor", type=Path, help="ONNX file to score in: 224 pixels from -1 to 1")
    parser.add_argument("--before", type=Path, help="folder with an earlier revision, to compare steps with")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    device = choose_device(options.device or "cuda")
    ends = time.time() + 60 * options.minutes
    bench = Bench(device, options.out, ends, options.tiny, options.pictures, options.extractor, options.before)
    bench.write(part="machine", item="machine", **_machine(device))
    names = [item.key for part in options.parts for item in PARTS[part](bench)]
    if options.items:
        names = [name for name in names if any(word in name for word in options.items)]
    failed = run_items(bench, names, all_items)
    print(f"{len(names) - failed} of {len(names)} items measured or skipped, {failed} failed: {options.out}")
    return 1 if failed else 0


def _machine(device: torch.device) -> dict[str, object]:
    found: dict[str, object] = {
        "device": describe(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if device.type == "cuda":
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        query = ["nvidia-smi", "--query-gpu=driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"]
        asked = subprocess.run(query, capture_output=True, text=True, check=False)
        found["nvidia_smi"] = asked.stdout.strip()
    return found


if __name__ == "__main__":
    sys.exit(main())
