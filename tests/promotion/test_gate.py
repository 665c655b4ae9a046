"""The rules of promotion: what is refused is refused in words that say what would be right."""

from typing import Any

import pytest
import torch

from facegan.evaluation.memorization import Nearest, memorized
from facegan.params import PromotionParams
from facegan.promotion.gate import Standing, judge, unfit, unlike

RULES = PromotionParams(
    model="faces", score="fd_random", certain=2.0, min_improvement=0.1, max_memorization=0.15, max_parity=1e-3
)
PROTOCOL = {"pictures": "a", "extractor_sha256": "b", "scores": {"fd_random": "Gaussians"}}


def copying(value: float, held_out: int = 400, std: float = 0.01) -> dict[str, Any]:
    return {"value": value, "std": std, "floor": 0.05, "n": 1000, "held_out_n": held_out}


def standing(value: float = 1.0, version: str = "2", std: float | None = 0.01, **changes: Any) -> Standing:
    score = {"value": value, "floor": 0.2, "n": 1000} | ({"std": std} if std is not None else {})
    report = {"fd_random": score, "memorization": copying(0.05), "protocol": PROTOCOL}
    return Standing(version, report | changes, 1e-5)


CHAMPION = standing(1.0, "1")


def told(rules: PromotionParams, candidate: Standing, champion: Standing | None = CHAMPION) -> str:
    verdict = judge(rules, candidate, champion)
    assert not verdict.promoted
    (reason,) = verdict.reasons
    return reason


def test_a_better_one_is_promoted_with_both_numbers() -> None:
    verdict = judge(RULES, standing(0.5), CHAMPION)
    assert verdict.promoted
    assert "it is better: Frechet distance (fd_random) 0.5 against 1 of version 1" in verdict.reasons[0]


def test_the_first_needs_nobody_to_beat() -> None:
    assert judge(RULES, standing(9.0), None).promoted


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.5, "it is worse: "),
        (1.0, "it is no better: "),
        (0.98, "a difference within 0.028 (2 standard errors) is none"),  # sqrt(2) * 2 * 0.01
        (0.94, "not better by enough: "),  # 0.06 of a distance of 0.8
    ],
)
def test_one_that_is_not_better_is_refused(value: float, said: str) -> None:
    assert said in told(RULES, standing(value))


def test_enough_is_a_share_of_the_distance_to_real_pictures() -> None:
    assert judge(RULES, standing(0.91), CHAMPION).promoted  # 0.09 of 0.8
    assert "and this is 6%" in told(RULES, standing(0.95))


def test_one_that_memorizes_is_refused_however_good_it_is() -> None:
    copied = copying(0.4)
    for champion in (CHAMPION, None):
        assert "it memorizes: 40% of its faces" in told(RULES, standing(0.1, memorization=copied), champion)
    lenient = RULES.model_copy(update={"max_memorization": None})
    assert judge(lenient, standing(0.1, memorization=copied), CHAMPION).promoted


def test_what_is_not_known_is_no_pass() -> None:
    whole = standing(0.1)
    assert "its parity.json is missing" in told(RULES, Standing("2", whole.report))
    assert "has no known spread" in told(RULES, standing(0.1, std=None))
    assert "has no known spread" in told(RULES, standing(float("nan")))


@pytest.mark.parametrize(("value", "refused"), [(0.19, True), (0.16, False), (0.15, False)])
def test_memorization_is_refused_beyond_its_error_alone(value: float, refused: bool) -> None:
    assert bool(unfit(RULES, standing(0.1, memorization=copying(value)))) == refused  # 0.15 is allowed, 2 x 0.01


@pytest.mark.parametrize("champion", [CHAMPION, None])
def test_of_too_few_held_out_pictures_it_is_said_that_copies_are_not_judged(champion: Standing | None) -> None:
    without = {name: score for name, score in standing(0.1).report.items() if name != "memorization"}
    for candidate, there in (
        (standing(0.1, memorization=copying(0.4, held_out=99)), "99"),
        (Standing("2", without, 1e-5), "too few"),
    ):
        verdict = judge(RULES, candidate, champion)
        assert verdict.promoted
        assert f"copies training pictures is not known: {there} pictures are held out" in verdict.reasons[-1]
    lenient = RULES.model_copy(update={"max_memorization": None})
    assert len(judge(lenient, Standing("2", without, 1e-5), champion).reasons) == 1


def test_honest_models_are_hardly_ever_refused() -> None:
    """Generated and held-out pictures of one distribution: with 100 held out, fewer than one in a hundred."""
    source, refused = torch.Generator().manual_seed(0), 0
    for _ in range(400):
        distances = torch.rand((1100, 6), generator=source) + 0.5
        pictures = [Nearest(part, torch.zeros_like(part).long()) for part in (distances[:1000], distances[1000:])]
        copied = memorized(*pictures).beside(memorized(pictures[1], pictures[1]), held_out_n=100)
        refused += bool(unfit(RULES, standing(0.1, memorization=copied)))
    assert refused < 4


def test_an_export_that_disagrees_is_refused() -> None:
    assert "ONNX and PyTorch differ by 0.02; promotion.max_parity allows 0.001" in told(
        RULES, Standing("2", standing(0.1).report, 0.02)
    )


def test_a_score_that_is_not_there_is_named_with_those_that_are() -> None:
    rules = RULES.model_copy(update={"score": "fid"})
    assert "no score 'fid', which promotion.score asks for; its scores are fd_random, memorization" in told(
        rules, standing()
    )


def test_everything_that_speaks_against_it_is_told() -> None:
    candidate = Standing("2", standing(memorization=copying(0.4)).report, 1.0)
    assert len(unfit(RULES, candidate)) == 2


def test_scores_on_other_pictures_are_not_compared() -> None:
    assert unlike(RULES, standing(), CHAMPION) is None
    assert unlike(RULES, standing(protocol={**PROTOCOL, "pictures": "z"}), CHAMPION) == "other pictures"
    older = Standing("1", {"protocol": {}})
    assert unlike(RULES, standing(), older) == "version 1 has no fd_random"


def test_a_score_of_which_more_is_better() -> None:
    rules = RULES.model_copy(update={"score": "recall_random"})

    def recalling(value: float) -> Standing:
        return standing(recall_random={"value": value, "std": 0.01, "floor": 0.9, "n": 1000})

    assert judge(rules, recalling(0.7), recalling(0.5)).promoted
    assert "it is worse" in told(rules, recalling(0.5), recalling(0.7))
