"""Recipes with changes and parameters to look among become complete parameters."""

from pathlib import Path

import pytest

from facegan.errors import FaceganError
from facegan.params import Params, Schedule
from facegan.params_yaml import parse_params
from facegan.repository.project import Project
from facegan.study.space import Dimension, Space, read_space, short_names


def params(space: Space, place: int = 0, seed: int = 1) -> Params:
    return parse_params(space.grid()[place].params_yaml(seed))


def test_values_are_read_as_params_yaml_has_them() -> None:
    assert Dimension.parse("train.batch=16,32").choices == (16, 32)
    assert Dimension.parse("train.r1=1e-2,.5").choices == (0.01, 0.5)
    assert Dimension.parse("train.objective=bce,hinge").choices == ("bce", "hinge")
    assert Dimension.parse("train.augment=[[], [color], [color, cutout]]").choices == (
        [],
        ["color"],
        ["color", "cutout"],
    )
    assert Dimension.parse("train.flip=true,false").choices == (True, False)
    whole = Dimension.parse("model.latent=8..128:log")
    assert (whole.low, whole.high, whole.log, whole.whole) == (8, 128, True, True)
    assert Dimension.parse("train.r1=0..10").whole is False  # as the parameter is
    assert Dimension.parse("data.folder.path=../a,../b").choices == ("../a", "../b")
    broken = Dimension.parse("train.lr_generator=1e-5..1e-3")
    assert (broken.low, broken.high, broken.log, broken.whole) == (1e-5, 1e-3, False, False)


def test_drawn_numbers_have_four_digits_and_stay_in_their_bounds() -> None:
    dimension = Dimension.parse("train.lr_generator=1.23456e-5..9.87654e-4:log")
    assert dimension.rounded(0.000123456789) == 0.0001235
    assert dimension.rounded(9.87654e-4) == 9.87654e-4  # rounded up it would leave them
    assert dimension.rounded(1.23411e-5) == 1.23456e-5
    assert Dimension.parse("train.beta1_generator=0.5..0.5001").rounded(0.50005678) == 0.50005678
    assert Dimension.parse("train.batch=8..64").rounded(31) == 31


def test_a_contender_has_its_recipes_networks_and_the_projects_pictures(project: Project) -> None:
    found = params(read_space(project.root, ["r3gan-64:train.batch=8,model.latent=16"], [], 100_000), seed=7)
    own = project.params()
    assert (found.seed, found.model.network, found.model.latent, found.train.batch) == (7, "r3gan", 16, 8)
    assert (found.data, found.preprocess, found.evaluate) == (own.data, own.preprocess, own.evaluate)
    assert params(read_space(project.root, ["params.yaml"], [], 64)).model == own.model


def test_schedules_keep_their_share_of_another_length(project: Project) -> None:
    train = params(read_space(project.root, ["r3gan-64"], [], 100_000)).train
    assert (train.duration, train.tick, train.evaluate_every) == ("100 kimg", "5 kimg", "10 kimg")
    assert isinstance(train.r1, Schedule) and train.r1.over == "100 kimg"  # all of it, as published
    assert isinstance(train.lr_generator, Schedule) and train.lr_generator.start == 2e-4


def test_a_number_takes_the_place_of_a_schedule(project: Project) -> None:
    assert params(read_space(project.root, ["r3gan-64:train.lr_generator=1e-4"], [], 64)).train.lr_generator == 1e-4


def test_a_grid_is_every_combination_of_every_contender(project: Project) -> None:
    search = ["train.batch=8,16", "train.objective=bce,hinge"]
    space = read_space(project.root, ["base", "base:model.latent=4"], search, 64)
    every = [params(space, place) for place in range(8)]
    assert len({(found.model.latent, found.train.batch, found.train.objective) for found in every}) == 8
    assert space.grid()[0].name == "base, train.batch=8, train.objective=bce"


def test_schedules_in_epochs_do_too_and_mixed_units_are_refused(project: Project) -> None:
    schedule = "train.lr_generator={start: 2.0e-4, end: 1.0e-5, over: 5 epochs, shape: linear}"
    train = params(read_space(project.root, [f"conv-64:train.augment=[],{schedule}"], [], 1000)).train
    assert isinstance(train.lr_generator, Schedule) and train.lr_generator.over == "0.2 kimg"  # 5 of 25 epochs
    with pytest.raises(FaceganError, match=r"train\.lr_generator\.over is in kimg and train\.duration in epochs"):
        read_space(project.root, [f"conv-64:{schedule.replace('epochs', 'kimg')}"], [], 1000)


def test_contenders_that_are_the_same_in_other_words_are_one(project: Project) -> None:
    texts = ["base:train.batch=8,model.latent=4", "base:model.latent=4,train.batch=8", "base:train.batch=8"]
    assert [one.name for one in read_space(project.root, texts, [], 64).contenders] == ["base:model.latent=4", "base"]


def test_comments_stay(project: Project, tmp_path: Path) -> None:
    source = (project.root / "recipes/base.yaml").read_text(encoding="utf-8")
    (project.root / "params.yaml").write_text(source, encoding="utf-8")
    made = read_space(project.root, ["params.yaml"], [], 64).grid()[0].params_yaml(3).splitlines()
    changed = [line for line in source.splitlines() if line not in made]
    assert all(line.split(":")[0].strip() in ("seed", "duration", "tick", "evaluate_every") for line in changed)


def test_values_that_do_not_go_together_are_told(project: Project) -> None:
    space = read_space(project.root, ["base"], ["train.r1=0.0,1.0"], 64)
    assert space.grid()[0].params_yaml(1)
    with pytest.raises(FaceganError, match="does not go with"):
        space.grid()[1].params_yaml(1)


def test_names_tell_only_what_sets_a_contender_apart() -> None:
    assert short_names(["a:x=1,y=2", "b:y=2", "a:x=3,y=2"]) == {
        "a:x=1,y=2": "a:x=1",
        "b:y=2": "b",
        "a:x=3,y=2": "a:x=3",
    }
    assert short_names(["a:x=1"]) == {"a:x=1": "a:x=1"}
    assert short_names(["a", "b:x=[1, 2],y=3"]) == {"a": "a", "b:x=[1, 2],y=3": "b:x=[1, 2],y=3"}


@pytest.mark.parametrize("given", ["preprocess.size=32..128", "preprocess.size=64..96"])
def test_numbers_with_gaps_are_listed(given: str) -> None:
    key, span = given.split("=")
    low, high = span.split("..")
    with pytest.raises(FaceganError, match=f"not every number in between can be used.*list those.*{key}={low},{high}"):
        Dimension.parse(given)
    assert Dimension.parse(f"{key}={low},{high}").choices == (int(low), int(high))
