"""The canonical model on disk: ``generator.safetensors`` and ``config.json``, and nothing that runs code."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from facegan.errors import FaceganError
from facegan.files import read_json
from facegan.networks import build_generator
from facegan.params import ModelParams


def classes(config: dict[str, Any]) -> tuple[int, ...]:
    """How many classes each column of labels has; none where the generator takes no labels."""
    return tuple(len(names) for names in config["labels"].values())


def load_generator(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The generator of a trained or exported folder, in eval mode on the CPU, with its configuration."""
    try:
        for name in ("config.json", "generator.safetensors"):
            if not (folder / name).is_file():
                raise FaceganError(f"{folder} holds no model: {name} is missing")
        config = read_json(folder / "config.json")
        network = build_generator(ModelParams.model_validate(config["model"]), config["size"], classes(config))
        network.load_state_dict(load_file(folder / "generator.safetensors"))
    except (SafetensorError, ValidationError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise FaceganError(f"{folder} holds a damaged model: {str(error).splitlines()[0]}") from error
    return network.eval(), config
