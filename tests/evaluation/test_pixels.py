"""Scores without a network: each with spread, floor and count, on pictures that the floor is not made of twice."""

import pytest
import torch

from evaluation.doubles import noise
from facegan.evaluation import pixels
from facegan.evaluation.pixels import RealPictures, copies, pixel_scores


def real(faces: torch.Tensor, n: int = 40) -> RealPictures:
    return RealPictures.of(faces[:100], faces[100:120], n, 1)


def test_every_score_has_its_spread_floor_and_count(faces: torch.Tensor) -> None:
    found = pixel_scores(real(faces), faces[120:], 1)
    assert set(found) == {"sliced_wasserstein", "ms_ssim", "color_distance", "checkerboard_energy"}
    for name, score in found.items():
        assert score["n"] == 40 and score["std"] > 0 and score["floor"] > 0, name
        assert abs(score["value"] - score["floor"]) < 8 * score["std"], name  # faces like the others
    sizes = {key for key in found["sliced_wasserstein"] if "at_" in key}
    assert sizes == {f"{prefix}at_{size}" for prefix in ("", "floor_") for size in (64, 32, 16)}


def test_the_same_pictures_are_the_same_scores_and_another_seed_cuts_other_patches(faces: torch.Tensor) -> None:
    first, again, other = (pixel_scores(real(faces), faces[120:], seed) for seed in (1, 1, 2))
    assert first == again
    assert first["sliced_wasserstein"]["value"] != other["sliced_wasserstein"]["value"]
    assert first["color_distance"] == other["color_distance"]


def test_the_sets_of_the_floor_are_disjoint_and_of_both_splits() -> None:
    pictures = noise(90, 3)
    chosen = RealPictures.of(pictures[:60], pictures[60:], 40, 1)
    rows = [{tuple(picture.flatten().tolist()) for picture in part} for part in (chosen.first, chosen.second)]
    assert len(rows[0]) == len(rows[1]) == 40 and not rows[0] & rows[1]
    held_out = {tuple(picture.flatten().tolist()) for picture in pictures[60:]}
    assert rows[0] & held_out and rows[1] & held_out


def test_there_are_at_most_five_thousand_a_side_and_at_least_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "MOST", 7)
    assert len(RealPictures.of(noise(60), noise(30), 40, 1).first) == 7
    with pytest.raises(ValueError, match="3 real pictures are too few"):
        RealPictures.of(noise(2), noise(1), 40, 1)


def test_fewer_generated_pictures_are_held_against_as_many(faces: torch.Tensor) -> None:
    assert {score["n"] for score in pixel_scores(real(faces), faces[120:133], 1).values()} == {13}


def test_copies_are_found_with_their_originals_and_scored(faces: torch.Tensor) -> None:
    found = copies(real(faces), torch.cat([faces[:20], faces[120:140]]))
    assert found is not None
    near, scores = found
    score = scores["memorization"]
    assert near.index[:20, 0].tolist() == list(range(20))
    assert score["value"] >= 0.5 and score["floor"] <= 0.1 and score["held_out_n"] == 20 and score["n"] == 40
    assert score["closeness"] < score["floor_closeness"]
    assert scores["generalization_gap"]["value"] > 0.4 and scores["generalization_gap"]["held_out_n"] == 20


def test_without_held_out_pictures_nothing_is_said_of_copies(faces: torch.Tensor) -> None:
    assert copies(RealPictures.of(faces, faces[:0], 40, 1), faces[:9]) is None
    assert copies(RealPictures.of(faces[:100], faces[100:119], 40, 1), faces[:9]) is None  # a twentieth of 19
    assert copies(RealPictures.of(faces[:5], faces[5:], 40, 1), faces[:9]) is None


def test_pictures_of_one_colour_have_scores_that_are_numbers(faces: torch.Tensor) -> None:
    """A collapsed generator is scored as the worst there is, not as an error."""
    gray = torch.full((40, 64, 64, 3), 128, dtype=torch.uint8)
    found = pixel_scores(real(faces), gray, 1)
    for name, score in found.items():
        assert all(value == value and abs(value) < 1e6 for value in score.values()), name
    assert found["ms_ssim"]["value"] == pytest.approx(1)
    assert found["sliced_wasserstein"]["value"] > 10 * found["sliced_wasserstein"]["floor"]
