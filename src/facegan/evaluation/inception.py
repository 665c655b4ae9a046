"""The Inception network of published FID, from pytorch-fid, with weights whose digest is checked."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from pytorch_fid import inception as pytorch_fid
from torch import nn

from facegan.errors import FaceganError
from facegan.evaluation.extractor import Extractor
from facegan.files import sha256
from facegan.params import InceptionParams

KEY = "evaluate.inception"
OFFLINE = "evaluate.extractor: face, train.judge: fd_face"

# The weights that published scores are made with.
PUBLISHED = InceptionParams(weights=None, sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2")


def inception_extractor(params: InceptionParams, root: Path, device: torch.device, key: str = KEY) -> Extractor:
    """pytorch-fid's InceptionV3, pool3 features (Heusel et al., 2017). Raises FaceganError without its weights, with
    the ``key`` of params.yaml that asked for them.
    """
    weights = load_weights(params, root, key)
    protocol = {"resize": "bilinear to 299x299, inside pytorch-fid's InceptionV3"}
    # Without its bias, as published scores have it.
    return Extractor(
        "inception", "", params.sha256, 2048, protocol, features_of(weights, device), weights["fc.weight"].to(device)
    )


def features_of(weights: dict[str, torch.Tensor], device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """uint8 [n, h, w, 3] to pool3 features float32 [n, 2048]."""
    network = build(weights).to(device).to(memory_format=torch.channels_last)  # half as fast again on a CPU

    def extract(images: torch.Tensor) -> torch.Tensor:
        pictures = images.to(device).permute(0, 3, 1, 2).to(torch.float32) / 255
        features: torch.Tensor = network(pictures)[0][:, :, 0, 0]
        return features

    return extract


def load_weights(params: InceptionParams, root: Path, key: str = KEY) -> dict[str, torch.Tensor]:
    """The tensors of the file that the parameters name, of the digest that they name. Raises FaceganError."""
    path = _find(params, root, key)
    found = sha256(path)
    if found != params.sha256:
        correct = ", or correct evaluate.inception.sha256" if key == KEY else ""
        asks = "params.yaml asks for" if key == KEY else "should have"
        raise FaceganError(
            f"{key}: {path.name} has SHA-256 {found[:12]}..., and {asks} {params.sha256[:12]}...; delete the file to "
            f"download it again{correct}"
        )
    weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def build(weights: dict[str, torch.Tensor]) -> nn.Module:
    """pytorch-fid's InceptionV3 in eval mode, giving pool3 features."""
    # pytorch-fid loads from a fixed address and checks no digest: hand it the tensors that were checked here.
    with patch.object(pytorch_fid, "load_state_dict_from_url", lambda *_, **__: weights):
        network: nn.Module = pytorch_fid.InceptionV3([pytorch_fid.InceptionV3.BLOCK_INDEX_BY_DIM[2048]])
    network.eval()
    return network


def _find(params: InceptionParams, root: Path, key: str) -> Path:
    """The path given, else torch hub's cache, else a download into it."""
    if params.weights is not None:
        path = root / params.weights
        if not path.is_file():
            raise FaceganError(f"{key}.weights: {params.weights} does not exist")
        return path
    path = Path(torch.hub.get_dir(), "checkpoints", pytorch_fid.FID_WEIGHTS_URL.rsplit("/", 1)[1])
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(pytorch_fid.FID_WEIGHTS_URL, str(path))
        except (OSError, RuntimeError) as error:
            raise FaceganError(
                f"{key}: the Inception weights are not in {path.parent} and cannot be downloaded ({error}); put "
                f"{path.name} there, or use what needs no download: {OFFLINE}"
            ) from error
    return path
