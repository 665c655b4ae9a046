"""What a training in trouble looks like in numbers."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from facegan.data.synthetic import png
from facegan.training.alarms import WARM_UP, Watch, alarms, least_loss


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    drawn = [np.asarray(Image.open(io.BytesIO(png(3, index, 64)[0]))) for index in range(96)]
    return torch.from_numpy(np.stack(drawn))


def test_real_pictures_against_others_are_about_one(faces: torch.Tensor) -> None:
    watch = Watch.on(faces[:48], 48)
    measured = watch.measure(faces[48:])
    assert measured["diversity"] == pytest.approx(1, abs=0.15)
    assert measured["checkerboard"] == pytest.approx(1, abs=0.1)


def test_diversity_falls_with_the_number_of_modes(faces: torch.Tensor) -> None:
    noise = torch.Generator().manual_seed(1)
    found = []
    for modes in (48, 24, 8, 1):
        chosen = faces[:48][torch.arange(48) % modes].float()
        chosen = (chosen + torch.randn(chosen.shape, generator=noise) * 4).clamp(0, 255).to(torch.uint8)
        found.append(Watch.on(faces[48:], 48).measure(chosen)["diversity"])
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.8
    assert found[-1] < 0.1


def test_a_grid_of_one_and_a_set_without_variety_have_no_diversity(faces: torch.Tensor) -> None:
    assert "diversity" not in Watch.on(faces, 1).measure(faces[:1])
    assert "diversity" not in Watch.on(faces[:1].repeat(4, 1, 1, 1), 4).measure(faces[:4])


def test_alarms_say_what_is_wrong() -> None:
    well = {"loss_discriminator": 1.2, "diversity": 0.9}
    assert alarms(well, 10**6, least=0.0) == []
    assert alarms(well | {"loss_discriminator": 0.03}, 0, least=0.0) == ["the discriminator has won"]
    assert alarms(well | {"loss_discriminator": -3.0}, 0, least=-math.inf) == []
    collapsed = well | {"diversity": 0.12}
    assert alarms(collapsed, WARM_UP, least=0.0) == []
    assert alarms(collapsed, WARM_UP + 1, least=0.0) == [
        "mode collapse: the grid has 12% of the real pictures' diversity"
    ]
    assert alarms({"loss_discriminator": 1.2}, 10**6, least=0.0) == []


def test_smoothed_labels_leave_a_perfect_discriminator_a_loss() -> None:
    assert least_loss(True, 0.0) == 0
    assert least_loss(False, 0.0) == -math.inf
    logits = torch.linspace(-8, 8, 3001)
    losses = functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, 0.9), reduction="none")
    assert least_loss(True, 0.1) == pytest.approx(losses.min().item(), abs=1e-5)
