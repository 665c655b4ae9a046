"""Every test here runs under the settings of a real training."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from facegan.training.device import make_deterministic
from training.tiny import CPU, Tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


@pytest.fixture(autouse=True)
def as_in_a_stage() -> Iterator[None]:
    """The settings of a real training, taken back afterwards."""
    deterministic, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    fill = torch.utils.deterministic.fill_uninitialized_memory
    make_deterministic(CPU)
    yield
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.utils.deterministic.fill_uninitialized_memory = fill
