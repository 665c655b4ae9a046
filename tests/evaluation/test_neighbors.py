"""Precision, recall, density and coverage are those of the published implementations, in blocks or whole."""

import pytest
import torch
from prdc import compute_prdc
from torch_fidelity.metric_prc import prc_features_to_metric

from facegan.evaluation import neighbors
from facegan.evaluation.neighbors import K_DENSITY, K_PRECISION, Share, manifold_scores


def features(count: int, seed: int, shift: float = 0.0, dimensions: int = 24) -> torch.Tensor:
    return torch.randn((count, dimensions), generator=torch.Generator().manual_seed(seed)) + shift


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_they_are_those_of_prdc_and_torch_fidelity(shift: float, offset: float) -> None:
    real, fake = features(300, 1) + offset, features(240, 2, shift) * 0.9 + offset * 1.0
    found = {name: share.value for name, share in manifold_scores(real, fake).items()}
    published = {k: compute_prdc(real.double().numpy(), fake.double().numpy(), k) for k in (K_PRECISION, K_DENSITY)}
    for name, k in (("precision", 3), ("recall", 3), ("density", 5), ("coverage", 5)):
        assert found[name] == pytest.approx(published[k][name], abs=1e-9 if not offset else 5e-3), name
    if not offset:
        other = prc_features_to_metric(
            fake, real, prc_neighborhood=K_PRECISION, prc_batch_size=100, save_cpu_ram=True, verbose=False
        )
        assert found["precision"] == pytest.approx(other["precision"])
        assert found["recall"] == pytest.approx(other["recall"])


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = features(211, 1), features(190, 2, 0.3)
    whole = manifold_scores(real, fake)
    monkeypatch.setattr(neighbors, "BLOCK", 1000)
    assert manifold_scores(real, fake) == whole


def test_a_generator_of_one_picture_has_no_recall_and_copies_have_all() -> None:
    real = features(200, 1)
    constant = manifold_scores(real, real[:1].expand(200, -1).contiguous())
    assert constant["recall"].value <= 0.01 and constant["coverage"].value < 0.2
    copies = manifold_scores(real, real)
    assert copies["precision"].value == copies["coverage"].value == copies["recall"].value == 1


def test_too_few_pictures_have_no_such_neighbours() -> None:
    with pytest.raises(ValueError, match="at least 6 pictures a side, there are 5"):
        manifold_scores(features(5, 1), features(50, 2))


def test_a_share_has_its_standard_error() -> None:
    share = Share.of(torch.tensor([True] * 75 + [False] * 25))
    assert (share.value, share.n) == (0.75, 100)
    assert share.std == pytest.approx((0.75 * 0.25 / 100) ** 0.5)
