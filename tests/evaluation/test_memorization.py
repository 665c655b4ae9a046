"""Copies of training pictures are seen, whether mirrored, noisy or few; blurred pictures are none."""

import pytest
import torch
from scipy.spatial.distance import cdist
from torch.nn import functional

from facegan.evaluation import memorization
from facegan.evaluation.memorization import NEIGHBORS, leaning, memorized, nearest
from facegan.evaluation.neighbors import Share


def small(images: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(images.permute(0, 3, 1, 2).float(), 4).flatten(1)


def test_neighbours_are_scipys_among_the_pictures_and_their_mirror_images(
    faces: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memorization, "BATCH", 37)
    found = nearest(faces[:20], faces[20:])
    both = [cdist(small(faces[:20]), small(train)) for train in (faces[20:], faces[20:].flip(2))]
    expected = torch.minimum(*map(torch.from_numpy, both)).topk(NEIGHBORS + 1, largest=False)
    torch.testing.assert_close(found.distance.double(), expected.values, rtol=1e-4, atol=1e-2)
    assert torch.equal(found.index, expected.indices)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_it_grows_with_the_share_of_copies(faces: torch.Tensor, share: float) -> None:
    train, held_out, generated = faces[:80], faces[80:120], faces[120:].clone()
    copies = round(share * len(generated))
    noisy = train[:copies].flip(2).float() + 8 * torch.randn(
        train[:copies].shape, generator=torch.Generator().manual_seed(0)
    )
    generated[:copies] = noisy.clamp(0, 255).to(torch.uint8)
    found = memorized(nearest(generated, train), nearest(held_out, train))
    assert found.value == pytest.approx(max(share, 0.05), abs=0.12)


def test_held_out_pictures_have_the_share_that_sets_the_threshold(faces: torch.Tensor) -> None:
    found = nearest(faces[80:], faces[:80])
    assert memorized(found, found).value == pytest.approx(0.05, abs=0.01)


def test_blurred_pictures_are_no_copies(faces: torch.Tensor) -> None:
    train, held_out = faces[:80], faces[80:120]
    blurred = functional.avg_pool2d(faces[120:].permute(0, 3, 1, 2).float(), 9, 1, 4)
    blurred = blurred.to(torch.uint8).permute(0, 2, 3, 1)
    assert memorized(nearest(blurred, train), nearest(held_out, train)).value < 0.25


def gap(generated: torch.Tensor, train: torch.Tensor, held_out: torch.Tensor) -> Share:
    distances = (nearest(generated, real).distance[:, 0] for real in (train, held_out))
    return leaning(*distances, len(train), len(held_out))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("held_out", [10, 60])
def test_a_leaning_to_training_pictures_is_seen_without_copies(
    faces: torch.Tensor, share: float, held_out: int
) -> None:
    """Pictures between two of training; the rest were never seen."""
    train, generated = faces[:60], faces[120:160].clone()
    number = round(share * len(generated))
    mixed = train[:number].float() * 0.7 + train[1 : number + 1].float() * 0.3
    generated[:number] = mixed.round().to(torch.uint8)
    found = gap(generated, train, faces[60 : 60 + held_out])
    assert found.n == 40 and found.std is not None
    assert found.value == pytest.approx(share, abs=max(0.05, 3 * found.std))


def test_a_picture_that_is_in_both_leans_to_neither(faces: torch.Tensor) -> None:
    assert gap(faces[:10], faces[:40], faces[:40]).value == 0


def test_too_few_training_pictures_are_refused(faces: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="at least 6 training pictures, there are 5"):
        nearest(faces[:2], faces[:5])
