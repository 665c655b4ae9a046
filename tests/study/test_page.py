"""The table and the page of a study, made of results as its trainings leave them."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from ruamel.yaml.comments import CommentedMap

from facegan.study.page import header, ordered, rows, table, verdict, write_page
from facegan.study.results import Plan, Trial
from facegan.study.search import Tried
from facegan.study.space import Contender, Dimension, Setting, Space
from facegan.study.trials import Study

CONTENDERS = (Contender("base", CommentedMap()), Contender("conv-64", CommentedMap()))
RATE = Dimension("train.lr_generator", low=1e-5, high=1e-1, log=True)
KIND = Dimension("train.objective", choices=("bce", "hinge"))


def result(out: Path, key: str, score: float, pictures: str = "same", **changes: Any) -> dict[str, Any]:
    Image.new("RGB", (8, 8)).save(out / f"{key}.png")
    (out / f"{key}.csv").write_text("images,score\n1000,9.0\n2000,\n3000,4.0\n")
    definition = {"fd_random": "a distance", "memorization": "a share"}
    entry = {"value": score + 0.5, "at_n": score, "floor": 1.0, "n": 40}
    report = {
        "fd_random": entry,
        "memorization": {"value": 0.1, "floor": 0.0, "n": 40},
        "protocol": {"pictures": pictures, "scores": definition},
        "warnings": [],
    }
    about = {"experiment": f"study-{key}", "best_images": 3000, "parameters": 1_500_000, "images_per_second": 100.0}
    return {"name": key, "seed": 1, "key": key, "scores": [9.0, 4.0], "report": report, **about, **changes}


def study(out: Path, trials: list[Trial], *dimensions: Dimension, seeds: int = 1, several: bool = True) -> Study:
    """What the page looks at, of a study that has ended."""
    space = Space(CONTENDERS if several else CONTENDERS[:1], dimensions)
    for trial in trials:
        trial.settle(seeds, "fd_random")
    found = object.__new__(Study)  # without a repository, a server and trainings
    found.space, found.out, found.trials, found.score = space, out, trials, "fd_random"
    found.plan = Plan("tpe" if dimensions else "grid", len(trials), seeds, 3000, bool(dimensions))
    return found


def trial(number: int, contender: int, *results: dict[str, Any], **values: Any) -> Trial:
    setting = Setting(CONTENDERS[contender], values)
    return Trial(number, Tried(setting), {seed + 1: run for seed, run in enumerate(results)})


def test_the_best_stands_first_with_its_spread_and_its_share_above_the_floor(tmp_path: Path) -> None:
    trials = [
        trial(0, 0, result(tmp_path, "a", 9.0), result(tmp_path, "b", 11.0)),
        trial(1, 1, result(tmp_path, "c", 5.0), result(tmp_path, "d", 7.0)),
    ]
    found = study(tmp_path, trials, seeds=2)
    assert header(found)[:5] == ["trial", "experiment", "recipe", "fd_random", "floor"]
    first, second = rows(found)
    assert first[:7] == ["2", "study-c study-d", "conv-64", "6 ± 1.4", "1.000", "0.56", "0.1 ± 0"]  # 5 above, of 9
    assert second[:6] == ["1", "study-a study-b", "base", "10 ± 1.4", "1.000", "1.00"]
    assert first[-3:] == ["3", "100", "1.50 M"]
    assert table(found).splitlines()[2].startswith("2      study-c")
    assert table(found).endswith("± is the standard deviation over trainings")


def test_what_cannot_be_told_apart_from_the_best_is_named(tmp_path: Path) -> None:
    """By two standard errors of the means over seeds; of a single training, over the pictures."""

    def several(*scores: float) -> Trial:
        number = len(list(tmp_path.glob("*.png")))
        return trial(number, 0, *(result(tmp_path, f"{number}-{n}", score) for n, score in enumerate(scores)))

    near, far = several(5.0, 7.0), several(9.0, 9.2)
    found = study(tmp_path, [several(5.0, 6.0), near, far], seeds=2)
    assert found.rivals == [near]
    assert "Not told apart from it by two standard errors (over trainings): 1" in verdict(found)

    one, other, third = (trial(number, 0, result(tmp_path, str(number), 5.0 + number)) for number in range(3))
    for each in (one, other, third):
        each.results[1]["report"]["fd_random"]["error"] = 0.5
    found = study(tmp_path, [one, other, third])
    assert found.rivals == [other]  # 1.0 is less than twice the error of the difference, 0.71; 2.0 is more
    assert "(over pictures; other seeds may differ more): 2" in verdict(found)
    assert "Not told apart" not in verdict(study(tmp_path, [one]))


def test_scores_of_other_pictures_are_not_set_against_each_other(tmp_path: Path) -> None:
    trials = [trial(0, 0, result(tmp_path, "a", 9.0)), trial(1, 1, result(tmp_path, "b", 5.0, pictures="others"))]
    assert [row[5] for row in rows(study(tmp_path, trials))] == ["1.00", "not comparable: other pictures"]


def test_what_has_no_score_stands_last_with_the_reason(tmp_path: Path) -> None:
    none: dict[str, Any] = {"scores": [], "seed": 1, "key": "x"}
    trials = [
        trial(0, 0, {**none, "ended": "diverged", "reason": "train: not finite"}),
        trial(1, 0, {**none, "ended": "given up", "reason": "behind", "images": 1500}),
        trial(2, 0, {**none, "ended": "failed", "reason": "disk full"}),
        trial(3, 1, result(tmp_path, "a", 5.0)),
    ]
    found = study(tmp_path, trials)
    assert [row[3] for row in rows(found)] == ["5", "diverged", "given up at 1.5 kimg", "failed: disk full"]
    assert rows(found)[0][5] == "1.00"  # the first that has a score is the base
    assert write_page(found).is_file()
    assert write_page(study(tmp_path, trials[:3])).is_file()


def test_the_page_says_what_mattered(tmp_path: Path) -> None:
    trials = [
        trial(
            n, 0, result(tmp_path, f"k{n}", 5.0 + n), **{RATE.key: 10.0 ** -(2 + n % 4), KIND.key: KIND.choices[n % 2]}
        )
        for n in range(30)
    ]
    found = study(tmp_path, trials, RATE, KIND, several=False)
    page = write_page(found, "facegan study").read_text(encoding="utf-8")
    assert "made by" in page
    assert 'alt="importance' in page and "Trial by trial" in page
    assert page.count("last samples of trial") == 24 and "6 more are in their experiments" in page
    assert "dvc exp apply study-k0" in page and "http" not in page
    assert header(found)[:4] == ["trial", "experiment", "train.lr_generator", "train.objective"]

    few = write_page(study(tmp_path, trials[:3], RATE, KIND, several=False)).read_text(encoding="utf-8")
    assert 'alt="importance' not in few and "takes four trials with a score" in few
    plain = [trial(number, number, result(tmp_path, f"plain{number}", 5.0)) for number in range(2)]
    assert "What mattered" not in write_page(study(tmp_path, plain)).read_text(encoding="utf-8")


def test_a_setting_has_no_score_before_all_its_seeds(tmp_path: Path) -> None:
    one = trial(0, 0, result(tmp_path, "a", 9.0))
    one.settle(2, "fd_random")
    assert one.tried.state == "running" and one.tried.value is None
    one.results[2] = result(tmp_path, "b", 11.0)
    one.settle(2, "fd_random")
    assert (one.tried.state, one.tried.value) == ("done", pytest.approx(10.0))
    assert ordered(study(tmp_path, [one], seeds=2)) == [one]


def test_a_score_that_is_not_there_is_named(tmp_path: Path) -> None:
    from facegan.errors import FaceganError

    with pytest.raises(FaceganError, match=r"promotion\.score is 'fid', .*: fd_random, memorization"):
        trial(0, 0, result(tmp_path, "a", 9.0)).settle(1, "fid")
