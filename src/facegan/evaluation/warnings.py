"""What a reader of the scores should be told in words."""

from typing import Any

from facegan.evaluation.comparison import error
from facegan.evaluation.memorization import ENOUGH
from facegan.evaluation.metrics import known
from facegan.evaluation.neighbors import K_DENSITY
from facegan.evaluation.spread import certain

CERTAIN = 3.0  # standard errors


def warnings(found: dict[str, dict[str, Any]], dimensions: int, enlarged: float) -> list[str]:
    """Of the scores ``found`` in a space of ``dimensions``; ``enlarged`` is the share of pictures that were."""
    said = []
    for name, score in found.items():
        value, floor = score["value"], score["floor"]
        sure = certain(CERTAIN, error(score), score.get("floor_std", 0.0))
        match known(name):
            case "memorization" if value > floor + sure:
                said.append(
                    f"{value:.0%} of the generated faces are closer to one training picture than nearly all held-out "
                    f"pictures are ({floor:.0%} would be expected): the generator may be copying"
                )
            case "generalization_gap" if value > max(floor, 0) + max(sure, 0.1):
                said.append(
                    f"the picture nearest to a generated one is a held-out one {value:.0%} more rarely than by chance: "
                    "the generator knows what it was trained on better than what it never saw"
                )
            case "recall" if value < floor / 2 and value < floor - sure:
                said.append(
                    f"recall is {value:.2f}, and {floor:.2f} between real pictures: much of what the pictures show "
                    "is never drawn"
                )
            case "precision" if value < floor / 2 and value < floor - sure:
                said.append(
                    f"precision is {value:.2f}, and {floor:.2f} between real pictures: most faces are unlike real ones"
                )
            case "ms_ssim" if value > floor + max(sure, 0.05):
                said.append(
                    f"generated faces resemble each other more than real ones do (MS-SSIM {value:.2f}, real "
                    f"{floor:.2f}): few modes, or blur"
                )
            case "checkerboard_energy" if abs(value / floor - 1) > 0.1 and abs(value - floor) > sure:
                how = "a pattern" if value > floor else "a notch"
                said.append(
                    f"the spectrum shows {how} that upsampling leaves: checkerboard energy {value:.2f}, real pictures "
                    f"{floor:.2f}"
                )
            case "fd" | "fid" if score["n"] < dimensions:
                said.append(
                    f"{name} is computed from {score['n']} pictures, fewer than its {dimensions} dimensions: it is "
                    "mostly bias; hold it against its floor, and trust the kernel distance more"
                )
    if not any(known(name) == "precision" for name in found):
        said.append(f"too few pictures for precision, recall, density and coverage: {K_DENSITY + 1} a side are needed")
    if "memorization" not in found:
        said.append(f"too few held-out pictures to see copies by: {ENOUGH} are needed (preprocess.held_out)")
    if enlarged >= 0.01:
        said.append(
            f"{enlarged:.0%} of the training pictures were smaller than this size and were enlarged: what they lack, "
            "no generator learns"
        )
    return said
