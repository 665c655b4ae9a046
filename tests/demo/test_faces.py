"""What the demo draws: directions that change pictures most, mixtures that end in their ends."""

from pathlib import Path

import numpy as np
import pytest

from facegan.demo.faces import DIRECTIONS, Faces, shown
from facegan.exporting.shipped.generate import Generator
from facegan.repository.project import EXPORTED


class Linear(Generator):
    """Pictures that depend on three numbers of the latent, on one of them most."""

    def __init__(self) -> None:
        self.latent, self.names = 16, {}

    def pictures(self, latents: np.ndarray, labels: np.ndarray | None = None, batch: int = 64) -> np.ndarray:
        shade = 128 + 30 * latents[:, 5] + 10 * latents[:, 2]
        drawn = np.broadcast_to(shade[:, None, None, None], (len(latents), 32, 32, 3)).copy()
        drawn[:, :16] += 5 * latents[:, 9, None, None, None]
        return np.clip(drawn, 0, 255).astype(np.uint8)


def test_directions_are_those_that_change_pictures_most() -> None:
    directions = Faces(Linear()).directions
    assert directions.shape == (DIRECTIONS, 16)
    first, second = np.abs(directions[:2])
    expected = np.zeros(16)
    expected[[5, 2]] = 30, 10
    assert first @ (expected / np.linalg.norm(expected)) > 0.99
    assert second.argmax() == 9


def test_directions_are_unit_vectors_at_right_angles(project_root: Path) -> None:
    directions = Faces(Generator(project_root / EXPORTED / "generator.onnx")).directions
    assert np.allclose(directions @ directions.T, np.eye(DIRECTIONS), atol=1e-4)


def test_a_seed_without_moves_is_the_face_of_generate() -> None:
    faces = Faces(Linear())
    assert np.array_equal(faces.latent(3, 0.7, [0.0] * DIRECTIONS), faces.generator.latents(1, 3, 0.7))
    moved = faces.latent(3, 1.0, [2.0, 0.0]) - faces.latent(3, 1.0, [])
    assert np.allclose(moved, 2 * faces.directions[:1], atol=1e-5)


def test_a_mixture_begins_and_ends_with_its_faces() -> None:
    faces = Faces(Linear())
    for share, seed in ((0.0, 3), (1.0, 8)):
        assert np.allclose(faces.mix(3, 8, share, 1.0), faces.generator.latents(1, seed), atol=1e-5)
    assert np.array_equal(faces.mix(3, 3, 0.5, 1.0), faces.generator.latents(1, 3))


@pytest.mark.parametrize(("size", "width"), [(64, 320), (256, 512), (400, 400)])
def test_small_faces_are_enlarged_a_whole_number_of_times(size: int, width: int) -> None:
    assert shown(np.zeros((size, size, 3), np.uint8)).size == (width, width)
