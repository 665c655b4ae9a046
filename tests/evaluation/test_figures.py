"""The pictures of a report show what their captions say."""

import torch

from evaluation.doubles import means, noise
from facegan.evaluation.figures import COLUMNS, ROWS, SCALES, by_density, closest_to_training, truncation, walks
from facegan.evaluation.memorization import nearest


def shades(latents: torch.Tensor) -> torch.Tensor:
    """A generator whose pictures tell the latent: its first three numbers as a colour."""
    colour = (latents[:, :3] * 40 + 128).clamp(0, 255).to(torch.uint8)
    return colour[:, None, None, :].expand(-1, 8, 8, -1)


def test_each_generated_face_stands_before_the_training_pictures_nearest_to_it(faces: torch.Tensor) -> None:
    generated = torch.cat([faces[100:140], faces[:3]])  # the last three are copies
    figure = closest_to_training(generated, nearest(generated, faces[:100]), faces[:100])
    groups = figure.pictures.view(2 * ROWS, 4, 64, 64, 3)
    assert figure.columns % 4 == 0
    shown = {next(place for place in range(3) if torch.equal(group[0], faces[place])) for group in groups[:3]}
    assert shown == {0, 1, 2}  # the most like copies first
    assert all(torch.equal(group[0], group[1]) for group in groups[:3])


def test_rows_walk_from_one_latent_to_the_next() -> None:
    latents = torch.randn((36, 5), generator=torch.Generator().manual_seed(0))
    figure = walks(shades, latents)
    rows = figure.pictures.view(ROWS, COLUMNS, 8, 8, 3)
    for row in range(ROWS):
        assert torch.equal(rows[row, 0], shades(latents[row : row + 1])[0])
        assert (rows[row, -1].int() - shades(latents[row + 1 : row + 2])[0].int()).abs().max() <= 1


def test_rows_of_the_truncation_are_the_same_latents_scaled() -> None:
    latents = torch.randn((36, 5), generator=torch.Generator().manual_seed(0))
    rows = truncation(shades, latents).pictures.view(len(SCALES), COLUMNS, 8, 8, 3)
    assert torch.equal(rows[SCALES.index(1.0)], shades(latents[:COLUMNS]))
    assert torch.equal(rows[SCALES.index(0.5)], shades(latents[:COLUMNS] / 2))


def test_the_likeliest_come_first_and_the_oddest_last() -> None:
    real = noise(200, 1)
    odd = torch.zeros((10, 8, 8, 3), dtype=torch.uint8)
    generated = torch.cat([noise(50, 2), odd])
    figure = by_density(generated, means(generated), means(real))
    assert len(figure.pictures) == 4 * COLUMNS
    assert torch.equal(figure.pictures[-10:], odd)
    assert figure.pictures[: 2 * COLUMNS].amax((1, 2, 3)).min() > 0


def test_a_handful_of_pictures_makes_a_figure() -> None:
    generated = noise(3, 2)
    assert len(by_density(generated, means(generated), means(noise(4, 1))).pictures) == 2
