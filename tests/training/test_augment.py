"""DiffAugment: its ranges, its gradients, and what it leaves alone."""

import pytest
import torch

from facegan.params import TrainParams
from facegan.training.augment import AUGMENTATIONS, NUMBERS, augment, color, cutout, translation

SIDE = 16


def pictures(count: int) -> torch.Tensor:
    return torch.rand((count, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1)) * 2 - 1


def uniform(count: int) -> torch.Tensor:
    return torch.rand((count, NUMBERS), generator=torch.Generator().manual_seed(2))


def test_every_augmentation_that_parameters_allow_is_there() -> None:
    values = TrainParams.model_fields["augment"].annotation.__args__[0].__args__  # type: ignore[union-attr]
    assert set(AUGMENTATIONS) == set(values)


def test_numbers_in_the_middle_leave_colours_and_places_alone() -> None:
    middle = torch.full((4, NUMBERS), 0.5)
    torch.testing.assert_close(color(pictures(4), middle), pictures(4))
    assert torch.equal(translation(pictures(4), middle), pictures(4))


@pytest.mark.parametrize(("column", "low", "high"), [(0, -0.5, 0.5), (1, 0.0, 2.0), (2, 0.5, 1.5)])
def test_colours_change_within_the_published_ranges(column: int, low: float, high: float) -> None:
    for number, expected in ((0.0, low), (1.0, high)):
        numbers = torch.full((2, NUMBERS), 0.5)
        numbers[:, column] = number
        before, after = pictures(2).double(), color(pictures(2), numbers).double()
        if column == 0:
            torch.testing.assert_close(after - before, torch.full_like(before, expected), rtol=0, atol=1e-6)
            continue
        about = before.mean(1, keepdim=True) if column == 1 else before.mean((1, 2, 3), keepdim=True)
        torch.testing.assert_close(after, about + (before - about) * expected, rtol=0, atol=1e-5)


def test_translation_moves_by_up_to_an_eighth_and_fills_with_gray() -> None:
    moved, count = translation(pictures(400), uniform(400)), 400
    found = []
    for before, after in zip(pictures(count), moved, strict=True):
        for down in range(-2, 3):
            for right in range(-2, 3):
                expected = torch.zeros_like(before)
                rows, columns = slice(max(0, down), SIDE + min(0, down)), slice(max(0, right), SIDE + min(0, right))
                from_rows = slice(max(0, -down), SIDE + min(0, -down))
                from_columns = slice(max(0, -right), SIDE + min(0, -right))
                expected[:, rows, columns] = before[:, from_rows, from_columns]
                if torch.equal(after, expected):
                    found.append((down, right))
    assert len(found) == count  # each picture by one move
    assert len(set(found)) == 25  # and every move is made


def test_cutout_is_a_square_of_half_the_side_that_may_leave_the_picture() -> None:
    holes = cutout(torch.ones(500, 3, SIDE, SIDE), uniform(500)) == 0
    areas = holes[:, 0].sum((1, 2))
    assert areas.max() == (SIDE // 2) ** 2
    assert areas.min() == (SIDE // 4) ** 2  # its middle is in a corner
    assert torch.equal(holes[:, 0], holes[:, 2])
    assert (holes[:, 0].any(1) != holes[:, 0].any(2)).any(1).sum() > 400  # its row and its column are drawn apart
    for hole in holes[:, 0]:
        rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_gradients_reach_the_pictures(name: str) -> None:
    x = pictures(2).double().requires_grad_()
    numbers = uniform(2).double()
    if name == "translation":
        x, numbers = pictures(2).requires_grad_(), uniform(2)
        (gradient,) = torch.autograd.grad(AUGMENTATIONS[name](x, numbers).sum(), x)
        assert set(gradient.unique().tolist()) <= {0.0, 1.0}
        assert gradient.any()
    else:
        assert torch.autograd.gradcheck(lambda y: AUGMENTATIONS[name](y[:, :, :4, :4], numbers), (x[:, :, :4, :4],))


def test_only_what_is_named_is_done_in_one_order() -> None:
    numbers = torch.rand(3, NUMBERS * len(AUGMENTATIONS))
    assert torch.equal(augment(pictures(3), [], numbers), pictures(3))
    names = list(AUGMENTATIONS)
    assert torch.equal(augment(pictures(3), names, numbers), augment(pictures(3), names[::-1], numbers))
    alone = augment(pictures(3), ["cutout"], numbers)
    assert torch.equal(alone, cutout(pictures(3), numbers[:, 2 * NUMBERS : 3 * NUMBERS]))
