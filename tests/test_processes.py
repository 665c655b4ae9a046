"""Nothing that a stage started outlives it."""

import subprocess
import sys
from pathlib import Path

from tracking.made import alive, wait_for

POOL = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from facegan.processes import end_with

def work(number):
    Path(sys.argv[1], f"{number}-{os.getpid()}").touch()
    time.sleep(0.2)

with ProcessPoolExecutor(2, initializer=end_with, initargs=(os.getpid(),)) as pool:
    list(pool.map(work, range(10_000)))
"""


def test_the_workers_of_a_killed_process_end(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", POOL, str(tmp_path)])

    def workers() -> set[int]:
        return {int(path.name.partition("-")[2]) for path in tmp_path.iterdir()}

    wait_for(lambda: len(workers()) == 2, 60, "both workers")
    process.kill()
    process.wait()
    wait_for(lambda: not any(alive(pid) for pid in workers()), 20, "the workers' end")


def test_a_process_whose_parent_is_already_gone_ends(tmp_path: Path) -> None:
    code = "import time; from facegan.processes import end_with; end_with(1 << 22); time.sleep(60)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 1


def test_a_stage_notes_its_parent_before_anything_heavy() -> None:
    code = "import sys, pipeline; print('facegan.processes' in sys.modules, 'torch' in sys.modules)"
    root = Path(__file__).parents[1]
    told = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert told.split() == ["True", "False"]
