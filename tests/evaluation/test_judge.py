"""Pictures of a generator, and the score that chooses the best weights on latents and pictures of its own."""

from pathlib import Path

import pytest
import torch
from torch import nn

from evaluation.doubles import Replay, colours, means, noise, scores
from facegan.evaluation.judge import generate, quick_score
from facegan.evaluation.reference import reference
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance
from facegan.randomness import Inputs, latents

CPU = torch.device("cpu")


class Affine(nn.Module):
    """Latents of 3 to pictures of one colour; its output depends on batch norm's mode."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.norm, self.shift = nn.BatchNorm1d(3), shift
        self.seen: list[torch.Tensor] = []

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        self.seen.append(latent.clone())
        return (0.1 * self.norm(latent) + self.shift)[:, :, None, None].expand(-1, -1, 4, 4)


def test_pictures_are_uint8_channels_last_and_in_order() -> None:
    images = noise(150)
    parts = list(generate(Replay(images), (torch.zeros(150, 1),), CPU))
    assert [len(part) for part in parts] == [64, 64, 22]
    assert {part.dtype for part in parts} == {torch.uint8}
    assert torch.equal(torch.cat(parts), images)  # rounded, not cut


def test_pictures_are_drawn_in_eval_mode_and_leave_the_network_as_it_was() -> None:
    network = Affine().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pictures = torch.cat(list(generate(network, (torch.randn(70, 3) + 5,), CPU)))
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert pictures.float().mean() > 170  # 0.5 of the range: batch statistics would have centred them


def test_whoever_looks_at_pictures_stays_in_the_mode_they_were_in() -> None:
    for _ in generate(Affine(), (torch.randn(130, 3),), CPU):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
        assert not torch.ones(1).is_inference()


def test_a_score_is_the_frechet_distance_of_a_thousand_pictures() -> None:
    images, network = noise(300, size=4), Affine(0.2)
    found = quick_score(images, colours(), Inputs(3), 1, CPU)(network)
    assert sum(len(latent) for latent in network.seen) == 1000
    again = torch.cat(list(generate(network, (torch.cat(network.seen),), CPU)))
    real, fake = (FeatureStatistics("c" * 64).update(means(pictures)) for pictures in (images, again))
    assert found == pytest.approx(frechet_distance(real, fake), rel=1e-9)


def test_a_score_is_the_same_for_the_same_weights() -> None:
    score = quick_score(noise(100), colours(), Inputs(3), 1, CPU)
    network = Affine()
    assert score(network) == score(network)
    assert score(Affine(0.5)) != score(network)


def test_a_better_generator_scores_lower() -> None:
    images = noise(400)
    score = quick_score(images, colours(), Inputs(1), 1, CPU)
    values = []
    for damage in (0, 20, 60):
        values.append(score(Replay((noise(1000, seed=1).int() + damage).clamp(0, 255).to(torch.uint8))))
    assert values == sorted(values)
    assert values[1] > values[0] + 100


def test_at_most_ten_thousand_pictures_are_looked_at_and_they_are_a_seeded_choice() -> None:
    looked: list[torch.Tensor] = []

    def note(images: torch.Tensor) -> torch.Tensor:
        looked.append(images[:, 0, 0, 0].clone())
        return means(images)

    number = torch.arange(10_050).remainder(256).to(torch.uint8)
    images = number[:, None, None, None].expand(-1, 2, 2, 3)
    chosen = []
    for seed in (1, 1, 2):
        looked.clear()
        quick_score(images, colours(extract=note), Inputs(3), seed, CPU)
        chosen.append(torch.cat(looked))
    assert [len(part) for part in chosen] == [10_000] * 3
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])
    assert chosen[0].unique().numel() == 256  # from everywhere


def test_the_judge_draws_latents_of_its_own(tmp_path: Path) -> None:
    """The best weights are never chosen on what is reported."""
    images, judged, scored = noise(100), Affine(), Affine()
    quick_score(images, colours(), Inputs(3), 1, CPU)(judged)
    rows = {tuple(row) for row in torch.cat(judged.seen).tolist()}
    assert len(rows) == 1000
    held = reference(images, colours(), 50, 1, tmp_path, [], "here", lambda count: None)
    scores(scored, Inputs(3), held, colours(), 1000, 1, lambda count: None)
    assert len(rows & {tuple(row) for row in torch.cat(scored.seen).tolist()}) == 0
    for purpose in ("train", "samples", "norms", "figure"):
        assert not rows & {tuple(row) for row in latents(1000, 3, 1, purpose).tolist()}
