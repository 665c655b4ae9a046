"""The pictures of a report beside real and generated ones: neighbours, walks, truncation, the likeliest and oddest."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from facegan.data.stored import Pictures
from facegan.evaluation.memorization import Nearest
from facegan.evaluation.neighbors import balls
from facegan.exporting.shipped.generate import interpolate

ROWS, COLUMNS = 4, 9
SCALES = (0.25, 0.5, 0.75, 1.0, 1.25)  # of the latents
COMPARED = 1000  # pictures a side whose density is looked at

Draw = Callable[[torch.Tensor], torch.Tensor]  # latents float [n, latent] to uint8 [n, h, w, 3]


@dataclass(frozen=True)
class Figure:
    """uint8 [n, h, w, 3] in rows of ``columns``, with a caption."""

    name: str
    title: str
    caption: str
    pictures: torch.Tensor
    columns: int


def closest_to_training(generated: torch.Tensor, found: Nearest, train: Pictures) -> Figure:
    """The generated pictures most like a copy, each before its nearest training pictures."""
    order = found.closeness.argsort()[: 2 * ROWS].cpu()
    rows = [torch.cat([generated[place][None], train[found.index[place, :3].cpu()]]) for place in order]
    return Figure(
        "neighbors",
        "Is it copying?",
        "In each group of four: a generated face, and the three training pictures (or their mirror images) nearest to "
        "it. The groups are those most like copies, the closest first.",
        torch.cat(rows),
        8,
    )


def walks(draw: Draw, latents: torch.Tensor) -> Figure:
    """From the first latent to the second and so on, along great circles."""
    rows = [interpolate(latents[row : row + 2].numpy(), COLUMNS) for row in range(ROWS)]
    return Figure(
        "interpolation",
        "From one face to another",
        "Each row walks from one latent to the next; jumps would be a sign of memorised faces.",
        torch.cat([draw(torch.from_numpy(row)) for row in rows]),
        COLUMNS,
    )


def truncation(draw: Draw, latents: torch.Tensor) -> Figure:
    """The same latents at every scale, a scale a row."""
    chosen = latents[:COLUMNS]
    return Figure(
        "truncation",
        "Safe to daring",
        f"The same latents in every row, scaled by {', '.join(f'{scale:g}' for scale in SCALES)} (StyleGAN2's look at "
        "their direction alone).",
        torch.cat([draw(scale * chosen) for scale in SCALES]),
        COLUMNS,
    )


def by_density(generated: torch.Tensor, features: torch.Tensor, real_features: torch.Tensor) -> Figure:
    """Generated pictures by how many real ones have them in their neighbourhood."""
    count = min(COMPARED, len(generated), len(features))
    evenly = real_features[:: -(-len(real_features) // COMPARED)]  # they may be sorted by class
    order = balls(evenly, features[:count]).argsort(descending=True, stable=True)
    half = min(2 * COLUMNS, count // 2)
    return Figure(
        "density",
        "Likeliest and oddest",
        "First the faces that lie in the most real neighbourhoods, then those that lie in the fewest.",
        generated[torch.cat([order[:half], order[count - half :]])],
        COLUMNS,
    )
