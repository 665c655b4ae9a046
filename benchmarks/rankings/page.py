"""The section of ``docs/SCORES.md`` on how well scores rank generators."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from benchmarks.rankings.correlation import Ranking, ranking
from benchmarks.rankings.scores import ORACLE, PICTURES, SIDE_OF_ORACLE, Row
from facegan.evaluation.sensitivity import SEES

SETS = ("real", "drawn")


def rankings(rows: Sequence[Row]) -> dict[str, dict[str, Ranking]]:
    """By score and set of pictures, the best first: by the lower of its correlations on the two sets."""
    sets = {name: [row for row in rows if row["pictures"] == name] for name in SETS}
    names = [name for name in rows[0]["scores"] if name != ORACLE]
    found = {name: {of: ranking(part, name) for of, part in sets.items()} for name in names}
    return dict(sorted(found.items(), key=lambda item: -min(each.spearman for each in item[1].values())))


def best_combination(rows: Sequence[Row]) -> tuple[tuple[str, ...], float]:
    """The two or three scores whose mean rank is nearest to the oracle's order, and its correlation on the set where
    it is lower.
    """
    names = sorted(SEES.keys() & rows[0]["scores"].keys())  # those that reports have
    parts = [[row["scores"] for row in rows if row["pictures"] == of] for of in SETS]
    ranks = [{name: rankdata([row[name]["badness"] for row in part]) for name in (*names, ORACLE)} for part in parts]

    def lower(chosen: tuple[str, ...]) -> float:
        return min(_spearman(sum(of[name] for name in chosen), of[ORACLE]) for of in ranks)

    found = {chosen: lower(chosen) for count in (2, 3) for chosen in combinations(names, count)}
    best = max(found, key=lambda chosen: found[chosen])
    return best, found[best]


def _spearman(ours: np.ndarray, right: np.ndarray) -> float:
    return float(np.corrcoef(rankdata(ours), right)[0, 1])


def _by_age(rows: Sequence[Row], pictures: str) -> float:
    """The correlation of the oracle's order with that by length of the training."""
    part = [row for row in rows if row["pictures"] == pictures]
    right = rankdata([row["scores"][ORACLE]["badness"] for row in part])
    return _spearman(np.array([-row["kimg"] for row in part]), right)


def section(rows: Sequence[Row], found: dict[str, dict[str, Ranking]]) -> str:
    """The Markdown, of the rows and their ``rankings``."""
    trainings = sorted({row["training"] for row in rows})
    lines = [
        "## Which score ranks generators",
        "",
        f"Written by `python -m benchmarks.rankings`: {len(rows)} checkpoints of {len(trainings)} trainings at 64x64 "
        f"({', '.join(trainings)}), {PICTURES:,} pictures a side, in the order of each score and in that of the "
        f"Frechet distance in the space of an ImageNet network ({SIDE_OF_ORACLE:,} a side). Spearman's and Kendall's "
        "rank correlation, with standard errors by bootstrap over trainings; `within` is Spearman's inside one "
        "training, the mean and the least over those with four checkpoints or more, without an error.",
        "",
        "Spaces that were tried and are not in the product: `gradients` is a histogram of oriented gradients, `random "
        "layout` a random network that keeps the layout and leaves out the colour, `encoder real` our encoder trained "
        "without labels on the real set, `encoder faults` trained on faults alone.",
        "",
        "Two limits of this table. In all of these trainings a later checkpoint is better, by the ImageNet network: to "
        f"sort them by their age alone has a correlation of {_by_age(rows, 'real'):.2f} on real and "
        f"{_by_age(rows, 'drawn'):.2f} on drawn faces, so it says little about trainings that get worse. And `fd_face` "
        "was chosen on these checkpoints; its encoder has learned to see some of the faults of the tables above (blur, "
        "noise, moved eyes, two halves, upsampling), so it sees those better than faults that it has not met.",
        "",
        "| score | real: Spearman | Kendall | within | drawn: Spearman | Kendall | within |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, by_set in found.items():
        cells = []
        for of in SETS:
            each = by_set[of]
            cells += [
                f"{each.spearman:.2f} ± {each.spearman_error:.2f}",
                f"{each.kendall:.2f} ± {each.kendall_error:.2f}",
                f"{each.mean_within:.2f}, {each.least_within:.2f}",
            ]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    names, spearman = best_combination(rows)
    lines += [
        "",
        "Of all means of the ranks of two or three of the scores that reports have, the best is that of "
        f"{', '.join(names)}: Spearman's correlation is {spearman:.2f} on the set where it is lower.",
    ]
    return "\n".join(lines) + "\n"
