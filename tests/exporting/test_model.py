"""The canonical model: two files, read back exactly, and damage said in one line."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from facegan.errors import FaceganError
from facegan.exporting.model import judge_score, load_generator


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


def refusal(folder: Path) -> str:
    with pytest.raises(FaceganError) as caught:
        load_generator(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_the_generator_comes_back_in_eval_mode_with_its_configuration(trained: Path, config: dict[str, Any]) -> None:
    network, read = load_generator(trained)
    held = load_file(trained / "generator.safetensors")
    assert read == config
    assert not any(module.training for module in network.modules())
    assert set(held) == set(network.state_dict())
    assert all(torch.equal(value, held[name]) for name, value in network.state_dict().items())
    assert network(torch.randn(3, 8)).shape == (3, 3, 32, 32)


@pytest.mark.parametrize("name", ["config.json", "generator.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refusal(folder) == f"{folder} holds no model: {name} is missing"


def test_a_folder_that_is_not_there_is_no_model(tmp_path: Path) -> None:
    assert "holds no model" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize("left", [0, 7, 100, -1])
def test_weights_that_were_cut_are_damaged(folder: Path, left: int) -> None:
    path = folder / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    assert "holds a damaged model" in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 64},
        {"size": "large"},
        {"model": {}},
        {"model": None},
        {"model": {"network": "conv", "latent": 9, "generator": {"channels": 4}}},
    ],
    ids=str,
)
def test_a_configuration_that_does_not_fit_the_weights_is_damage(folder: Path, change: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    assert "holds a damaged model" in refusal(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", "\x00\xff"], ids=repr)
def test_a_configuration_that_cannot_be_read_is_damage(folder: Path, content: str) -> None:
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    assert "holds a damaged model" in refusal(folder)


def test_a_pickle_is_not_run(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return (Path.mkdir, (tmp_path / "it ran",))

    (folder / "generator.safetensors").write_bytes(pickle.dumps(Evil()))
    assert "holds a damaged model" in refusal(folder)
    assert not (tmp_path / "it ran").exists()


def test_the_score_of_a_judge_has_the_name_that_it_has_in_a_report() -> None:
    assert judge_score({"judge": "fd_face"}) == "fd_face"
    assert (
        judge_score({"judge": {"score": "kid", "file": "own.onnx", "sha256": "1f4c5d6e" + 56 * "0"}}) == "kid_1f4c5d6e"
    )
