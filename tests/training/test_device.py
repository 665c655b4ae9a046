"""Which device a training takes, and that its settings promise the same bits."""

import os
from pathlib import Path

import pytest
import torch

from facegan.errors import FaceganError
from facegan.training.device import choose_device, describe, make_deterministic, upload


@pytest.mark.parametrize("name", [None, ""])
@pytest.mark.parametrize("there", [True, False])
def test_the_gpu_is_taken_when_there_is_one(monkeypatch: pytest.MonkeyPatch, name: str | None, there: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: torch.ones(1))  # no test machine has one to try
    assert choose_device(name) == torch.device("cuda" if there else "cpu")


def test_a_gpu_that_cannot_compute_is_passed_over_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("the GPU of this machine works")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as of a card without kernels in this build
    assert choose_device(None) == torch.device("cpu")
    assert "the GPU cannot be used" in capsys.readouterr().err


def test_a_tensor_is_uploaded_whole() -> None:
    assert torch.equal(upload(torch.arange(5), torch.device("cpu")), torch.arange(5))


def test_the_device_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:x", "mps:7", "cuda 0"])
def test_a_device_that_is_not_there_is_one_clear_line(name: str) -> None:
    with pytest.raises(FaceganError, match=f"^FACEGAN_DEVICE: '{name}' cannot be used here") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


def test_a_device_that_holds_no_numbers_is_refused() -> None:
    with pytest.raises(FaceganError, match="FACEGAN_DEVICE"):
        choose_device("meta")


def test_settings_are_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    make_deterministic(torch.device("cpu"))
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_workspace_that_the_user_chose_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    make_deterministic(torch.device("cpu"))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_a_device_is_described_by_model_and_instruction_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert describe(torch.device("cpu")) == f"CPU {torch.backends.cpu.get_cpu_capability()}"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a GPU, number {device.index}")
    assert describe(torch.device("cuda:1")) == "a GPU, number 1"
