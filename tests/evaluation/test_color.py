"""Colours are counted as numpy counts them, and moving some of them is the share that moved."""

import numpy as np
import pytest
import torch

from evaluation.doubles import noise
from facegan.evaluation.color import color_distance, color_histograms


def test_a_histogram_is_numpys() -> None:
    images = noise(70, 3, 16)
    for place in (0, 69):
        expected, _ = np.histogramdd(images[place].reshape(-1, 3).numpy(), bins=8, range=[(0, 256)] * 3)
        np.testing.assert_allclose(color_histograms(images)[place].numpy(), expected.ravel() / 256)


def test_the_distance_is_the_share_of_pixels_that_changed() -> None:
    images = torch.zeros((4, 16, 16, 3), dtype=torch.uint8)
    repainted = images.clone()
    repainted[0, :8] = 200
    histograms = color_histograms(images)
    assert color_distance(histograms, color_histograms(repainted)) == pytest.approx(1 / 8)
    assert color_distance(histograms, color_histograms(images.flip(0))) == 0
    assert color_distance(histograms, color_histograms(images + 255)) == 1
