"""What the demo draws, apart from how it shows it."""

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from facegan.exporting.shipped.generate import Generator, image, interpolate

DIRECTIONS = 6
SAMPLES = 512  # pictures from which the directions are found
SIDE = 16  # pixels at which they are looked at
SHOWN = 320  # pixels at which a face is shown, at least


@dataclass(frozen=True)
class Faces:
    """Pictures of one generator, with labels int64 [columns]."""

    generator: Generator

    @cached_property
    def directions(self) -> np.ndarray:
        """float32 [directions, latent]: unit vectors along which pictures change most, the strongest first.

        A linear fit from latents to small pictures, and the singular vectors of it: like GANSpace (Harkonen et al.,
        2020), but of the outputs, so that any ONNX file will do.
        """
        latents = self.generator.latents(SAMPLES, 0)
        pictures = self.generator.pictures(latents)
        count, *sides, channels = pictures.shape
        steps = [max(1, side // SIDE) for side in sides]
        (down, right), (high, wide) = steps, [side // step for side, step in zip(sides, steps, strict=True)]
        blocks = pictures[:, : high * down, : wide * right].reshape(count, high, down, wide, right, channels)
        small = blocks.mean((2, 4)).reshape(len(pictures), -1)
        # Ridge regression: there may be fewer samples than dimensions.
        gram = latents.T @ latents + 0.1 * SAMPLES * np.eye(latents.shape[1], dtype=np.float32)
        fit = np.linalg.solve(gram, latents.T @ (small - small.mean(0)))
        vectors = np.linalg.svd(fit, full_matrices=False)[0].T[:DIRECTIONS]
        return np.asarray(vectors, np.float32)

    def latent(self, seed: int, truncation: float, moves: list[float]) -> np.ndarray:
        """float32 [1, latent] of a seed, moved along the directions by so many standard deviations."""
        latent = self.generator.latents(1, seed, truncation)
        if any(moves):
            latent = latent + np.asarray(moves, np.float32) @ self.directions[: len(moves)]
        return latent.astype(np.float32)

    def mix(self, first: int, second: int, share: float, truncation: float) -> np.ndarray:
        """float32 [1, latent] between two seeds, on the great circle: 0 is the first, 1 the second."""
        ends = np.concatenate([self.generator.latents(1, seed, truncation) for seed in (first, second)])
        steps = 101
        found: np.ndarray = interpolate(ends, steps)[round(share * (steps - 1))][None]
        return found


def shown(picture: np.ndarray) -> Image.Image:
    """uint8 [h, w, channels], enlarged a whole number of times so that it fills a phone's width."""
    face = image(picture)
    factor = max(1, -(-SHOWN // face.width))
    return face.resize((face.width * factor, face.height * factor), Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
