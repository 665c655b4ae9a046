"""Parameters for tests: the base recipe's, shrunk, with what a test changes."""

from pathlib import Path
from typing import Any

from facegan.params import EvaluateParams, ModelParams, TrainParams
from facegan.strict_yaml import read_yaml

ROOT = Path(__file__).parents[1]
BASE: dict[str, Any] = read_yaml((ROOT / "recipes" / "base.yaml").read_text(encoding="utf-8"), "base.yaml")

# The choices that each network is published with.
PUBLISHED: dict[str, dict[str, Any]] = {
    "conv": {},
    "dense": {},
    "resnet": {"generator": {"upsample": "resize"}, "discriminator": {"norm": "spectral"}},
    "stylegan2": {"generator": {"norm": "none", "upsample": "blur"}, "discriminator": {"norm": "none"}},
    "r3gan": {"generator": {"norm": "none", "upsample": "blur"}, "discriminator": {"norm": "none"}},
}


def model_params(network: str = "conv", latent: int = 8, channels: int = 4, **changes: Any) -> ModelParams:
    """A model of ``channels`` in both networks; ``changes`` may hold blocks, of which only what is given changes."""
    values = {**BASE["model"], "network": network, "latent": latent}
    for player in ("generator", "discriminator"):
        published = PUBLISHED[network].get(player, {})
        values[player] = {**BASE["model"][player], "channels": channels, **published, **changes.pop(player, {})}
    return ModelParams.model_validate({**values, **changes})


def train_params(**changes: Any) -> TrainParams:
    return TrainParams.model_validate({**BASE["train"], **changes})


def evaluate_params(**changes: Any) -> EvaluateParams:
    """Of a block, such as ``onnx``, only what is given changes."""
    values = {
        key: {**BASE["evaluate"][key], **value} if isinstance(value, dict) else value for key, value in changes.items()
    }
    return EvaluateParams.model_validate({**BASE["evaluate"], **values})
