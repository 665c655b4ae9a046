"""Times a newcomer notices: set-up, the default run, a run with nothing to do, in a fresh clone."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure() -> list[tuple[str, str, str]]:
    return _in_a_clone(
        ("set-up from an empty clone", ["make", "setup"], 180.0),
        ("make repro, the embedded default", ["make", "repro"], 360.0),
        ("dvc repro with nothing to do", [".venv/bin/dvc", "repro", "-q"], 3.0),
    )


def tests() -> list[tuple[str, str, str]]:
    """The whole of both suites, in a clone that is set up."""
    return _in_a_clone(
        ("set-up before the tests", ["make", "setup"], 180.0),
        ("make test", ["make", "test"], 480.0),
        ("make test-system", ["make", "test-system"], 2400.0),
    )


def _in_a_clone(*steps: tuple[str, list[str], float]) -> list[tuple[str, str, str]]:
    """Seconds of each command, one after the other in a fresh clone with no environment of this one."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary, "clone")
        subprocess.run(["git", "clone", "-q", Path.cwd(), clone], check=True)
        environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
        environment["PATH"] = os.pathsep.join(
            part for part in environment["PATH"].split(os.pathsep) if not part.startswith(str(Path.cwd()))
        )
        environment["PYTHON"] = getattr(sys, "_base_executable", sys.executable)  # of the Makefile
        for what, command, aim in steps:
            began = time.perf_counter()
            subprocess.run(command, cwd=clone, env=environment, check=True, stdout=subprocess.DEVNULL)
            rows.append((what, f"{time.perf_counter() - began:.1f} s", f"< {aim:.0f} s"))
    return rows
