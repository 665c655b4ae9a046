"""Draw pictures with the generator in this folder. Needs onnxruntime, numpy and Pillow, nothing else.

python generate.py --count 25 --seed 3 --out grid.png
"""

import argparse
import itertools
import math
import os
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from PIL import Image


class Generator:
    """The ONNX generator: latents float32 [n, latent] to pictures uint8 [n, size, size, 3]."""

    def __init__(self, path: "str | Path") -> None:
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.latent = int(self.session.get_inputs()[0].shape[1])

    def latents(self, count: int, seed: int, truncation: float = 1.0) -> np.ndarray:
        """Standard normal float32 [count, latent], scaled by ``truncation``: below 1 is safer and less varied."""
        return (truncation * np.random.default_rng(seed).standard_normal((count, self.latent))).astype(np.float32)

    def pictures(self, latents: np.ndarray, batch: int = 64) -> np.ndarray:
        """uint8 [n, size, size, 3]."""
        parts = []
        for start in range(0, len(latents), batch):
            drawn = self.session.run(None, {"latent": latents[start : start + batch]})[0]
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


def grid(pictures: np.ndarray, columns: int) -> Image.Image:
    """Pictures uint8 [n, h, w, 3] row by row on white."""
    count, height, width, _ = pictures.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + 2) + 2, columns * (width + 2) + 2, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = 2 + place // columns * (height + 2), 2 + place % columns * (width + 2)
        canvas[top : top + height, left : left + width] = picture
    return Image.fromarray(canvas)


def arguments() -> argparse.ArgumentParser:
    """The options that drawing takes, wherever it is offered."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--count", type=int, default=25, help="pictures (rows, with --interpolate); default 25")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same pictures; default 0")
    parser.add_argument("--truncation", type=float, default=1.0, help="scale of the latents; default 1")
    parser.add_argument("--interpolate", action="store_true", help="each row walks from one face to the next")
    parser.add_argument("--steps", type=int, default=8, help="pictures in a row of --interpolate; default 8")
    parser.add_argument("--out", type=Path, default=Path("grid.png"), help="the PNG to write; default grid.png")
    return parser


def draw(generator: Generator, options: argparse.Namespace) -> Image.Image:
    """The grid that the options ask for."""
    if options.count < 1 or options.steps < 2 or options.seed < 0:
        raise SystemExit("--count should be at least 1, --steps at least 2 and --seed not negative")
    if options.interpolate:
        ends = generator.latents(options.count + 1, options.seed, options.truncation)
        return grid(generator.pictures(interpolate(ends, options.steps)), options.steps)
    pictures = generator.pictures(generator.latents(options.count, options.seed, options.truncation))
    return grid(pictures, math.ceil(math.sqrt(options.count)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, parents=[arguments()])
    options = parser.parse_args()
    draw(Generator(Path(__file__).with_name("generator.onnx")), options).save(options.out)
    print(options.out)
