"""The kernel distance against loops, and its promise to be unbiased."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_kid import kernel_mmd

from facegan.evaluation import kernel
from facegan.evaluation.kernel import kernel_distance
from facegan.evaluation.spread import groups, jackknife
from facegan.randomness import generator


def oracle(x: torch.Tensor, y: torch.Tensor) -> float:
    """Binkowski et al., 2018, equation 4, term by term."""
    dimensions = x.shape[1]

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return (float(a.double() @ b.double()) / dimensions + 1) ** 3

    n, m = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    between = sum(k(a, b) for a in x for b in y) / (n * m)
    return within_x + within_y - 2 * between


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_two_pictures_a_side_can_be_done_by_hand(dimensions: int, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, dimensions, generator=source), torch.randn(2, dimensions, generator=source) + 1
    found = kernel_distance(x, y, 0)
    assert found.subset_size == 2
    assert found.mean == pytest.approx(oracle(x, y), rel=1e-5, abs=1e-5)
    assert found.std == pytest.approx(0, abs=1e-5)  # every subset is the whole


def test_it_is_the_mean_over_subsets_term_by_term(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "SUBSETS", 4)
    x, y = torch.randn(11, 5), torch.randn(9, 5) + 0.5
    found = kernel_distance(x, y, 7)
    assert found.subset_size == 4  # half of the smaller side
    source, values = generator(7, "kernel subsets"), []
    for _ in range(4):
        part = x[torch.randperm(11, generator=source)[:4]]
        values.append(oracle(part, y[torch.randperm(9, generator=source)[:4]]))
    expected = torch.tensor(values, dtype=torch.float64)
    assert found.mean == pytest.approx(float(expected.mean()), rel=1e-5)
    assert found.std == pytest.approx(float(expected.std(correction=0)), rel=1e-4)
    assert found.std > 0


def test_it_is_close_to_that_of_all_pictures() -> None:
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 4, generator=source), torch.randn(60, 4, generator=source) * 1.5 + 0.5
    found = kernel_distance(x, y, 0)
    assert abs(found.mean - oracle(x, y)) < 3 * found.std / 100**0.5 + 0.05 * found.mean
    assert found.mean > 0.5


def test_the_error_does_not_depend_on_how_many_rows_are_looked_at_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = torch.Generator().manual_seed(3)
    x, y = (torch.randn(60, 6, generator=source) for _ in range(2))
    whole = kernel_distance(x, y, 1).error
    monkeypatch.setattr("facegan.evaluation.kernel.ROWS", 7)
    assert kernel_distance(x, y, 1).error == pytest.approx(whole, rel=1e-9)


def test_it_is_zero_on_average_for_one_distribution() -> None:
    """Unbiased: over many draws the mean is zero within its error, and some values are below zero."""
    source = torch.Generator().manual_seed(1)
    values = torch.tensor(
        [
            kernel_distance(torch.randn(16, 8, generator=source), torch.randn(16, 8, generator=source), seed).mean
            for seed in range(80)
        ]
    )
    error = values.std() / len(values) ** 0.5
    assert abs(values.mean()) < 3 * error
    assert (values < 0).sum() > 20
    # The biased estimate, with the diagonal, is off by many errors at this size: the test can tell.
    assert 6 * error < 2 * ((1 + 1) ** 3 - 1) / 16


def test_it_grows_with_the_distance() -> None:
    source = torch.Generator().manual_seed(2)
    x, y = torch.randn(40, 8, generator=source), torch.randn(40, 8, generator=source)
    values = [kernel_distance(x, y + shift, 0).mean for shift in (0.0, 0.3, 0.6, 1.2)]
    assert values == sorted(values)
    assert values[1] > values[0] + 0.01


def test_the_same_seed_takes_the_same_subsets() -> None:
    x, y = torch.randn(30, 4), torch.randn(30, 4)
    assert kernel_distance(x, y, 1) == kernel_distance(x, y, 1)
    assert kernel_distance(x, y, 1).mean != kernel_distance(x, y, 2).mean


def test_a_subset_holds_at_most_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (kernel.SUBSETS, kernel.SUBSET_SIZE) == (100, 1000)  # as published
    monkeypatch.setattr(kernel, "SUBSETS", 2)
    few = torch.randn(2400, 1)
    assert kernel_distance(few, few[:2200], 0).subset_size == 1000
    assert kernel_distance(few, few[:200], 0).subset_size == 100


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (0, 5)])
def test_fewer_than_two_pictures_are_refused(n: int, m: int) -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        kernel_distance(torch.randn(n, 3), torch.randn(m, 3), 0)


def test_it_is_torch_fidelitys_on_the_same_pictures() -> None:
    source = torch.Generator().manual_seed(4)
    x, y = torch.randn((60, 12), generator=source), torch.randn((60, 12), generator=source) * 1.2
    settings = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    expected = kernel_mmd(x.double().numpy(), y.double().numpy(), kid_kernel_poly_coef0=1, **settings)
    assert kernel._unbiased(x, y) == pytest.approx(expected, rel=1e-5)


def test_the_error_is_the_spread_over_other_generated_pictures() -> None:
    """The published spread, over smaller subsets, is wider."""
    source = torch.Generator().manual_seed(0)
    real = torch.randn((600, 6), generator=source)
    found = [kernel_distance(real, torch.randn((600, 6), generator=source) * 1.1, 1) for _ in range(30)]
    values = torch.tensor([distance.mean for distance in found])
    error = sum(distance.error or 0 for distance in found) / len(found)
    assert error == pytest.approx(float(values.std()), rel=0.5)
    assert sum(distance.std for distance in found) / len(found) > error
    assert kernel_distance(real, real[:2], 1).error is None


def test_the_error_is_the_jackknifes_term_by_term() -> None:
    source = torch.Generator().manual_seed(2)
    real, fake = torch.randn((12, 4), generator=source), torch.randn((23, 4), generator=source) * 1.3
    expected = jackknife(len(fake), lambda number: oracle(real, fake[groups(len(fake)) != number]))
    assert kernel_distance(real, fake, 1).error == pytest.approx(expected, rel=1e-4)
