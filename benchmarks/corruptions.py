"""What each score sees, measured: real pictures, made worse on purpose, are scored as if a generator had drawn them.

``python -m benchmarks.corruptions --out docs/SCORES.md`` writes the table for drawn faces and, with ``--pictures``,
for a folder or an archive. It fails when a score does not see what it claims to (``facegan.evaluation.sensitivity``).
"""

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from benchmarks.sections import replace_section
from facegan.data.decode import Rejected, decode
from facegan.data.folder import open_pictures
from facegan.data.synthetic import draw, sample_factors
from facegan.evaluation.comparison import at_its_floor, badness, error
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.face_network import face_extractor
from facegan.evaluation.metrics import metric
from facegan.evaluation.pixels import RealPictures, copies, pixel_scores
from facegan.evaluation.random_network import random_extractor
from facegan.evaluation.reference import reference
from facegan.evaluation.scores import Scores, extracted, feature_scores, measured
from facegan.evaluation.sensitivity import CORRUPTIONS as NAMES
from facegan.evaluation.sensitivity import SEES, sees
from facegan.evaluation.spread import certain
from facegan.params_data import PreprocessParams
from facegan.randomness import generator

CPU = torch.device("cpu")
SEED = 1
CERTAIN = 3.0  # standard errors


@dataclass(frozen=True)
class PictureSet:
    """uint8 [n, size, size, 3] and a class for each: ``modes`` int64 [n], of ten."""

    name: str
    images: torch.Tensor
    modes: torch.Tensor


@dataclass(frozen=True)
class Setting:
    """Real pictures to score against, and ``fresh`` ones like them, three times as many as are scored."""

    real: RealPictures
    fresh: torch.Tensor
    modes: torch.Tensor
    count: int


def blur(setting: Setting, sigma: float) -> torch.Tensor:
    taps = torch.exp(-(torch.arange(-8.0, 9.0) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).view(1, 1, -1, 1)
    planes = setting.fresh[: setting.count].permute(0, 3, 1, 2).float()
    planes = functional.pad(planes, (8, 8, 8, 8), mode="reflect").flatten(0, 1)[:, None]
    planes = functional.conv2d(functional.conv2d(planes, taps), taps.mT)
    return _pixels(planes.view(setting.count, 3, *planes.shape[2:]).permute(0, 2, 3, 1))


def noise(setting: Setting, deviation: float) -> torch.Tensor:
    pictures = setting.fresh[: setting.count].float()
    return _pixels(pictures + deviation * torch.randn(pictures.shape, generator=generator(SEED, "noise")))


def jpeg(setting: Setting, quality: float) -> torch.Tensor:
    pictures = []
    for picture in setting.fresh[: setting.count].numpy():
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=int(quality))
        pictures.append(np.asarray(Image.open(stream)))
    return torch.from_numpy(np.stack(pictures))


def color_shift(setting: Setting, levels: float) -> torch.Tensor:
    return _pixels(setting.fresh[: setting.count].float() + levels * torch.tensor([1.0, 0.0, -1.0]))


def moved_eyes(setting: Setting, pixels: float) -> torch.Tensor:
    """The band that the eyes lie in, further down."""
    pictures, size = setting.fresh[: setting.count].clone(), setting.fresh.shape[1]
    top, bottom, left, right = (round(share * size) for share in (0.36, 0.64, 0.15, 0.85))
    by = round(pixels * size / 64)
    pictures[:, top + by : bottom + by, left:right] = setting.fresh[: setting.count, top:bottom, left:right]
    return pictures


def two_halves(setting: Setting, share: float) -> torch.Tensor:
    """Of a share of the pictures, the right half is another's."""
    pictures, middle = setting.fresh[: setting.count].clone(), setting.fresh.shape[2] // 2
    number = round(share * setting.count)
    pictures[:number, :, middle:] = pictures[:number, :, middle:].roll(1, 0)
    return pictures


def dropped_modes(setting: Setting, modes: float) -> torch.Tensor:
    return setting.fresh[setting.modes >= modes][: setting.count]


def duplicates(setting: Setting, times: float) -> torch.Tensor:
    return setting.fresh[torch.arange(setting.count) % round(setting.count / times)]


def training_copies(setting: Setting, share: float) -> torch.Tensor:
    pictures = setting.fresh[: setting.count].clone()
    number = round(share * setting.count)
    pictures[:number] = setting.real.train[:number]
    return pictures


def upsampling(setting: Setting, share: float) -> torch.Tensor:
    """A transposed convolution's pattern: every other pixel of every other line brighter, the rest darker."""
    pattern = torch.tensor([[3.0, -1.0], [-1.0, -1.0]]).repeat(setting.fresh.shape[1] // 2, setting.fresh.shape[2] // 2)
    return _pixels(setting.fresh[: setting.count].float() + share * pattern[..., None])


# Name: what it does, its levels from weak to strong, and how a level reads.
CORRUPTIONS: dict[str, tuple[Callable[[Setting, float], torch.Tensor], tuple[float, ...], str]] = {
    "blur": (blur, (0.5, 1.0, 2.0), "Gaussian, {:g} pixels"),
    "noise": (noise, (8.0, 20.0, 50.0), "Gaussian, {:g} grey levels"),
    "JPEG": (jpeg, (60.0, 25.0, 8.0), "quality {:g}"),
    "colour shift": (color_shift, (10.0, 25.0, 50.0), "red up and blue down by {:g} grey levels"),
    "moved eyes": (moved_eyes, (2.0, 4.0, 6.0), "down by {:g} pixels of 64"),
    "two halves": (two_halves, (0.1, 0.3, 1.0), "{:.0%} have the right half of another"),
    "dropped modes": (dropped_modes, (1.0, 3.0, 5.0), "{:g} of 10 classes missing"),
    "duplicates": (duplicates, (4.0, 16.0, 64.0), "each picture {:g} times"),
    "copies": (training_copies, (0.1, 0.3, 1.0), "{:.0%} are training pictures"),
    "upsampling": (upsampling, (1.0, 3.0, 8.0), "a pattern of every other pixel, {:g} grey levels"),
}
assert tuple(CORRUPTIONS) == NAMES


def drawn_faces(count: int, size: int = 64) -> PictureSet:
    """The embedded data set."""
    faces = [sample_factors(SEED, index) for index in range(count)]
    images = torch.from_numpy(np.stack([np.asarray(draw(face, size)) for face in faces]))
    return PictureSet("drawn faces", images, _tenths(images))


def given_pictures(path: Path, count: int, size: int) -> PictureSet:
    """The first ``count`` pictures of a folder or an archive."""
    params = PreprocessParams(
        channels=3, size=size, filter="lanczos", min_side=32, deduplicate=True, held_out=0.1, max_reject_fraction=1.0
    )
    decoded = []
    with open_pictures(path) as pictures:
        for name in pictures.names[:count]:
            try:
                decoded.append(decode(pictures.read(name), params)[0].copy())
            except Rejected as reason:
                print(f"{name}: {reason}", file=sys.stderr)
    images = torch.from_numpy(np.stack(decoded))
    return PictureSet(path.stem, images, _tenths(images))


def _pixels(images: torch.Tensor) -> torch.Tensor:
    return images.round().clamp(0, 255).to(torch.uint8)


def _tenths(images: torch.Tensor) -> torch.Tensor:
    """Ten classes of equal size along the first principal component of the colours at 8x8."""
    colours = functional.adaptive_avg_pool2d(images.permute(0, 3, 1, 2).float(), 8).flatten(1)
    colours -= colours.mean(0)
    _, vectors = torch.linalg.eigh(colours.T @ colours)
    return (colours @ vectors[:, -1]).argsort().argsort() * 10 // len(images)


def setting(pictures: PictureSet, count: int) -> Setting:
    """Of a shuffled set: three times ``count`` fresh ones, a tenth of the rest held out."""
    order = torch.randperm(len(pictures.images), generator=generator(SEED, "corruptions"))
    fresh, rest = order[: 3 * count], order[3 * count :]
    held_out = len(rest) // 10
    images = pictures.images
    real = RealPictures.of(images[rest[held_out:]], images[rest[:held_out]], count, SEED)
    return Setting(real, images[fresh], pictures.modes[fresh], count)


def score(setting: Setting, pictures: torch.Tensor, extractors: Sequence[Extractor], cache: Path) -> Scores:
    """Every score that needs no download."""
    everything = torch.cat([setting.real.train, setting.real.held_out])
    found: Scores = {}
    for extractor in extractors:
        real = reference(everything, extractor, setting.count, SEED, cache, [str(len(everything))], "", lambda _: None)
        fake = measured(extracted(pictures, extractor), extractor, len(pictures), setting.count, lambda _: None)
        found |= feature_scores(real, fake, extractor, SEED)
    found |= pixel_scores(setting.real, pictures, SEED)
    near = copies(setting.real, pictures)
    assert near is not None  # a tenth is held out
    return found | near[1]


def verdict(name: str, clean: dict[str, Any], levels: list[dict[str, Any]]) -> str:
    """``sees``, ``in part`` (moves, but not in order), ``blind`` or ``fooled`` (reads better)."""
    path = [badness(name, entry) for entry in (clean, *levels)]
    sure = certain(CERTAIN, error(clean), error(levels[-1]))
    if path[-1] - path[0] < -sure:
        return "fooled"
    if path[-1] - path[0] <= sure:
        return "blind"
    return "sees" if path == sorted(path) else "in part"


def measure(pictures: PictureSet, count: int, cache: Path) -> tuple[Scores, dict[str, dict[str, list[dict[str, Any]]]]]:
    """Scores of uncorrupted pictures, and by score and corruption those at each level."""
    where, extractors = setting(pictures, count), [face_extractor(CPU), random_extractor(CPU)]
    clean = score(where, where.fresh[:count], extractors, cache)
    found: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in clean}
    for corruption, (corrupt, levels, _) in CORRUPTIONS.items():
        for level in levels:
            print(f"{pictures.name}: {corruption} {level:g}", file=sys.stderr)
            for name, entry in score(where, corrupt(where, level), extractors, cache).items():
                found[name].setdefault(corruption, []).append(entry)
    return clean, found


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(prog="python -m benchmarks.corruptions", description=__doc__)
    parser.add_argument("--pictures", type=Path, action="append", default=[], help="a folder or an archive")
    parser.add_argument("--count", type=int, default=1000, help="pictures a side; default 1000")
    parser.add_argument("--out", type=Path, help="replace that section of a Markdown page")
    options = parser.parse_args()
    sets = [lambda: drawn_faces(7 * options.count)]
    sets += [lambda path=path: given_pictures(path, 10 * options.count, 64) for path in options.pictures]
    results = []
    for make in sets:
        with tempfile.TemporaryDirectory() as cache:
            pictures = make()
            results.append((pictures, *measure(pictures, options.count, Path(cache))))
    text = page(results, options.count)
    if options.out is not None:
        replace_section(options.out, "corruptions", text)
    print(text)
    wrong = unseen(results)
    sys.exit("\n".join(wrong) if wrong else 0)


def unseen(results: list[Any]) -> list[str]:
    """Claims that are not true."""
    return [
        f"{pictures.name}: {name} claims to see {corruption} and is {found}"
        for pictures, clean, levels in results
        for name, entry in clean.items()
        for corruption in sees(name)
        if (found := verdict(name, entry, levels[name][corruption])) != "sees"
    ]


def page(results: list[Any], count: int) -> str:
    """The Markdown."""
    lines = [
        "## What each score sees of faults made on purpose",
        "",
        f"Written by `python -m benchmarks.corruptions`, from {count:,} pictures a side at 64x64. Real pictures that "
        "are not in the reference are made worse, and scored as if a generator had drawn them. In each cell the score "
        "of the untouched pictures, an arrow, and that of the strongest level. **sees**: it gets worse at every level, "
        f"in the end by more than {CERTAIN:g} standard errors. *in part*: not in order. blind: it does not move. "
        "*fooled*: it gets better.",
        "",
        *(f"- {name}: {how.format(levels[-1])} at the strongest" for name, (_, levels, how) in CORRUPTIONS.items()),
        "",
    ]
    for pictures, clean, found in results:
        lines += [f"### {pictures.name} ({len(pictures.images):,} pictures)", ""]
        lines += ["| score | " + " | ".join(CORRUPTIONS) + " |", "|---" * (len(CORRUPTIONS) + 1) + "|"]
        for name, entry in clean.items():
            cells = []
            for corruption in CORRUPTIONS:
                levels = found[name][corruption]
                said = verdict(name, entry, levels)
                first, last = (at_its_floor(value) for value in (entry, levels[-1]))
                mark = {"sees": "**sees**", "in part": "*in part*", "fooled": "*fooled*"}.get(said, said)
                cells.append(f"{mark} {first:.3g} → {last:.3g}")
            lines.append(f"| {metric(name).title} (`{name}`) | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join([*lines, *claims()]) + "\n"


def claims() -> list[str]:
    """The table of what is claimed, in Markdown."""
    lines = ["### What is claimed, and tested", "", "| score | sees | does not, reliably |", "|---|---|---|"]
    for name, claimed in SEES.items():
        blind = ", ".join(corruption for corruption in CORRUPTIONS if corruption not in claimed)
        lines.append(f"| {metric(name).title} (`{name}`) | {', '.join(claimed)} | {blind} |")
    return lines


if __name__ == "__main__":
    main()
