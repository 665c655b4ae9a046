"""What shows that a training is in trouble: numbers of its sample grid beside those of real pictures."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from facegan.evaluation.checkerboard import checkerboard, line_spectra

WON = 0.04  # above the least that its loss can be, a discriminator is sure of both sides; 1.39 is chance, with "bce"
COLLAPSED = 0.35  # of the real pictures' diversity
WARM_UP = 50_000  # images shown before pictures are expected to differ


def diversity(images: torch.Tensor) -> float:
    """Mean distance of each picture to its nearest other one, seen at 8x8; near 0 where few modes are drawn.

    ``images`` uint8 [n, h, w, 3]; not a number for fewer than two.
    """
    planes = images.permute(0, 3, 1, 2).float().cpu()
    seen = functional.adaptive_avg_pool2d(planes, 8).flatten(1).double()
    if len(seen) < 2:
        return float("nan")
    distances = torch.cdist(seen, seen, compute_mode="donot_use_mm_for_euclid_dist")
    return float(distances.fill_diagonal_(torch.inf).min(1).values.mean())


def least_loss(bounded: bool, label_smoothing: float) -> float:
    """What a perfect discriminator's loss comes to: the entropy of its labels, or no end."""
    if not bounded:
        return -math.inf
    return sum(-share * math.log(share) for share in (label_smoothing, 1 - label_smoothing) if share > 0)


@dataclass(frozen=True)
class Watch:
    """Compares sample grids with real pictures: uint8 [n, h, w, 3], as many as a grid has."""

    real_diversity: float
    real_checkerboard: float

    @classmethod
    def on(cls, real: torch.Tensor, samples: int) -> "Watch":
        # Diversity depends on the number of pictures, the spectrum does not: more are steadier.
        return cls(diversity(real[:samples]), checkerboard(line_spectra(real[:1000])))

    def measure(self, grid: torch.Tensor) -> dict[str, float]:
        """``diversity`` and ``checkerboard``, 1 where the grid is as the real pictures are."""
        pairs = {
            "diversity": (diversity(grid), self.real_diversity),
            "checkerboard": (checkerboard(line_spectra(grid)), self.real_checkerboard),
        }
        # Of one picture, or beside real ones without variety, there is none.
        return {name: value / real for name, (value, real) in pairs.items() if value == value and real > 0}


def alarms(values: dict[str, float], images: int, least: float) -> list[str]:
    """What is wrong with a tick's values after ``images``; ``least`` is the lowest loss of a discriminator."""
    found = []
    if values["loss_discriminator"] < least + WON:
        found.append("the discriminator has won")
    if images > WARM_UP and values.get("diversity", 1.0) < COLLAPSED:
        found.append(f"mode collapse: the grid has {values['diversity']:.0%} of the real pictures' diversity")
    return found
