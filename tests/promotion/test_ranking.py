"""The gate as it ships, on the generators that were ranked by a network that is held to be right."""

import json
from typing import Any

import pytest

from benchmarks.rankings.__main__ import TABLE
from benchmarks.rankings.scores import ORACLE
from facegan.params import Params
from facegan.promotion.gate import Standing, judge

ROWS: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))


def standing(training: str, kimg: int, name: str, version: str) -> Standing:
    (row,) = (row for row in ROWS if (row["training"], row["kimg"]) == (training, kimg))
    score = row["scores"][name]
    entry = {"value": score["badness"], "std": score["error"], "floor": score["floor"], "n": 1000}
    memorization = {"value": 0.05, "std": 0.01, "floor": 0.05, "n": 1000, "held_out_n": 1000}
    return Standing(version, {name: entry, "memorization": memorization, "protocol": {"pictures": "a"}}, 1e-5)


def of_oracle(training: str, kimg: int) -> float:
    (row,) = (row for row in ROWS if (row["training"], row["kimg"]) == (training, kimg))
    return float(row["scores"][ORACLE]["badness"])


@pytest.mark.parametrize(("better", "worse"), [(("real-steady", 400), ("real-steady", 150))])
def test_the_better_generator_is_promoted_and_the_worse_refused(
    params: Params, better: tuple[str, int], worse: tuple[str, int]
) -> None:
    assert of_oracle(*better) < of_oracle(*worse)
    rules = params.promotion
    assert judge(rules, standing(*better, rules.score, "2"), standing(*worse, rules.score, "1")).promoted
    assert not judge(rules, standing(*worse, rules.score, "2"), standing(*better, rules.score, "1")).promoted


def test_the_score_that_decided_before_promoted_the_worse(params: Params) -> None:
    rules = params.promotion.model_copy(update={"score": "fd_random"})
    new, old = (standing("real-steady", kimg, "fd_random", version) for kimg, version in ((150, "2"), (400, "1")))
    assert judge(rules, new, old).promoted


@pytest.mark.parametrize("pictures", ["real", "drawn"])
def test_of_two_checkpoints_the_better_is_nearly_always_promoted_and_the_worse_refused(
    params: Params, pictures: str
) -> None:
    """Of all pairs in which the network that is held to be right sees a difference of a fifth."""
    rules = params.promotion
    rows = [(row["training"], row["kimg"]) for row in ROWS if row["pictures"] == pictures]
    pairs = [(good, bad) for good in rows for bad in rows if of_oracle(*good) < 0.8 * of_oracle(*bad)]
    versions = {row: (standing(*row, rules.score, "2"), standing(*row, rules.score, "1")) for row in rows}
    right = sum(judge(rules, versions[good][0], versions[bad][1]).promoted for good, bad in pairs)
    wrong = sum(judge(rules, versions[bad][0], versions[good][1]).promoted for good, bad in pairs)
    assert len(pairs) > 100
    assert right > 0.9 * len(pairs) and wrong < 0.1 * len(pairs), (right, wrong, len(pairs))
