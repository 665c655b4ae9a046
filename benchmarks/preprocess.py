"""Preprocessing against a plain Pillow loop, and its memory on a large set."""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.plain import pillow_loop
from facegan.data.archive import write_raw
from facegan.data.folder import open_pictures
from facegan.data.shards import write_shards
from facegan.params_yaml import load_params


def measure(files: list[Path]) -> list[tuple[str, str, str]]:
    """Ratios to the plain loop on the same files, in alternating rounds, medians of three."""
    params = load_params(Path("recipes/base.yaml")).preprocess.model_copy(update={"deduplicate": False})
    rates: dict[str, list[float]] = {"plain": [], "1": [], "2": []}
    with tempfile.TemporaryDirectory() as temporary:
        with open_pictures(files[0].parent) as pictures:
            write_raw(pictures, Path(temporary, "raw"), 1)
        for _ in range(3):
            rates["plain"].append(pillow_loop(files, params.size))
            for workers in ("1", "2"):
                began = time.perf_counter()
                write_shards(Path(temporary, "raw"), Path(temporary, "shards"), params, int(workers))
                rates[workers].append(len(files) / (time.perf_counter() - began))
    plain, one, two = (sorted(values)[1] for values in rates.values())
    return [
        ("plain Pillow loop, pictures/s", f"{plain:.0f}", ""),
        ("preprocess on one core against it", f"{one / plain:.2f}", ">= 0.9"),
        ("preprocess on two cores against it", f"{two / plain:.2f}", ">= 1.8"),
    ]


def memory(files: list[Path], count: int) -> list[tuple[str, str, str]]:
    """Peak resident memory of all preprocess processes on ``count`` pictures and on a tenth of them."""
    rows = []
    for number in (count // 10, count):
        with tempfile.TemporaryDirectory() as temporary:
            _repeat(files, Path(temporary, "raw"), number)
            script = (
                "import sys; from pathlib import Path; from facegan.params_yaml import load_params;"
                "from facegan.data.shards import write_shards;"
                "p = load_params(Path('recipes/base.yaml')).preprocess.model_copy(update={'deduplicate': False});"
                "write_shards(Path(sys.argv[1]), Path(sys.argv[2]), p, 2)"
            )
            process = subprocess.Popen(
                [sys.executable, "-c", script, f"{temporary}/raw", f"{temporary}/shards"], stderr=subprocess.DEVNULL
            )
            peak = _watch(process)
            if process.returncode:
                raise RuntimeError("preprocess failed")
        rows.append((f"memory of preprocess, {number:,} pictures", f"{peak / 2**20:.0f} MiB", "< 1.5 GB, flat"))
    return rows


def _repeat(files: list[Path], raw: Path, count: int) -> None:
    """A raw archive of ``count`` pictures that repeats the real ones."""
    from facegan.data.pictures import PictureSet

    names = [f"{index:07d}.jpg" for index in range(count)]
    write_raw(
        PictureSet(tuple(names), lambda name: files[int(name[:7]) % len(files)].read_bytes(), {}, {"source": "bench"}),
        raw,
        1,
    )


def _watch(process: "subprocess.Popen[bytes]") -> int:
    """Peak of the summed memory of a process and its children, in bytes (Linux)."""
    peak = 0
    stop = threading.Event()

    def look() -> None:
        nonlocal peak
        while not stop.wait(0.1):
            pids = [process.pid, *_children(process.pid)]
            peak = max(peak, sum(_resident(pid) for pid in pids))

    thread = threading.Thread(target=look)
    thread.start()
    process.wait()
    stop.set()
    thread.join()
    return peak


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _resident(pid: int) -> int:
    """Bytes, pages that processes share counted once among them (proportional set size)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
