"""Draw pictures with the generator in this folder. Needs onnxruntime, numpy and Pillow, nothing else.

python generate.py --count 25 --seed 3 --out grid.png
python generate.py --label hair=pink --out pink.png     # with a generator that knows labels
"""

import argparse
import itertools
import json
import math
import os
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from PIL import Image

OUT = Path("grid.png")


class Generator:
    """The ONNX generator: latents float32 [n, latent] to pictures uint8 [n, height, width, channels].

    ``names`` has the classes of every label that it knows; most know none. ``threads`` draw a batch, 0 is every core.
    """

    def __init__(self, path: "str | Path", threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.latent = int(self.session.get_inputs()[0].shape[1])
        height, width = self.session.get_outputs()[0].shape[2:]
        self.pixels = int(height) * int(width)
        described = self.session.get_modelmeta().custom_metadata_map
        self.names: dict[str, list[str]] = json.loads(described.get("facegan.labels", "{}"))

    def latents(self, count: int, seed: int, truncation: float = 1.0) -> np.ndarray:
        """Standard normal float32 [count, latent], scaled by ``truncation``: below 1 is safer and less varied."""
        return (truncation * np.random.default_rng(seed).standard_normal((count, self.latent))).astype(np.float32)

    def classes(self, name: str) -> "list[str]":
        """Those of a label. Raises ValueError for one that it does not know."""
        if name not in self.names:
            known = f"those that it knows are {', '.join(self.names)}" if self.names else "it knows none"
            raise ValueError(f"this generator knows no label {name!r}; {known}")
        return self.names[name]

    def labels(self, wanted: "list[str]") -> np.ndarray:
        """int64 [columns] of texts such as "hair=pink"; -1, any class, where none is asked for. Raises ValueError."""
        numbers = dict.fromkeys(self.names, -1)
        for text in wanted:
            name, equals, value = text.partition("=")
            if not equals:
                raise ValueError(f"a label is asked for as NAME=CLASS, not {text!r}")
            if value not in self.classes(name):
                raise ValueError(f"{name}={value}: the classes of {name} are {', '.join(self.names[name])}")
            numbers[name] = self.names[name].index(value)
        return np.array(list(numbers.values()), np.int64)

    def pictures(self, latents: np.ndarray, labels: "np.ndarray | None" = None, batch: int = 0) -> np.ndarray:
        """uint8 [n, height, width, channels]; ``labels`` int64 [n, columns] or [columns], any class without.

        ``batch`` are drawn at once; 0 is 64, or fewer above 128 pixels.
        """
        batch = batch or max(1, min(64, 64 * 128 * 128 // self.pixels))
        given = np.broadcast_to(-1 if labels is None else labels, (len(latents), len(self.names))).astype(np.int64)
        parts = []
        for start in range(0, len(latents), batch):
            inputs = {"latent": latents[start : start + batch]}
            if self.names:
                inputs["labels"] = given[start : start + batch]
            drawn = self.session.run(None, inputs)[0]
            parts.append(np.clip(np.rint(drawn * 127.5 + 127.5), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))
        return np.concatenate(parts)


def interpolate(ends: np.ndarray, steps: int) -> np.ndarray:
    """Great-circle walks between consecutive latents [k, d]: float32 [(k - 1) * steps, d].

    A straight line between two normal latents passes through unlikely short ones (White, 2016).
    """
    rows = []
    for a, b in itertools.pairwise(ends):
        angle = math.acos(float(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1)))
        for share in np.linspace(0, 1, steps):
            weights = (
                (1 - share, share)
                if angle < 1e-4
                else (
                    math.sin((1 - share) * angle) / math.sin(angle),
                    math.sin(share * angle) / math.sin(angle),
                )
            )
            rows.append(weights[0] * a + weights[1] * b)
    return np.asarray(rows, np.float32)


def image(picture: np.ndarray) -> Image.Image:
    """uint8 [h, w, channels]: gray, RGB or RGBA."""
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def rgb(pictures: np.ndarray) -> np.ndarray:
    """uint8 [..., 3] of [..., channels]: gray in three equal channels, what is transparent over white."""
    if pictures.shape[-1] == 4:
        colour, alpha = pictures[..., :3].astype(np.int32), pictures[..., 3:].astype(np.int32)
        return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.broadcast_to(pictures, (*pictures.shape[:-1], 3))


def grid(pictures: np.ndarray, columns: int) -> Image.Image:
    """Pictures uint8 [n, h, w, channels] row by row on white; on nothing where they have transparency."""
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + 2) + 2, columns * (width + 2) + 2, channels), 255, np.uint8)
    canvas[..., 3:] = 0
    for place, picture in enumerate(pictures):
        top, left = 2 + place // columns * (height + 2), 2 + place % columns * (width + 2)
        canvas[top : top + height, left : left + width] = picture
    return image(canvas)


def arguments() -> argparse.ArgumentParser:
    """The options that drawing takes, wherever it is offered."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--count", type=int, default=25, help="pictures (in a row with --each, rows with --interpolate); default 25"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same pictures; default 0")
    parser.add_argument(
        "--label", action="append", default=[], metavar="NAME=CLASS", help="such as hair=pink; may be repeated"
    )
    parser.add_argument("--each", metavar="NAME", help="a row for each class of a label, the same latents in every row")
    parser.add_argument("--truncation", type=float, default=1.0, help="scale of the latents; default 1")
    parser.add_argument("--interpolate", action="store_true", help="each row walks from one face to the next")
    parser.add_argument("--steps", type=int, default=8, help="pictures in a row of --interpolate; default 8")
    parser.add_argument("--out", type=Path, default=OUT, help="the PNG to write; default grid.png")
    return parser


def checked(generator: Generator, options: argparse.Namespace) -> "list[str]":
    """What the rows of ``--each`` ask for. Raises SystemExit for options that cannot be."""
    if options.count < 1 or options.steps < 2 or options.seed < 0 or not 0 <= options.truncation < math.inf:
        raise SystemExit("error: --count should be at least 1, --steps 2, and --seed and --truncation not negative")
    if options.each and options.interpolate:
        raise SystemExit("error: --each and --interpolate both decide what a row is: ask for one of them")
    try:
        generator.labels(options.label)
        return [f"{options.each}={value}" for value in generator.classes(options.each)] if options.each else []
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None


def draw(generator: Generator, options: argparse.Namespace) -> Image.Image:
    """The grid that the options ask for."""
    rows = checked(generator, options)
    labels = generator.labels(options.label)
    if options.interpolate:
        ends = generator.latents(options.count + 1, options.seed, options.truncation)
        return grid(generator.pictures(interpolate(ends, options.steps), labels), options.steps)
    latents = generator.latents(options.count, options.seed, options.truncation)
    if options.each:
        given = [generator.labels([*options.label, row]) for row in rows]
        return grid(np.concatenate([generator.pictures(latents, labels) for labels in given]), options.count)
    return grid(generator.pictures(latents, labels), math.ceil(math.sqrt(options.count)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, parents=[arguments()])
    beside = Path(__file__).with_name("generator.onnx")
    parser.add_argument(
        "--model", type=Path, default=beside, help="an ONNX file; default the generator.onnx beside this"
    )
    options = parser.parse_args()
    if not options.model.is_file():
        raise SystemExit(f"error: --model: {options.model} does not exist")
    draw(Generator(options.model), options).save(options.out)
    print(options.out)
