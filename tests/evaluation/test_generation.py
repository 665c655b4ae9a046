"""Pictures of a generator."""

import torch
from torch import nn

from evaluation.doubles import Replay, noise
from facegan.evaluation.generation import generate

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
