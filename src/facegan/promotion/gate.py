"""Whether a new model may take the place of the one in service: the rules, and their reasons in words."""

import math
from dataclasses import dataclass
from typing import Any

from facegan.evaluation.comparison import at_its_floor, badness, error, incomparable
from facegan.evaluation.metrics import metric, scores_of
from facegan.evaluation.spread import certain
from facegan.params import PromotionParams

HELD_OUT = 100  # held-out pictures, for memorization to decide


@dataclass(frozen=True)
class Standing:
    """A version of the model: its ``report`` is that of `evaluate`, ``parity`` how far ONNX is from PyTorch."""

    version: str
    report: dict[str, Any]
    parity: float | None = None


@dataclass(frozen=True)
class Verdict:
    """``reasons`` are sentences; those of a refusal say what would have been right."""

    promoted: bool
    reasons: tuple[str, ...]


def unfit(rules: PromotionParams, candidate: Standing) -> list[str]:
    """What speaks against a version whatever is in service."""
    against = []
    score = candidate.report.get(rules.score)
    if score is None:
        there = ", ".join(scores_of(candidate.report)) or "none"
        against.append(f"it has no score {rules.score!r}, which promotion.score asks for; its scores are {there}")
    elif not math.isfinite(at_its_floor(score)) or error(score) is None:
        against.append(f"its {rules.score} has no known spread: too few pictures were scored (evaluate.generated)")
    if rules.max_memorization is not None:
        copied = candidate.report.get("memorization")
        if copied is not None and _enough(copied):
            sure = certain(rules.certain, error(copied))
            if copied["value"] - sure > rules.max_memorization:
                against.append(
                    f"it memorizes: {copied['value']:.0%} of its faces are closer to one training picture than nearly "
                    f"all held-out pictures are; promotion.max_memorization allows {rules.max_memorization:.0%}, and "
                    f"{rules.certain:g} standard errors are {sure:.1%}"
                )
    if candidate.parity is None:
        against.append("how far ONNX is from PyTorch is not known: its parity.json is missing")
    elif candidate.parity > rules.max_parity:
        against.append(
            f"ONNX and PyTorch differ by {candidate.parity:.2g}; promotion.max_parity allows {rules.max_parity:.2g}"
        )
    return against


def unknown(rules: PromotionParams, candidate: Standing) -> list[str]:
    """What the rules ask for and nobody can tell: said with a verdict, and decides nothing."""
    copied = candidate.report.get("memorization")
    if rules.max_memorization is None or (copied is not None and _enough(copied)):
        return []
    there = "too few" if copied is None else f"{copied.get('held_out_n', 'too few')}"
    return [
        f"whether it copies training pictures is not known: {there} pictures are held out to judge it by, and "
        f"{HELD_OUT} are needed (preprocess.held_out)"
    ]


def _enough(copied: dict[str, Any]) -> bool:
    """Of fewer held-out pictures the threshold is so uncertain that honest models are refused."""
    return int(copied.get("held_out_n", 0)) >= HELD_OUT


def unlike(rules: PromotionParams, candidate: Standing, champion: Standing) -> str | None:
    """Why the deciding scores of two versions cannot be compared; None when they can."""
    ours, theirs = (standing.report.get(rules.score) for standing in (candidate, champion))
    if ours is None or theirs is None:
        return f"version {(candidate if ours is None else champion).version} has no {rules.score}"
    protocols = (standing.report.get("protocol", {}) for standing in (candidate, champion))
    return incomparable(rules.score, next(protocols), ours["n"], next(protocols), theirs["n"])


def judge(rules: PromotionParams, candidate: Standing, champion: Standing | None) -> Verdict:
    """Of two comparable standings; without a champion any fit candidate takes the place."""
    if against := unfit(rules, candidate):
        return Verdict(False, tuple(against))
    open_questions = tuple(unknown(rules, candidate))
    if champion is None:
        return Verdict(True, ("nothing is in service yet, and nothing speaks against it", *open_questions))
    name = rules.score
    ours, theirs = candidate.report[name], champion.report[name]
    gain = badness(name, theirs) - badness(name, ours)
    sure = certain(rules.certain, error(ours), error(theirs))
    distance = abs(at_its_floor(theirs) - theirs["floor"])
    told = (
        f"{metric(name).title} ({name}) {at_its_floor(ours):.4g} against {at_its_floor(theirs):.4g} of version "
        f"{champion.version}, real pictures {ours['floor']:.4g}"
    )
    if not gain > sure:
        how = "worse" if gain < -sure else "no better"
        return Verdict(
            False, (f"it is {how}: {told}; a difference within {sure:.2g} ({rules.certain:g} standard errors) is none",)
        )
    if gain < rules.min_improvement * distance:
        return Verdict(
            False,
            (
                f"it is not better by enough: {told}; promotion.min_improvement asks for {rules.min_improvement:.0%} "
                f"of the distance to real pictures, and this is {gain / distance:.0%}",
            ),
        )
    better = f"it is better: {told}, beyond {rules.certain:g} standard errors ({sure:.2g})"
    return Verdict(True, (better, *open_questions))
