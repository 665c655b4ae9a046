"""Stand-ins: extractors whose features can be read, and a generator whose pictures are known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from facegan.evaluation.extractor import Extractor
from facegan.evaluation.reference import Progress, Reference
from facegan.evaluation.scores import draw, feature_scores, protocol
from facegan.randomness import Inputs


def means(images: torch.Tensor) -> torch.Tensor:
    """The mean colour of uint8 [n, h, w, 3]: float32 [n, 3]."""
    return images.to(torch.float32).mean((1, 2))


def colours(
    name: str = "colours",
    suffix: str = "_colours",
    sha256: str = "c" * 64,
    extract: Callable[[torch.Tensor], torch.Tensor] = means,
) -> Extractor:
    """An extractor that sees mean colours alone."""
    return Extractor(name, suffix, sha256, 3, {"resize": "none"}, extract)


class Replay(nn.Module):
    """A generator that gives the pictures it holds, in order, whatever the latents; they are noted in ``seen``."""

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()
        self.images, self.place = images, 0
        self.seen: list[torch.Tensor] = []

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        self.seen.append(latent.clone())
        part = self.images[self.place : self.place + len(latent)]
        self.place = (self.place + len(latent)) % len(self.images)
        return part.permute(0, 3, 1, 2) / 127.5 - 1


def scores(
    network: nn.Module, inputs: Inputs, real: Reference, extractor: Extractor, count: int, seed: int, progress: Progress
) -> dict[str, Any]:
    """Those in feature space of ``count`` pictures, with their protocol."""
    drawn = inputs.draw(count, seed, "evaluate")
    fake = draw(network, drawn, extractor, len(real.features_first), progress)
    found = feature_scores(real, fake, extractor, seed)
    return found | {"protocol": protocol(real, fake, extractor, found, seed, ["a"])}


def noise(count: int, seed: int = 0, size: int = 8) -> torch.Tensor:
    """Pictures of nothing: uint8 [count, size, size, 3], each of a mean colour of its own."""
    source = torch.Generator().manual_seed(seed)
    base = torch.randint(40, 200, (count, 1, 1, 3), generator=source)
    return (base + torch.randint(-40, 40, (count, size, size, 3), generator=source)).to(torch.uint8)


WEIGHT = np.random.default_rng(0).normal(size=(5, 3, 1, 1)).astype(np.float32)


def write_onnx(path: Path, size: int = 16, outputs: tuple[str, ...] = ("pooled",), **save: Any) -> Path:
    """Five 1x1 convolutions, averaged over the picture; ``maps`` are they unaveraged."""
    shapes = {"pooled": ["n", 5, 1, 1], "maps": ["n", 5, size, size]}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "weight"], ["maps"]),
            helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        ],
        "features",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, size, size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
        [numpy_helper.from_array(WEIGHT, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path, **save)
    return path
