"""DiffAugment (Zhao et al., 2020): differentiable changes to every picture that the discriminator sees.

Pictures are float [n, channels, h, w]; each entry of ``AUGMENTATIONS`` takes them with one row of uniform numbers in
[0, 1) a picture, and is applied in the order of the table. All sums are in one order: the same bits every time.
"""

from collections.abc import Callable, Sequence

import torch

Tensor = torch.Tensor


def color(pictures: Tensor, uniform: Tensor) -> Tensor:
    """Brightness by -0.5 to 0.5, saturation times 0 to 2, contrast times 0.5 to 1.5; transparency stays."""
    if pictures.shape[1] == 4:
        return torch.cat([color(pictures[:, :3], uniform), pictures[:, 3:]], 1)
    brightness, saturation, contrast = (column[:, None, None, None] for column in uniform[:, :3].unbind(1))
    pictures = pictures + (brightness - 0.5)
    gray = pictures.mean(1, keepdim=True)
    pictures = (pictures - gray) * (2 * saturation) + gray
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return (pictures - mean) * (contrast + 0.5) + mean


def translation(pictures: Tensor, uniform: Tensor) -> Tensor:
    """Moved by up to an eighth of the side both ways, in whole pixels, gray (0) where nothing is."""
    down, right = (_shift(side, uniform[:, place]) for place, side in enumerate(pictures.shape[2:]))
    # As products of matrices: a gather's gradient would be added up in any order on a GPU.
    return down[:, None] @ pictures @ right[:, None].mT


def cutout(pictures: Tensor, uniform: Tensor) -> Tensor:
    """A part of half the sides set to gray (0), its middle anywhere in the picture."""
    inside = [_within(side, uniform[:, place]) for place, side in enumerate(pictures.shape[2:])]
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return pictures * ~hole[:, None]


def _shift(side: int, uniform: Tensor) -> Tensor:
    """[n, side, side]: the matrix that moves a row of pixels by its own number of places."""
    most = side // 8
    by = (uniform * (2 * most + 1)).floor().long() - most
    places = torch.arange(side, device=uniform.device)
    return (places[None, :, None] - places[None, None, :] == by[:, None, None]).to(torch.float32)


def _within(side: int, uniform: Tensor) -> Tensor:
    """bool [n, side]: places less than a quarter of the side from a middle."""
    middle = (uniform * (side + 1)).floor().long()[:, None]
    places = torch.arange(side, device=uniform.device)
    return (places >= middle - side // 4) & (places < middle + side // 4)


AUGMENTATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}
NUMBERS = 3  # uniform ones that each entry gets for a picture


def augment(pictures: Tensor, names: Sequence[str], uniform: Tensor) -> Tensor:
    """Every named change, each with its three columns of ``uniform`` [n, 3 * len(AUGMENTATIONS)]."""
    for place, (name, change) in enumerate(AUGMENTATIONS.items()):
        if name in names:
            pictures = change(pictures, uniform[:, NUMBERS * place : NUMBERS * (place + 1)])
    return pictures
