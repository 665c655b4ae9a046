"""The face encoder in the package is what its command makes of nothing but this code. Minutes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from facegan.evaluation.face_network import SHA256
from facegan.files import sha256

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512",
    reason="the bytes are those of a processor with AVX-512; without it bf16 is emulated, in other sums and for hours",
)
def test_the_command_makes_the_bytes_in_the_package(tmp_path: Path) -> None:
    out = tmp_path / "encoder.safetensors"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.rankings.encoder", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert sha256(out) == SHA256
