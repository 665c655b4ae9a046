"""The jackknife gives the standard error that theory gives."""

import pytest
import torch

from facegan.evaluation.spread import GROUPS, certain, entry, groups, jackknife


def test_of_a_mean_it_is_the_deviation_over_the_root_of_the_count() -> None:
    found = []
    for seed in range(40):
        values = torch.randn(500, generator=torch.Generator().manual_seed(seed)).double()
        found.append(jackknife(500, lambda number, values=values: float(values[groups(500) != number].mean())))
    assert sum(found) / 40 == pytest.approx(1 / 500**0.5, rel=0.1)


def test_with_as_many_groups_as_pictures_it_is_exact() -> None:
    values = torch.tensor([1.0, 4.0, 2.0, 9.0, 3.0], dtype=torch.float64)
    found = jackknife(5, lambda number: float(values[groups(5) != number].mean()))
    assert found == pytest.approx(float(values.std()) / 5**0.5)


def test_a_score_that_does_not_move_has_none_and_two_pictures_have_no_spread() -> None:
    assert jackknife(100, lambda number: 3.0) == 0
    assert jackknife(2, lambda number: 1 / 0) is None


def test_a_spread_that_is_not_known_is_no_certainty() -> None:
    assert certain(2.0, 0.3, 0.4) == pytest.approx(1.0)
    assert certain(2.0, 0.3, None) == float("inf")
    assert entry(1.0, None, 0.5, None, 2) == {"value": 1.0, "floor": 0.5, "n": 2}


def test_groups_are_of_equal_size() -> None:
    assert groups(95).bincount().tolist() == [10] * 5 + [9] * 5
    assert groups(3).tolist() == [0, 1, 2] and GROUPS == 10
