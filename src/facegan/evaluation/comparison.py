"""Whether two scores may be compared, and whether their difference means something."""

from typing import Any, Literal

from facegan.evaluation.metrics import METRICS, known, metric
from facegan.evaluation.spread import certain

CERTAIN = 2.0  # standard errors of the difference
Verdict = Literal["better", "worse", "no difference"]

# What decides a number in feature space beside its definition; any of them may be missing.
_SPACE = ("extractor_sha256", "resize", "range", "features", "dimensions")


def incomparable(name: str, protocol: dict[str, Any], n: int, other: dict[str, Any], other_n: int) -> str | None:
    """Why the score ``name`` of two runs says nothing about which is better; None when it does."""
    if known(name) not in METRICS:
        return "a score of another version"
    if not protocol or not other:
        return "a report of an earlier version, which does not tell how it was made"
    labels = ("labels",) if known(name) == "label_accuracy" else ()  # one network judges all of them
    for key in ("pictures", *labels, *(_SPACE if metric(name).in_features else ())):
        if protocol.get(key) != other.get(key) and key == "pictures":
            return "other pictures"
        if protocol.get(key) != other.get(key):
            return f"{key.replace('_', ' ')} {_short(other.get(key))}, not {_short(protocol.get(key))}"
    definition, of_other = (about.get("scores", {}).get(name) for about in (protocol, other))
    if definition != of_other:
        return f"{of_other}, not {definition}"
    if n != other_n:  # most scores have a bias that depends on it
        return f"n {other_n}, not {n}"
    return None


def verdict(name: str, base: dict[str, Any], other: dict[str, Any]) -> Verdict:
    """Of ``other`` against ``base``, two entries of a report; within two standard errors there is no difference."""
    difference = badness(name, other) - badness(name, base)
    if not abs(difference) > certain(CERTAIN, error(base), error(other)):
        return "no difference"
    return "worse" if difference > 0 else "better"


def error(entry: dict[str, Any]) -> float | None:
    """The standard error of a score; not its spread over subsets, where that is what is published."""
    found = entry.get("error", entry.get("std"))
    return None if found is None else float(found)


def at_its_floor(entry: dict[str, Any]) -> float:
    """The score at the count that its floor has."""
    return float(entry.get("at_n", entry["value"]))


def badness(name: str, entry: dict[str, Any]) -> float:
    """The score, turned so that lower is better; better than real pictures is no better than they are."""
    value, floor = at_its_floor(entry), float(entry["floor"])
    match metric(name).better:
        case "lower" if known(name) in ("memorization", "generalization_gap"):
            return max(value, floor)
        case "lower":
            return value
        case "higher" if known(name) == "density":
            return -min(value, floor)
        case "higher":
            return -value
        case _:
            return abs(value - floor)


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) > 40 else text
