"""The face encoder is made by one command: to the bit, and of what it says."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from benchmarks.rankings.encoder import AFTER, BEFORE, Learner, drawn, spoiled, train
from facegan.data.synthetic.factors import FACTORS
from facegan.evaluation.face_network import WIDTHS, FaceEncoder, features_of

FAULTS = {name: fault for name, (fault, _) in (BEFORE | AFTER).items()}


@pytest.fixture(scope="module")
def faces() -> tuple[torch.Tensor, torch.Tensor]:
    return drawn(96)


def source(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_faces_come_with_the_class_of_every_factor(faces: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, labels = faces
    assert images.shape == (96, 64, 64, 3) and labels.shape == (96, len(FACTORS))
    for place, values in enumerate(FACTORS.values()):
        assert labels[:, place].min() >= 0 and labels[:, place].max() < len(values)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_changes_pictures_by_its_strength(
    faces: tuple[torch.Tensor, torch.Tensor], fault: Callable[..., torch.Tensor]
) -> None:
    pictures = faces[0].permute(0, 3, 1, 2).float() / 127.5 - 1

    def changed(strength: float) -> torch.Tensor:
        return (fault(pictures, torch.full((96,), strength), source()) - pictures).abs().mean((1, 2, 3))

    assert changed(0.0).max() < 1e-5
    assert 0 < changed(0.3).mean() <= changed(1.0).mean()


def test_what_is_asked_for_is_what_was_done(faces: tuple[torch.Tensor, torch.Tensor]) -> None:
    pictures, strengths, recoloured = spoiled(faces[0], source())
    assert pictures.shape == (96, 3, 64, 64) and pictures.abs().max() <= 1
    assert strengths.shape == (96, len(FAULTS)) and strengths.min() >= 0 and strengths.max() <= 1
    shares = [share for _, share in (BEFORE | AFTER).values()]
    found = (strengths > 0).float().mean(0)
    assert all(abs(float(there) - share) < 0.15 for there, share in zip(found, shares, strict=True))
    assert 0.3 < recoloured.float().mean() < 0.7


def test_the_same_command_gives_the_same_bits(faces: tuple[torch.Tensor, torch.Tensor]) -> None:
    first, second = (train(*faces, steps=3)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert set(first) == set(FaceEncoder().state_dict())


def test_norms_are_folded_into_the_convolutions(faces: tuple[torch.Tensor, torch.Tensor]) -> None:
    learner = Learner()
    for module in learner.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(tensor, 0.1, 0.5, generator=source())
            nn.init.uniform_(module.running_var, 0.5, 2.0, generator=source())
    learner.eval()
    pictures = faces[0][:4].permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        before = features_of(learner.encoder(pictures))
        after = features_of(learner.folded()(pictures))
    assert before.shape == (4, 4 * WIDTHS[-1])
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in learner.encoder.modules())
