"""What the documentation says of rankings follows from the stored numbers, and those from a benchmark that works."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import kendalltau, spearmanr

from benchmarks.corruptions import drawn_faces
from benchmarks.rankings.__main__ import TABLE
from benchmarks.rankings.correlation import Ranking, chance_of_being_better, correlations, ranking
from benchmarks.rankings.page import rankings, section
from benchmarks.rankings.scores import ORACLE, oriented_gradients, random_layout
from benchmarks.rankings.trainings import RECIPES, Recipe, checkpoints, picture_set, train
from benchmarks.sections import replace_section
from facegan.evaluation.random_network import random_extractor
from facegan.evaluation.spread import certain

ROOT = Path(__file__).parents[2]
ROWS: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
HEADLINE = "fd_face"


def of_set(name: str) -> list[dict[str, Any]]:
    return [row for row in ROWS if row["pictures"] == name]


def test_there_are_forty_checkpoints_of_eight_trainings_on_drawn_and_real_faces() -> None:
    assert len(ROWS) >= 40
    assert len({row["training"] for row in ROWS}) >= 8
    assert {row["training"] for row in ROWS} == {recipe.name for recipe in RECIPES}
    assert {row["pictures"] for row in ROWS} == {"real", "drawn"}


@pytest.mark.parametrize("pictures", ["real", "drawn"])
def test_the_headline_ranks_generators_as_the_oracle_does(pictures: str) -> None:
    found = ranking(of_set(pictures), HEADLINE)
    assert found.spearman >= 0.9
    assert found.least_within >= 0.8


def test_the_old_headline_did_not() -> None:
    assert ranking(of_set("real"), "fd_random").spearman < 0.8
    steady = {row["kimg"]: row["scores"] for row in ROWS if row["training"] == "real-steady"}
    assert steady[400][ORACLE]["badness"] < steady[150][ORACLE]["badness"]
    assert steady[400]["fd_random"]["badness"] > steady[150]["fd_random"]["badness"]  # backwards
    before, after = (steady[kimg][HEADLINE] for kimg in (150, 400))
    assert before["badness"] - after["badness"] > certain(3, before["error"], after["error"])


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Ranking]]:
    return rankings(ROWS)


def test_no_score_that_needs_no_download_is_certain_to_be_better() -> None:
    for name in ROWS[0]["scores"]:
        certain_to_be = chance_of_being_better(ROWS, name, HEADLINE) > 0.975
        assert certain_to_be == (name == ORACLE), name
    assert chance_of_being_better(ROWS, "fd_random", HEADLINE) < 0.025


def test_the_page_says_what_the_numbers_say(found: dict[str, dict[str, Ranking]]) -> None:
    page = (ROOT / "docs/SCORES.md").read_text(encoding="utf-8")
    assert section(ROWS, found) in page


def test_correlations_are_those_of_a_known_order() -> None:
    def row(place: int, training: str, ours: float) -> dict[str, Any]:
        scores = {"fd_face": {"badness": ours}, ORACLE: {"badness": float(place)}}
        return {"training": training, "pictures": "real", "kimg": place, "scores": scores}

    right = [row(place, "a", place**2) for place in range(6)]
    wrong = [row(place, "b", -place) for place in range(6)]
    assert ranking(right, "fd_face").spearman == pytest.approx(1)
    assert ranking(wrong, "fd_face").kendall == pytest.approx(-1)
    both = ranking(right + wrong, "fd_face")
    assert both.within == {"a": pytest.approx(1), "b": pytest.approx(-1)}
    assert both.least_within == pytest.approx(-1) and abs(both.spearman) < 1


@pytest.mark.parametrize("tied", [False, True])
def test_correlations_of_resampled_values_are_scipys(tied: bool) -> None:
    source = np.random.default_rng(0)
    first, second = source.normal(size=(2, 12))
    if tied:
        first, second = first.round(), second.round()
    places = source.integers(0, 12, (20, 12))
    times = np.array([np.bincount(drawn, minlength=12) for drawn in places], float)
    spearman, kendall = correlations(first, second, times)
    for row, drawn in enumerate(places):
        assert spearman[row] == pytest.approx(spearmanr(first[drawn], second[drawn]).statistic, abs=1e-12)
        assert kendall[row] == pytest.approx(kendalltau(first[drawn], second[drawn]).statistic, abs=1e-12)
    assert [float(found[0]) for found in correlations(np.ones(12), second, np.ones((1, 12)))] == [0.0, 0.0]


def test_a_section_of_a_page_is_put_in_and_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    replace_section(page, "one", "first\n")
    replace_section(page, "two", "second\n")
    replace_section(page, "one", r"third \1" + "\n")
    text = page.read_text()
    assert "first" not in text and text.index("# Title") < text.index(r"third \1") < text.index("second")


def test_a_training_leaves_its_checkpoints_once(tmp_path: Path) -> None:
    images = picture_set(tmp_path, "drawn", None, 60)
    assert torch.equal(picture_set(tmp_path, "drawn", None, 60), images)
    tiny = {"model.generator.channels": 4, "model.discriminator.channels": 4, "train.batch": 50}
    recipe = Recipe("tiny", "drawn", 1, 1, {**tiny, "train.samples": 4})
    for _ in range(2):
        train(tmp_path, recipe)
    ((kimg, network),) = checkpoints(tmp_path, recipe)
    assert kimg == 1 and not network.training
    stored = load_file(tmp_path / "checkpoints/tiny/00001.safetensors")
    assert all(torch.equal(stored[name], value) for name, value in network.state_dict().items())


def test_spaces_that_were_tried_see_layout_where_the_random_one_does_not() -> None:
    images = drawn_faces(20).images
    swapped = torch.cat([images[:, :, 32:], images[:, :, :32]], 2)  # the left half on the right

    def moved(space: Callable[[torch.Tensor], torch.Tensor]) -> float:
        """How far the same faces are moved, over how far different ones are apart."""
        there, here = space(images), space(swapped)
        return float((there - here).norm(dim=1).mean() / (there - there.roll(1, 0)).norm(dim=1).mean())

    assert min(moved(random_layout), moved(oriented_gradients)) > 2 * moved(
        random_extractor(torch.device("cpu")).extract
    )
