"""A set that is larger than memory: preprocess, train and evaluate as stages, with the memory that each one takes.

``python -m benchmarks --only million`` uses a million drawn faces of 64x64 (20,000, each many times): 20 GB of disk,
and an hour and a half on two cores.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from facegan.data.archive import write_raw
from facegan.data.pictures import PictureSet
from facegan.data.synthetic import draw, sample_factors
from facegan.params_yaml import load_params

Rows = list[tuple[str, str, str]]
DRAWN, SIDE = 20_000, 64
CHANGES = {  # a small network, so that much is read
    "train.duration": "100 kimg",
    "train.tick": "10 kimg",
    "train.evaluate_every": "50 kimg",
    "train.batch": 64,
    "model.generator.channels": 8,
    "model.discriminator.channels": 8,
    "preprocess.deduplicate": False,
    "evaluate.generated": 5000,
}
STEADY = (20.0, 30.0, 40.0, 60.0, 70.0, 80.0)  # kimg: ticks without a score
TICK = re.compile(r"([\d.]+) / 100\.0 kimg +([\d,]+) images/s")


@dataclass
class Stage:
    """What a stage took: seconds, the peak of anonymous memory in MB, of it and its workers, and what it printed."""

    seconds: float
    memory: float
    lines: list[tuple[float, str]]  # with the peak by then

    def tick(self, kimg: float) -> tuple[float, float]:
        """Images a second, and the peak of memory by then: of the tick that ended there, to a batch."""
        for memory, line in self.lines:
            if (found := TICK.search(line)) and abs(float(found[1]) - kimg) < 0.2:
                return float(found[2].replace(",", "")), memory
        raise ValueError(f"no line of {kimg} kimg: {self.lines[-3:]}")


def measure(count: int) -> Rows:
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as temporary:
        faces = [_png(index) for index in range(min(DRAWN, count))]
        few, many = (_project(Path(temporary, str(number)), faces, number) for number in (len(faces), count))
        preprocess = _run(many, "preprocess")
        _run(few, "preprocess")
        small, large = _run(few, "train"), _run(many, "train")
        beside, scored = _run(few, "evaluate"), _run(many, "evaluate")
        shards = sum(path.stat().st_size for path in (many / "data/shards").iterdir())
        manifest = (many / "data/shards/manifest.json").stat().st_size
    rates = [sum(stage.tick(kimg)[0] for kimg in STEADY) for stage in (large, small)]
    rows = [
        (
            f"preprocess of {count:,} pictures, {shards / 1e9:.1f} GB",
            f"{count / preprocess.seconds:.0f} pictures/s",
            "",
        ),
        ("  memory of that, with its workers", f"{preprocess.memory:.0f} MB", ""),
        ("  manifest", f"{manifest / 1e3:.0f} kB", ""),
    ]
    for kimg in (10.0, 100.0):
        above = large.tick(kimg)[1] - small.tick(kimg)[1]
        rows.append(
            (f"training on {count:,}, memory after {kimg:.0f} kimg above that on few", f"{above:.0f} MB", "< 300")
        )
    return [
        *rows,
        ("  rate from cold files, against few pictures that are in memory", f"{rates[0] / rates[1]:.2f}", ">= 0.95"),
        (f"evaluate against {count:,}", f"{scored.seconds:.0f} s", ""),
        ("  memory of that above that on few", f"{scored.memory - beside.memory:.0f} MB", ""),
    ]


def _png(index: int) -> bytes:
    content = io.BytesIO()
    draw(sample_factors(1, index), SIDE).save(content, "PNG", compress_level=1)
    return content.getvalue()


def _project(root: Path, faces: list[bytes], count: int) -> Path:
    """A copy of this project with so many raw pictures."""
    shutil.copytree(
        Path(),
        root,
        ignore=shutil.ignore_patterns(".git", ".venv", "raw", "shards", "models", "reports", "mlruns*", ".*"),
    )
    (root / ".dvc").mkdir(exist_ok=True)
    (root / "data").mkdir(exist_ok=True)
    values = load_params(root / "recipes/base.yaml").model_dump(mode="json")
    for key, value in CHANGES.items():
        *blocks, last = key.split(".")
        block = values
        for part in blocks:
            block = block[part]
        block[last] = value
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    names = tuple(f"{number:07d}.png" for number in range(count))
    pictures = PictureSet(names, lambda name: faces[int(name[:7]) % len(faces)], {}, {"source": "drawn"})
    write_raw(pictures, root / "data/raw", workers=1)
    return root


def _run(root: Path, stage: str) -> Stage:
    """The stage on files that are not in the kernel's cache."""
    for path in (root / "data").rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", f"pipeline.{stage}"],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found = Stage(0.0, 0.0, [])

    def watch() -> None:
        while process.poll() is None:
            found.memory = max(found.memory, _anonymous(process.pid))
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.stdout is not None
    for line in process.stdout:
        found.lines.append((found.memory, line.rstrip()))
    watcher.join()
    if process.returncode:
        raise RuntimeError("\n".join(line for _, line in found.lines))
    found.seconds = time.perf_counter() - began
    print(f"{stage} of {root.name}: {found.seconds:.0f} s, {found.memory:.0f} MB", *_ticks(found), file=sys.stderr)
    return found


def _ticks(stage: Stage) -> list[str]:
    return [f"\n  {memory:.0f} MB {line.strip()}" for memory, line in stage.lines if TICK.search(line)]


def _anonymous(pid: int) -> float:
    """RssAnon of a process and its children, less the process that sends to MLflow, in MB."""
    total = 0.0
    for process in (pid, *_children(pid)):
        try:
            status = Path(f"/proc/{process}/status").read_text()
            command = Path(f"/proc/{process}/cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if (line := re.search(r"RssAnon:\s+(\d+) kB", status)) and "facegan.tracking.feed" not in command:
            total += int(line[1]) / 1e3
    return total


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
