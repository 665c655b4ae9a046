"""Two exported models on the held-out pictures of today: what decides when they were scored on other pictures."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegan.data.labels import Labels
from facegan.data.manifest import read_manifest
from facegan.data.rgb import in_rgb
from facegan.data.stored import load_split
from facegan.errors import FaceganError
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.reference import SCORING_SEED, reference
from facegan.evaluation.scores import draw, feature_scores, protocol
from facegan.exporting.shipped.generate import Generator
from facegan.randomness import Inputs
from facegan.sizes import height_and_width, in_words, size_of


class Unscorable(FaceganError):
    """A model that cannot be scored on the pictures of today, whatever the machine."""


class _Exported(nn.Module):
    """An ONNX generator where a network is expected."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latent: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
        given = labels[0].numpy() if labels else None
        pictures = torch.from_numpy(self.generator.pictures(latent.numpy(), given))
        return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def held_out_report(model: Path, shards: Path, extractor: Extractor, generated: int, cache: Path) -> dict[str, Any]:
    """Scores in feature space of the exported ``model`` against the pictures that no training has seen.

    Which pictures are held out is decided by what they show, so they are for older models too. Raises Unscorable for
    what is wrong with the model or with how many pictures there are, and FaceganError for shards that cannot be read.
    """
    manifest = read_manifest(shards)
    pictures = load_split(shards, "held_out")
    n = min(generated, len(pictures) // 2)
    if n < 2:
        raise Unscorable(
            f"{len(pictures)} held-out pictures are too few to score by; at least 4 are needed (preprocess.held_out)"
        )
    try:
        generator = Generator(model / "generator.onnx")
    except Exception as error:  # ONNX Runtime has an exception class for every failure
        raise Unscorable(f"it cannot be loaded: {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    labels = Labels.of(pictures, names=generator.names, manifest=manifest)
    digests = [shard["sha256"] for shard in manifest["shards"] if shard["split"] == "held_out"]
    real = reference(
        in_rgb(pictures.images),
        extractor,
        n,
        SCORING_SEED,
        cache,
        digests,
        f"held out, torch {torch.__version__}",
        _quietly,
    )
    drawn = Inputs(generator.latent, labels.table).draw(generated, SCORING_SEED, "evaluate")
    fake = draw(_Exported(generator), drawn, extractor, n, _quietly)
    (height, width), size = fake.pictures.shape[1:3], size_of(manifest)
    if (height, width) != height_and_width(size):
        raise Unscorable(f"it draws pictures of {height}x{width}, and those that are held out are {in_words(size)}")
    found = feature_scores(real, fake, extractor, SCORING_SEED)
    return found | {"protocol": protocol(real, fake, extractor, found, SCORING_SEED, digests)}


def _quietly(pictures: int) -> None:
    """Seconds: no bar."""
