"""The direction of imports, as ``pyproject.toml`` has it under ``tool.importlinter``."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_each_layer_imports_only_those_below_it() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout
