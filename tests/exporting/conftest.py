"""A generator as a training leaves it, and the folder that `export` makes of it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from parameters import model_params
from safetensors.torch import save_file
from torch import nn

from facegan.exporting import shipped
from facegan.exporting.model import load_generator
from facegan.exporting.onnx import export_onnx
from facegan.files import write_json
from facegan.networks import build_generator, initialise
from facegan.params import ModelParams
from facegan.randomness import Inputs
from facegan.training.ema import reestimate_norms

LATENT, SIZE = 8, 32


@pytest.fixture(scope="session")
def config() -> dict[str, Any]:
    model = model_params(latent=LATENT)
    return {
        "model": model.model_dump(mode="json"),
        "size": SIZE,
        "labels": {},
        "images": 80_000,
        "judge": "fd_face",
        "best": {"images": 76_000, "score": 1.5, "error": 0.25},
        "last": {"images": 80_000, "score": 2.5, "error": 0.25},
        "latent": "standard normal",
        "range": [-1, 1],
        "seed": 1,
        "training_key": "0123456789abcdef" * 4,
    }


@pytest.fixture(scope="session")
def trained(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``models/train`` with a generator whose pictures differ and use the whole range."""
    folder = tmp_path_factory.mktemp("trained")
    model = ModelParams.model_validate(config["model"])
    network = build_generator(model, SIZE)
    initialise(network, model, 1, "generator")
    with torch.no_grad():
        network.get_parameter("layers.9.weight").mul_(20)  # the last layer's start is all grey
    reestimate_norms(network, [(torch.randn(64, LATENT, generator=torch.Generator().manual_seed(0)),)])
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, folder / "generator.safetensors")
    write_json(folder / "config.json", config)
    return folder


@pytest.fixture
def network(trained: Path) -> nn.Module:
    """A fresh copy each time: a test may change it."""
    return load_generator(trained)[0]


@pytest.fixture(scope="session")
def model(trained: Path) -> bytes:
    """The trained generator as ONNX."""
    return export_onnx(load_generator(trained)[0], LATENT, {}, 18)


@pytest.fixture(scope="session")
def exported(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is needed to draw: the ONNX file and the script beside it."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "generator.onnx").write_bytes(model)
    shutil.copyfile(Path(shipped.__path__[0], "generate.py"), folder / "generate.py")
    return folder


@dataclass(frozen=True)
class Elsewhere:
    """A machine that has onnxruntime, numpy and Pillow, and nothing else."""

    packages: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "PYTHONPATH": str(self.packages)}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    import onnxruntime

    here = Path(onnxruntime.__file__).parents[1]
    packages, home = tmp_path / "packages", tmp_path / "home"
    packages.mkdir()
    home.mkdir()
    for name in ("onnxruntime", "numpy", "numpy.libs", "PIL", "pillow.libs"):
        if (here / name).exists():
            (packages / name).symlink_to(here / name)
    return Elsewhere(packages, home)


LABELS = {"eyes": ["blue", "red", "green"], "hair": ["long", "short"]}


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a generator that knows labels."""
    folder = tmp_path_factory.mktemp("labelled")
    model = model_params("dense", latent=LATENT, generator={"norm": "conditional"})
    network = build_generator(model, SIZE, [len(classes) for classes in LABELS.values()])
    initialise(network, model, 1, "generator")
    with torch.no_grad():
        network.get_parameter("network.layers.8.weight").mul_(20)
    draw = Inputs(LATENT, torch.tensor([[eyes, hair] for eyes in range(-1, 3) for hair in range(-1, 2)])).draw
    reestimate_norms(network, [draw(64, 1, "norms")])
    (folder / "generator.onnx").write_bytes(export_onnx(network, LATENT, LABELS, 18))
    shutil.copyfile(Path(shipped.__path__[0], "generate.py"), folder / "generate.py")
    return folder
