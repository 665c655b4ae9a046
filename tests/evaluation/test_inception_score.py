"""The Inception Score is the published formula's, however the pictures come, and moves as it should."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch_fidelity.metric_isc import isc_features_to_metric

from facegan.evaluation.inception_score import InceptionScore


def score(logits: torch.Tensor, batch: int = 64) -> tuple[float, float]:
    result = InceptionScore(len(logits))
    for part in logits.split(batch):
        result.update(part)
    return result.result()


def published(logits: np.ndarray) -> tuple[float, float]:
    """As the formula reads (Salimans et al., 2016, section 4), by scipy's divergence, on ten parts."""
    p = softmax(logits.astype(np.float64), axis=1)
    parts = [p[split * len(p) // 10 : (split + 1) * len(p) // 10] for split in range(10)]
    scores = [np.exp(rel_entr(part, part.mean(0)).sum(1).mean()) for part in parts]
    return float(np.mean(scores)), float(np.std(scores))


@pytest.mark.parametrize(("count", "batch"), [(500, 64), (503, 7), (10, 10), (47, 1)])
def test_it_is_the_published_formula(count: int, batch: int) -> None:
    logits = torch.randn(count, 30, generator=torch.Generator().manual_seed(count)) * 3
    assert score(logits, batch) == pytest.approx(published(logits.numpy()), rel=1e-9, abs=1e-12)
    other = tuple(isc_features_to_metric(logits, shuffle=False).values())
    assert score(logits, batch) == pytest.approx(other, rel=1e-9, abs=1e-12)


def test_it_is_one_for_a_single_mode_and_the_number_of_classes_at_best() -> None:
    assert score(torch.zeros(100, 8))[0] == pytest.approx(1.0)
    assert score(torch.eye(8).repeat(20, 1) * 1000)[0] == pytest.approx(8.0, rel=0.02)
    assert score(torch.eye(8)[[3]].repeat(160, 1) * 1000)[0] == pytest.approx(1.0)


def test_fewer_pictures_than_splits_have_a_score() -> None:
    assert score(torch.eye(3) * 10) == (1.0, 0.0)
