"""Feature extractors, looked up by ``evaluate.extractor``."""

from collections.abc import Callable
from pathlib import Path

import torch

from facegan.evaluation.extractor import Extractor
from facegan.evaluation.face_network import face_extractor
from facegan.evaluation.random_network import random_extractor
from facegan.params import EvaluateParams


def _inception(params: EvaluateParams, root: Path, device: torch.device) -> Extractor:
    from facegan.evaluation.inception import inception_extractor  # torchvision takes seconds to import

    return inception_extractor(params.inception, root, device)


# By name; any other is the path of an ONNX file.
EXTRACTORS: dict[str, Callable[[EvaluateParams, Path, torch.device], Extractor]] = {
    "face": lambda params, root, device: face_extractor(device),
    "random": lambda params, root, device: random_extractor(device),
    "inception": _inception,
}


def build_extractor(params: EvaluateParams, root: Path, device: torch.device) -> Extractor:
    """The extractor that ``evaluate.extractor`` names; relative paths are below ``root``."""
    if params.extractor in EXTRACTORS:
        return EXTRACTORS[params.extractor](params, root, device)
    from facegan.evaluation.onnx_network import onnx_extractor  # ONNX Runtime takes a second to import

    return onnx_extractor(params.extractor, params.onnx, root, device)
