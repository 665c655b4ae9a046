"""Extractors by the name in the parameters."""

from pathlib import Path

import pytest
import torch
from parameters import evaluate_params

from evaluation.doubles import colours
from facegan.errors import FaceganError
from facegan.evaluation import inception
from facegan.evaluation.features import build_extractor
from facegan.params import EvaluateParams

CPU = torch.device("cpu")


def params(extractor: str, weights: str | None = None) -> EvaluateParams:
    return evaluate_params(extractor=extractor, inception={"weights": weights, "sha256": "a" * 64})


def test_the_offline_default_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    monkeypatch.setattr(torch.hub, "get_dir", None)
    assert build_extractor(params("random"), tmp_path, CPU).name == "random"


def test_inception_gets_its_own_parameters_and_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(inception, "inception_extractor", lambda *arguments: given.append(arguments) or colours())
    asked = params("inception", "weights.pth")
    build_extractor(asked, tmp_path, CPU)
    assert given == [(asked.inception, tmp_path, CPU)]


def test_relative_weights_are_below_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "w.pth").write_bytes(b"not these")
    with pytest.raises(FaceganError, match=r"w\.pth has SHA-256"):
        build_extractor(params("inception", "w.pth"), tmp_path, CPU)


def test_any_other_is_a_file_below_the_root(tmp_path: Path) -> None:
    with pytest.raises(FaceganError, match=r"^evaluate\.extractor: mine\.onnx does not exist$"):
        build_extractor(params("mine.onnx"), tmp_path, CPU)
