"""Which device a training runs on, and the settings that make its bits repeatable."""

import os
import sys

import torch

from facegan.errors import FaceganError


def choose_device(name: str | None) -> torch.device:
    """The device asked for, else the GPU when there is one. Raises FaceganError when it is not there."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).add_(1).item()  # a card that this build has no kernels for fails only now
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if not name:
            print(f"warning: the GPU cannot be used ({reason}); using the CPU", file=sys.stderr)
            return torch.device("cpu")
        raise FaceganError(f"FACEGAN_DEVICE: {name!r} cannot be used here ({reason})") from error
    return device


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on ``device``; to a GPU without waiting for what it computes."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # from pageable memory the copy would wait


def make_deterministic(device: torch.device) -> None:
    """Deterministic algorithms, no autotuning, no TF32: the same parameters give the same bits here."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would import the compiler, for seconds
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads it


def describe(device: torch.device) -> str:
    """Model and instruction set: what bits depend on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {torch.backends.cpu.get_cpu_capability()}"
