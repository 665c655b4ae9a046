"""A feature space that is the same everywhere, and that sees what is wrong with a picture."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from facegan.evaluation.random_network import SPACE, random_extractor
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance

CPU = torch.device("cpu")


def distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    extractor = random_extractor(CPU)
    gathered = []
    for images in (real, fake):
        statistics = FeatureStatistics(extractor.sha256)
        for features in extractor.batches(images):
            statistics.update(features)
        gathered.append(statistics)
    return frechet_distance(*gathered)


def test_the_weights_are_the_promised_ones() -> None:
    # Known value: a change here makes every score that was ever reported incomparable.
    known = "7a9d7592df3b87971a6bd4c3375368cff2f1687cb0b6cdf157f495a234a8161c"
    assert random_extractor(CPU).sha256 == known
    torch.manual_seed(5)  # the global generator has no say
    assert random_extractor(CPU).sha256 == known


def test_the_features_are_the_promised_ones() -> None:
    # Known values, to the rounding of a convolution: the layers and what is read from them, not only the weights.
    ramp = torch.arange(2 * 32 * 32 * 3).remainder(251).to(torch.uint8).reshape(2, 32, 32, 3)
    (features,) = random_extractor(CPU).batches(ramp)
    found = [float(features[0, 0]), float(features[0, 20]), float(features[1, 479]), float(features.sum())]
    assert found == pytest.approx([0.1977212, 0.4071854, 0.1168751, 244.385956], rel=1e-4)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_features_have_the_size_that_is_told(size: int) -> None:
    extractor = random_extractor(CPU)
    features = extractor.extract(torch.zeros(2, size, size, 3, dtype=torch.uint8))
    assert features.shape == (2, extractor.dimensions) == (2, 480)
    assert features.dtype == torch.float32
    assert features.isfinite().all()


def test_it_is_told_apart_from_fid() -> None:
    extractor = random_extractor(CPU)
    assert extractor.name == "random"
    assert extractor.suffix == "_random"
    assert extractor.protocol == {"resize": "none", "space": SPACE}


def test_features_of_a_picture_do_not_depend_on_its_company(faces: torch.Tensor) -> None:
    extractor = random_extractor(CPU)
    together = torch.cat(list(extractor.batches(faces[:70])))
    alone = torch.cat([extractor.extract(face[None]) for face in faces[:70:10]])
    torch.testing.assert_close(together[::10], alone, rtol=1e-4, atol=1e-5)


def blur(images: torch.Tensor, level: int) -> torch.Tensor:
    pictures = images.permute(0, 3, 1, 2).float()
    for _ in range(level):
        pictures = functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), "replicate"), 3, 1)
    return pictures.permute(0, 2, 3, 1).round().to(torch.uint8)


def grain(images: torch.Tensor, level: int) -> torch.Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + noise * 8 * level).round().clamp(0, 255).to(torch.uint8)


def brighter(images: torch.Tensor, level: int) -> torch.Tensor:
    return (images.int() + 15 * level).clamp(0, 255).to(torch.uint8)


def darker(images: torch.Tensor, level: int) -> torch.Tensor:
    return (images.int() - 15 * level).clamp(0, 255).to(torch.uint8)


def fewer(images: torch.Tensor, level: int) -> torch.Tensor:
    """A generator that has collapsed onto some of its pictures."""
    keep = len(images) >> level
    return images[:keep].repeat(1 << level, 1, 1, 1)


@pytest.mark.parametrize("degrade", [blur, grain, brighter, darker, fewer])
def test_the_distance_grows_with_the_damage(
    faces: torch.Tensor, degrade: Callable[[torch.Tensor, int], torch.Tensor]
) -> None:
    real, fake = faces[:80], faces[80:]
    values = [distance(real, degrade(fake, level)) for level in range(4)]
    assert values == sorted(values)
    for before, after in pairwise(values):
        assert after > 1.01 * before
