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
from facegan.sizes import channels_of, size_of

BEST, LAST = "generator", "generator-last"  # weights by the name of their file


def last_is_as_good(config: dict[str, Any]) -> bool:
    """Whether the last weights are others than the best, and no further from them than the judge's standard error."""
    best, last = config["best"], config["last"]
    return bool(last["images"] != best["images"] and last["score"] - best["score"] <= (best["error"] or 0.0))


def judge_name(config: dict[str, Any]) -> str:
    """In words, the score that chose the best weights."""
    judge = config["judge"]
    return judge if isinstance(judge, str) else f"{judge['score']} in the space of {judge['file']}"


def judge_score(config: dict[str, Any]) -> str:
    """The name that the judge's score has in a report; of an ONNX network, by the digest of its file."""
    judge = config["judge"]
    return judge if isinstance(judge, str) else f"{judge['score']}_{judge['sha256'][:8]}"


def classes(config: dict[str, Any]) -> tuple[int, ...]:
    """How many classes each column of labels has; none where the generator takes no labels."""
    return tuple(len(names) for names in config["labels"].values())


def load_trained(folder: Path, which: str = BEST) -> tuple[nn.Module, dict[str, Any]]:
    """``load_generator`` of what the training of this version left. Raises FaceganError for an earlier one's."""
    network, config = load_generator(folder, which)
    if not {"judge", "best", "last"} <= config.keys():
        raise FaceganError(f"{folder} is of an earlier version of facegan; `dvc repro` trains again")
    return network, config


def load_generator(folder: Path, which: str = BEST) -> tuple[nn.Module, dict[str, Any]]:
    """The best (or last) generator of a trained or exported folder, in eval mode on the CPU, with its configuration."""
    weights = f"{which}.safetensors"
    try:
        for name in ("config.json", weights):
            if not (folder / name).is_file():
                raise FaceganError(f"{folder} holds no model: {name} is missing")
        config = read_json(folder / "config.json")
        network = build_generator(
            ModelParams.model_validate(config["model"]), size_of(config), classes(config), channels_of(config)
        )
        network.load_state_dict(load_file(folder / weights))
    except (SafetensorError, ValidationError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise FaceganError(f"{folder} holds a damaged model: {str(error).splitlines()[0]}") from error
    return network.eval(), config
