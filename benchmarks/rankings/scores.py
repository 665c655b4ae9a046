"""Every score of every checkpoint, beside the distance in the space of a network that is held to be right."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn import functional

from benchmarks.rankings.trainings import Recipe, checkpoints
from facegan.data.batches import to_network
from facegan.evaluation.comparison import badness, error
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.face_network import WIDTHS, FaceEncoder, face_extractor, features_of
from facegan.evaluation.generation import generate
from facegan.evaluation.onnx_network import onnx_extractor
from facegan.evaluation.pixels import RealPictures, pixel_scores
from facegan.evaluation.random_network import random_extractor
from facegan.evaluation.reference import SCORING_SEED, Reference, reference
from facegan.evaluation.scores import extracted, feature_scores, measured
from facegan.files import json_digest, sha256, write_json
from facegan.params import OnnxParams
from facegan.randomness import Inputs

CPU = torch.device("cpu")
SIDE_OF_ORACLE = 2000  # pictures a side
PICTURES = 1000  # pictures a side of every other score
ORACLE = "oracle"  # the name of its distance in a row

Row = dict[str, Any]


def candidates(folder: Path) -> list[Extractor]:
    """Feature spaces that need no download: the product's, and those that were tried beside it.

    Encoders that lie in ``folder`` as ``encoder-NAME.safetensors`` are among them.
    """
    found = [face_extractor(CPU), random_extractor(CPU)]
    found += [Extractor(name, f"_{name}", name, 1, {}, extract) for name, extract in TRIED.items()]
    for path in sorted(folder.glob("encoder-*.safetensors")):
        name = path.stem.removeprefix("encoder-")
        found.append(Extractor(name, f"_encoder {name}", sha256(path), 4 * WIDTHS[-1], {}, _encoder(path)))
    return found


def _encoder(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    encoder = FaceEncoder()
    encoder.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    encoder.requires_grad_(False).eval().to(memory_format=torch.channels_last)
    return lambda images: features_of(encoder(to_network(images)))


def random_layout(images: torch.Tensor) -> torch.Tensor:
    """The random network's third and fourth layer in four quarters, of pictures less their mean colour."""
    source = torch.Generator().manual_seed(20200)
    features = to_network(images)
    features = features - features.mean((2, 3), keepdim=True)
    features = features / (features.square().mean((1, 2, 3), keepdim=True).sqrt() + 0.1)
    found = []
    for before, after in pairwise((3, 16, 32, 64, 128)):
        weight = torch.randn((after, before, 4, 4), generator=source) * (2 / (before * 16)) ** 0.5
        features = functional.leaky_relu(functional.conv2d(features, weight, stride=2, padding=1), 0.2)
        found.append(functional.adaptive_avg_pool2d(features, 2).flatten(1))
    return torch.cat(found[2:], 1)


def oriented_gradients(images: torch.Tensor) -> torch.Tensor:
    """Eight directions of the gradient in eight by eight cells (Dalal & Triggs, 2005), without block norms."""
    gray = images.permute(0, 3, 1, 2).float().mean(1, keepdim=True) / 255
    across = functional.pad(gray, (1, 1, 0, 0), mode="replicate").diff(n=1, dim=3)
    down = functional.pad(gray, (0, 0, 1, 1), mode="replicate").diff(n=1, dim=2)
    across, down = across[..., 1:] + across[..., :-1], down[:, :, 1:] + down[:, :, :-1]
    length, turn = (across.square() + down.square()).sqrt(), torch.atan2(down, across) % torch.pi / torch.pi * 8
    low, share = turn.floor(), turn - turn.floor()
    planes = torch.zeros((len(images), 8, *gray.shape[2:]))
    planes.scatter_add_(1, low.long() % 8, length * (1 - share))
    planes.scatter_add_(1, (low.long() + 1) % 8, length * share)
    return functional.avg_pool2d(planes, 8).flatten(1)


TRIED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "random layout": random_layout,
    "gradients": oriented_gradients,
}


@dataclass(frozen=True)
class Oracle:
    """An ONNX network of known worth: 224 pixels from -1 to 1."""

    extractor: Extractor

    @classmethod
    def of(cls, file: Path) -> "Oracle":
        params = OnnxParams(
            sha256=sha256(file), input=None, output=None, size=224,
            range=(-1.0, 1.0), mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0),
        )  # fmt: skip
        return cls(onnx_extractor(file.name, params, file.parent, CPU))


class Ruler:
    """Scores pictures against the ``images`` uint8 [n, 64, 64, 3] of one set."""

    def __init__(self, images: torch.Tensor, extractors: list[Extractor], oracle: Oracle) -> None:
        self.extractors, self.oracle = extractors, oracle
        self.pixels = RealPictures.of(images[1000:], images[:1000], PICTURES, SCORING_SEED)
        self.real = [_reference(images, extractor, PICTURES) for extractor in extractors]
        self.oracle_real = _reference(images[: 2 * SIDE_OF_ORACLE], oracle.extractor, SIDE_OF_ORACLE)

    def scores(self, pictures: torch.Tensor) -> Row:
        """By score, how bad it is (lower is better), its standard error, and what real pictures read."""
        found = {}
        for extractor, real in zip(self.extractors, self.real, strict=True):
            found |= _in_space(pictures[:PICTURES], extractor, real, PICTURES)
        found |= pixel_scores(self.pixels, pictures[:PICTURES], SCORING_SEED)
        row = {name: _turned(name, entry) for name, entry in found.items()}
        oracle = _in_space(pictures, self.oracle.extractor, self.oracle_real, SIDE_OF_ORACLE)
        name = next(name for name in oracle if name.startswith("fd"))
        return row | {ORACLE: _turned(name, oracle[name])}


def _reference(images: torch.Tensor, extractor: Extractor, n: int) -> Reference:
    with tempfile.TemporaryDirectory() as cache:
        return reference(images, extractor, n, SCORING_SEED, Path(cache), [], "", lambda _: None)


def _in_space(pictures: torch.Tensor, extractor: Extractor, real: Reference, n: int) -> Row:
    fake = measured(extracted(pictures, extractor), extractor, len(pictures), n, lambda _: None)
    return feature_scores(real, fake, extractor, SCORING_SEED)


def _turned(name: str, entry: Row) -> Row:
    floor = {**entry, "value": entry["floor"], "at_n": entry["floor"]}
    return {"badness": badness(name, entry), "error": error(entry), "floor": badness(name, floor)}


def score_all(folder: Path, recipes: tuple[Recipe, ...], oracle: Oracle) -> list[Row]:
    """A row for every checkpoint; kept in ``folder/rows``, and made again only for other pictures or spaces."""
    rows = []
    for pictures in sorted({recipe.pictures for recipe in recipes}):
        ruler: Ruler | None = None
        spaces = [extractor.sha256 for extractor in (oracle.extractor, *candidates(folder))]
        by = json_digest([sha256(folder / f"{pictures}.safetensors"), *spaces, PICTURES, SIDE_OF_ORACLE])
        for recipe in (recipe for recipe in recipes if recipe.pictures == pictures):
            for kimg, network in checkpoints(folder, recipe):
                path = folder / "rows" / f"{recipe.name}-{kimg:05d}.json"
                row = json.loads(path.read_text()) if path.is_file() else {}
                if row.get("by") != by:
                    if ruler is None:
                        images = load_file(folder / f"{pictures}.safetensors")["images"]
                        ruler = Ruler(images, candidates(folder), oracle)
                    inputs = Inputs(recipe.params().model.latent).draw(SIDE_OF_ORACLE, 1, "rank")
                    drawn = torch.cat(list(generate(network, inputs, CPU)))
                    about = {"training": recipe.name, "pictures": pictures, "kimg": kimg, "by": by}
                    path.parent.mkdir(exist_ok=True)
                    write_json(path, {**about, "scores": ruler.scores(drawn)})
                    print(f"{recipe.name} at {kimg} kimg is scored", flush=True)
                    row = json.loads(path.read_text())
                rows.append({key: value for key, value in row.items() if key != "by"})
    return rows
