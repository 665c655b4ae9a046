"""A training that is told of labels: the right ones, some hidden, and it learns what they mean."""

from typing import Any

import pytest
import torch
from parameters import model_params, train_params

from facegan.data.batches import to_network
from facegan.data.labels import Labels
from facegan.training.draws import Draws
from training.tiny import CPU, SIZE, Tiny

NAMES = {"shade": ["dark", "light"], "tint": ["blue", "red"]}


def told(count: int) -> tuple[torch.Tensor, Labels]:
    """Pictures of one colour each, and labels that say which; every eleventh is not labelled."""
    table = torch.stack([torch.arange(count) % 2, torch.arange(count) // 2 % 2], 1)
    images = torch.zeros((count, SIZE, SIZE, 3), dtype=torch.uint8)
    for image, (light, red) in zip(images, table.tolist(), strict=True):
        image[..., 0 if red else 2] = 220 if light else 90
    return images, Labels(NAMES, torch.where((torch.arange(count) % 11 == 0)[:, None], -1, table))


def draws(seed: int = 1, batch: int = 16, **changes: object) -> tuple[Draws, Labels]:
    images, labels = told(64)
    return Draws(images, labels.table, 8, train_params(batch=batch, **changes), seed, CPU), labels


def test_the_labels_are_those_of_the_pictures_shown() -> None:
    drawn, labels = draws()
    for number in range(8):
        (found,), places = drawn.labels_shown(number), drawn._batches.indices(number)
        for real in (drawn.real(number), drawn.opposite(number)):  # what a relativistic fake is paired with, too
            assert torch.equal(to_network(drawn.images[places]), real)
        known = labels.table[places]
        assert torch.equal(torch.where(found == -1, known, found), known)


def test_some_are_hidden_in_every_combination() -> None:
    """So that a face can be asked for by any label alone, and by none."""
    drawn, labels = draws()
    seen = torch.zeros(2, 2)
    for number in range(300):
        (found,) = drawn.labels_shown(number)
        places = drawn._batches.indices(number)
        hidden = (found == -1)[labels.table[places, 0] >= 0]
        for first in (0, 1):
            for second in (0, 1):
                seen[first, second] += ((hidden[:, 0] == bool(first)) & (hidden[:, 1] == bool(second))).sum()
    shares = seen / seen.sum()
    # Half keep all; of the others a share u of each, u uniform: none, one and both are hidden equally often.
    expected = torch.tensor([[1 / 2 + 1 / 6, 1 / 12], [1 / 12, 1 / 6]])
    assert (shares - expected).abs().max() < 0.02


def test_labels_are_a_function_of_seed_and_step() -> None:
    drawn, _ = draws()
    other, _ = draws(seed=2)
    assert torch.equal(drawn.labels_shown(3)[0], draws()[0].labels_shown(3)[0])
    assert not torch.equal(drawn.labels_shown(3)[0], drawn.labels_shown(4)[0])
    assert not torch.equal(drawn.labels_shown(3)[0], other.labels_shown(3)[0])


def test_without_columns_there_is_nothing_to_tell() -> None:
    images, _ = told(8)
    drawn = Draws(images, Labels.none(8).table, 8, train_params(batch=4), 1, CPU)
    assert drawn.labels_shown(0) == ()
    assert not torch.equal(drawn.opposite(0), drawn.real(0))


SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "hinge": ("spectral", {"objective": "hinge"}),
    "relativistic": ("none", {"objective": "relativistic", "r1": 0.5, "r2": 0.5}),
    "wasserstein": ("none", {"objective": "wasserstein", "gradient_penalty": 10.0}),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_learns_what_the_labels_mean(tiny: Tiny, name: str) -> None:
    """Faces of one colour: asked for red, they are red, whatever else is asked for or not."""
    tiny.images, labels = told(64)
    norm, changes = SYSTEMS[name]
    model = model_params("dense", channels=8, generator={"norm": "conditional"}, discriminator={"norm": norm})
    train = tiny.train(
        steps=400, every=400, batch=16, lr_generator=1e-3, lr_discriminator=2e-3,
        beta1_generator=0.0, beta1_discriminator=0.0, ema_kimg=0.1, samples=4, **changes,
    )  # fmt: skip
    with tiny.training("run", train, model, labels=labels, score=lambda _: 1.0) as training:
        state = training.run()
    latent = torch.randn(64, 8, generator=torch.Generator().manual_seed(5))

    def redness(shade: int, tint: int) -> float:
        with torch.no_grad():
            drawn = state.average(latent, torch.tensor([shade, tint]).expand(64, -1))
        return float((drawn[:, 0] - drawn[:, 2]).mean())

    for shade in (-1, 0, 1):
        assert redness(shade, 1) > 0.3 > -0.3 > redness(shade, 0), shade
