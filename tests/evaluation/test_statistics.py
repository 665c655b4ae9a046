"""The Frechet distance against its textbook formula, and statistics that do not care how the features arrive."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from facegan.evaluation.statistics import FeatureStatistics, frechet_distance

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def gathered(features: Any, space: str = "space") -> FeatureStatistics:
    return FeatureStatistics(space).update(torch.as_tensor(features))


def gaussian(mean: Array, covariance: Array, count: int = 50) -> FeatureStatistics:
    """Statistics of exactly this mean and covariance."""
    held = {
        "a.count": torch.tensor(count),
        "a.shift": torch.from_numpy(mean),
        "a.sum": torch.zeros(len(mean), dtype=torch.float64),
        "a.products": torch.from_numpy(covariance * (count - 1)),
    }
    return FeatureStatistics.from_tensors(held, "a", "space")


def textbook(m1: Array, s1: Array, m2: Array, s2: Array) -> float:
    """Heusel et al., 2017, with a matrix square root."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of singular matrices
        root = linalg.sqrtm(s1 @ s2)
    return float((m1 - m2) @ (m1 - m2) + np.trace(s1 + s2 - 2 * root.real))


def spd(random: np.random.Generator, size: int, spread: float) -> Array:
    """A positive definite matrix whose eigenvalues span ``spread`` orders of magnitude."""
    basis = np.linalg.qr(random.standard_normal((size, size)))[0]
    return (basis * 10 ** random.uniform(-spread, 0, size)) @ basis.T


@settings(max_examples=60)
@given(st.integers(1, 24), st.floats(0, 4), st.floats(1e-3, 1e3), st.integers(0, 2**32 - 1))
def test_it_is_the_textbook_formula(size: int, spread: float, scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    m1, m2 = random.standard_normal((2, size)) * scale
    s1, s2 = (spd(random, size, spread) * scale**2 for _ in range(2))
    expected = textbook(m1, s1, m2, s2)
    size_of_terms = float((m1 - m2) @ (m1 - m2) + np.trace(s1 + s2))
    found = frechet_distance(gaussian(m1, s1), gaussian(m2, s2))
    assert found == pytest.approx(expected, abs=1e-9 * size_of_terms)


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_it_is_right_with_fewer_samples_than_dimensions(n: int, m: int, dimensions: int, seed: int) -> None:
    """Singular covariances, where a matrix square root is inaccurate: the trace is a sum of singular values."""
    random = np.random.default_rng(seed)
    x, y = random.standard_normal((n, dimensions)), random.standard_normal((m, dimensions)) * 2 + 1
    a, b = (x - x.mean(0)) / (n - 1) ** 0.5, (y - y.mean(0)) / (m - 1) ** 0.5
    trace = np.linalg.svd(a @ b.T, compute_uv=False).sum()  # S1 = a'a, S2 = b'b
    shift = x.mean(0) - y.mean(0)
    expected = shift @ shift + (a**2).sum() + (b**2).sum() - 2 * trace
    found = frechet_distance(gathered(x), gathered(y))
    assert found == pytest.approx(expected, abs=1e-7 * (1 + (a**2).sum() + (b**2).sum()))


def test_singular_covariances_agree_with_the_matrix_square_root() -> None:
    random = np.random.default_rng(5)
    x, y = random.standard_normal((20, 64)), random.standard_normal((15, 64)) + 3
    expected = textbook(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    assert frechet_distance(gathered(x), gathered(y)) == pytest.approx(expected, rel=1e-6)


def test_one_dimension_can_be_done_by_hand() -> None:
    # (mean 1, variance 4) to (mean 4, variance 25): (1 - 4)^2 + (2 - 5)^2
    assert frechet_distance(
        gaussian(np.array([1.0]), np.array([[4.0]])), gaussian(np.array([4.0]), np.array([[25.0]]))
    ) == pytest.approx(18)


@settings(max_examples=30)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 10), st.integers(0, 2**32 - 1))
def test_it_is_a_distance(n: int, m: int, dimensions: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = random.standard_normal((n, dimensions)), random.standard_normal((m, dimensions)) * 3
    there, back = frechet_distance(gathered(x), gathered(y)), frechet_distance(gathered(y), gathered(x))
    assert there == pytest.approx(back, rel=1e-6, abs=1e-6)
    assert there >= 0
    assert frechet_distance(gathered(x), gathered(x)) == pytest.approx(0, abs=1e-6)
    move = random.standard_normal(dimensions) * 10
    both = frechet_distance(gathered(x + move), gathered(y + move))
    assert both == pytest.approx(there, rel=1e-6, abs=1e-6)
    assert frechet_distance(gathered(x), gathered(x + move)) == pytest.approx(move @ move, rel=1e-6)
    assert frechet_distance(gathered(3 * x), gathered(3 * y)) == pytest.approx(9 * there, rel=1e-6, abs=1e-5)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_features_may_arrive_in_any_batches(sizes: list[int], dimensions: int, seed: int) -> None:
    count = sum(sizes)
    features = torch.from_numpy(np.random.default_rng(seed).standard_normal((count, dimensions)) * 5 + 100)
    stream = FeatureStatistics("space")
    for part in features.split(sizes):
        assert stream.update(part) is stream
    assert stream.count == count
    if count < 2:
        return
    np.testing.assert_allclose(stream.mean.numpy(), features.numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        stream.covariance.numpy(), np.atleast_2d(np.cov(features.numpy(), rowvar=False)), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("first", [1, 7])
def test_a_large_mean_costs_no_accuracy(first: int) -> None:
    """Sums of squares would be 1e12 times the variances that are wanted."""
    random = np.random.default_rng(1)
    x, y = random.standard_normal((500, 6)), random.standard_normal((400, 6)) * 1.1 + 0.2
    expected = frechet_distance(gathered(x), gathered(y))

    def far(features: Array) -> FeatureStatistics:
        moved = torch.from_numpy(features + 1e6)
        statistics = FeatureStatistics("space").update(moved[:first])
        return statistics.update(moved[first:])

    assert frechet_distance(far(x), far(y)) == pytest.approx(expected, rel=1e-7)
    assert 0.01 < expected < 1


def test_float32_features_are_summed_in_float64() -> None:
    features = torch.randn(5000, 4, generator=torch.Generator().manual_seed(0)) * 1e-2 + 3
    statistics = FeatureStatistics("space")
    for part in features.split(64):
        statistics.update(part)
    assert statistics.mean.dtype == statistics.covariance.dtype == torch.float64
    np.testing.assert_allclose(statistics.mean.numpy(), features.double().mean(0).numpy(), rtol=1e-13)
    np.testing.assert_allclose(
        statistics.covariance.numpy(), np.cov(features.double().numpy(), rowvar=False), rtol=1e-9
    )


def test_gathering_does_not_change_the_features() -> None:
    features = torch.ones(4, 3, dtype=torch.float64)
    gathered(features).update(features)
    assert torch.equal(features, torch.ones(4, 3, dtype=torch.float64))


def test_two_feature_spaces_are_not_compared() -> None:
    x = torch.randn(5, 2)
    with pytest.raises(ValueError, match="different extractors"):
        frechet_distance(gathered(x, "one space"), gathered(x, "another"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_features_that_are_no_numbers_are_refused(bad: float) -> None:
    features = torch.randn(5, 2)
    features[3, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        gathered(features)
    statistics = gathered(torch.randn(5, 2))
    with pytest.raises(ValueError, match="not finite"):
        statistics.update(features)


def test_a_distance_that_is_no_number_is_never_the_perfect_one() -> None:
    """Statistics may come from a file: whatever is in it, a broken distance must not read as 0."""
    good = gaussian(np.zeros(2), np.eye(2))
    for mean, covariance in (
        (np.array([np.nan, 0]), np.eye(2)),
        (np.array([np.inf, 0]), np.eye(2)),
        (np.zeros(2), np.full((2, 2), np.nan)),
    ):
        for pair in ((good, gaussian(mean, covariance)), (gaussian(mean, covariance), good)):
            try:
                found = frechet_distance(*pair)
            except (ValueError, RuntimeError):  # refused: good
                continue
            assert found > 0, "a broken distance reads as the best possible score"


def test_one_sample_has_no_covariance() -> None:
    for features in (torch.randn(1, 3), torch.randn(0, 3)):
        with pytest.raises(ValueError, match="at least 2 samples"):
            frechet_distance(gathered(torch.randn(5, 3)), gathered(features))


class OnAnotherDevice(torch.Tensor):
    """Behaves as a tensor on a GPU does: it cannot be mixed with one on the CPU until it is brought there."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        if any(type(value) is torch.Tensor and value.dim() for value in args):
            raise RuntimeError("Expected all tensors to be on the same device")
        return super().__torch_function__(func, types, args, kwargs or {})


def test_statistics_from_a_file_and_from_a_gpu_are_compared() -> None:
    """A cached reference lies on the CPU, the features of the generator where the extractor works."""
    x, y = torch.randn(9, 3, dtype=torch.float64), torch.randn(9, 3, dtype=torch.float64)
    expected = frechet_distance(gathered(x), gathered(y))
    far = gathered(y)
    far._shift, far._sum, far._products = (
        value.as_subclass(OnAnotherDevice) for value in (far._shift, far._sum, far._products)
    )
    with pytest.raises(RuntimeError, match="same device"):
        far.mean + torch.zeros(3)
    assert frechet_distance(gathered(x), far) == pytest.approx(expected)
    assert frechet_distance(far, gathered(x)) == pytest.approx(expected)


def test_statistics_survive_a_file() -> None:
    statistics = gathered(torch.randn(9, 3, dtype=torch.float64))
    read = FeatureStatistics.from_tensors(statistics.tensors("x"), "x", "space")
    assert read.count == 9
    assert torch.equal(read.mean, statistics.mean)
    assert torch.equal(read.covariance, statistics.covariance)
    with pytest.raises(KeyError):
        FeatureStatistics.from_tensors(statistics.tensors("x"), "y", "space")


def test_statistics_of_parts_add_up_to_those_of_all() -> None:
    """Each part sums about the mean of its first batch, which is not that of the part."""
    features = torch.randn((90, 5), generator=torch.Generator().manual_seed(0)) * 3 + torch.arange(90)[:, None] / 9
    parts = [
        FeatureStatistics("a").update(features[start : start + 11]).update(features[start + 11 : start + 30])
        for start in (0, 30, 60)
    ]
    total, whole = FeatureStatistics("a") + parts[0] + parts[1] + parts[2], FeatureStatistics("a").update(features)
    assert total.count == whole.count
    torch.testing.assert_close(total.mean, whole.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(total.covariance, whole.covariance, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="different extractors"):
        parts[0] + FeatureStatistics("b").update(features)
