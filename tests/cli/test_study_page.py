"""The table and the page of a study, made of results as its trainings leave them."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from ruamel.yaml.comments import CommentedMap

from facegan.cli.study_page import header, ordered, rows, table, write_page
from facegan.cli.study_results import Plan, Trial
from facegan.cli.study_search import Tried
from facegan.cli.study_space import Contender, Dimension, Setting, Space
from facegan.cli.study_trials import Study

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
    assert header(found)[:5] == ["trial", "recipe", "fd_random", "floor", "above floor"]
    first, second = rows(found)
    assert first[:6] == ["2", "conv-64", "6 ± 1.4", "1.000", "0.56", "0.1 ± 0"]  # 5 above the floor, of 9
    assert second[:5] == ["1", "base", "10 ± 1.4", "1.000", "1.00"]
    assert first[-4:] == ["3", "100", "1.50 M", "study-c study-d"]
    assert table(found).splitlines()[2].startswith("2      conv-64")


def test_scores_of_other_pictures_are_not_set_against_each_other(tmp_path: Path) -> None:
    trials = [trial(0, 0, result(tmp_path, "a", 9.0)), trial(1, 1, result(tmp_path, "b", 5.0, pictures="others"))]
    assert [row[4] for row in rows(study(tmp_path, trials))] == ["1.00", "not comparable: other pictures"]


def test_what_has_no_score_stands_last_with_the_reason(tmp_path: Path) -> None:
    none: dict[str, Any] = {"scores": [], "seed": 1, "key": "x"}
    trials = [
        trial(0, 0, {**none, "ended": "diverged", "reason": "train: not finite"}),
        trial(1, 0, {**none, "ended": "given up", "reason": "behind", "images": 1500}),
        trial(2, 0, {**none, "ended": "failed", "reason": "disk full"}),
        trial(3, 1, result(tmp_path, "a", 5.0)),
    ]
    found = study(tmp_path, trials)
    assert [row[2] for row in rows(found)] == ["5", "diverged", "given up at 1.5 kimg", "failed: disk full"]
    assert rows(found)[0][4] == "1.00"  # the first that has a score is the base
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
    page = write_page(found).read_text(encoding="utf-8")
    assert 'alt="importance' in page and "Trial by trial" in page
    assert page.count("last samples of trial") == 24 and "6 more are in their experiments" in page
    assert "dvc exp apply study-k0" in page and "http" not in page
    assert header(found)[:3] == ["trial", "train.lr_generator", "train.objective"]

    few = write_page(study(tmp_path, trials[:3], RATE, KIND, several=False)).read_text(encoding="utf-8")
    assert 'alt="importance' not in few and "takes two parameters that were varied" in few
    assert "What mattered" not in write_page(study(tmp_path, trials[:2])).read_text(encoding="utf-8")


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
