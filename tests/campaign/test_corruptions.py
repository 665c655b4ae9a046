"""What scores are said to see, they see at the documentation's count. Minutes."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_claim_is_true_of_a_thousand_drawn_faces() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-m", "benchmarks.corruptions"], cwd=ROOT, env=environment, check=True)
