"""A params.yaml of an earlier version comes up to date, and means what it meant."""

import re
from pathlib import Path

import pytest
from ruamel.yaml.comments import CommentedMap

from facegan.cli.upgrade import ADDITIONS, added_to, upgrade
from facegan.errors import FaceganError
from facegan.params_yaml import ADDED, load_params, parse_params
from facegan.repository.project import Project
from facegan.repository.recipes import names
from facegan.repository.yaml_file import overlay, read_commented, text

ROOT = Path(__file__).parents[2]
OLD = Path(__file__).parent / "revisions"
NEW_KEYS = {(addition.block, addition.key) for addition in ADDITIONS}


def recipes() -> list[tuple[str, str]]:
    """Every recipe of every kept revision, as the text of a params.yaml."""
    found = []
    for base in sorted(OLD.glob("*.yaml")):
        for name in names(ROOT):
            document = read_commented(base)
            if name != "base":
                changes = read_commented(ROOT / f"recipes/{name}.yaml")
                for block, key in NEW_KEYS:
                    if isinstance(changes.get(block), CommentedMap):
                        changes[block].pop(key, None)
                overlay(document, changes, name)
            found.append((f"{base.stem} {name}", text(document)))
    return found


@pytest.mark.parametrize("before", [text for _, text in recipes()], ids=[name for name, _ in recipes()])
def test_a_file_of_an_earlier_version_comes_up_to_date(
    before: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(before)
    with pytest.raises(FaceganError, match="missing; `facegan upgrade` adds it"):
        load_params(path)
    upgrade(Project(tmp_path, tmp_path))
    assert load_params(path).train.judge == "fd_random"  # what judged at that revision
    said = capsys.readouterr().out
    assert "train.judge: fd_random added, which is what it was" in said and "train.microbatch: null added" in said
    lines = path.read_text().splitlines()
    assert [
        line for line in lines if not re.match(r"  (hub|parquet|webdataset|channels|judge|microbatch): ", line)
    ] == before.splitlines()  # comments and all
    upgrade(Project(tmp_path, tmp_path))
    assert capsys.readouterr().out == "params.yaml is up to date\n"
    assert path.read_text().splitlines() == lines


def test_where_the_face_encoder_was_in_use_it_was_the_judge(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((OLD / "75ff284.yaml").read_text().replace("extractor: random", "extractor: face"))
    added = added_to(read_commented(path))
    assert added["train.judge"] == "fd_face" and set(added) == set(ADDED)


def test_the_hint_is_given_for_what_it_adds_alone() -> None:
    assert set(ADDED) == {f"{addition.block}.{addition.key}" for addition in ADDITIONS}
    text_before = (OLD / "75ff284.yaml").read_text()
    with pytest.raises(FaceganError, match=r"data\.hub: missing; `facegan upgrade` adds it"):
        parse_params(text_before)
    without = (ROOT / "recipes/base.yaml").read_text().replace("  batch: 16\n", "")
    with pytest.raises(FaceganError, match=r"train\.batch: missing; `facegan recipe show base`"):
        parse_params(without)


def test_files_of_another_shape_are_upgraded_too(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {tick: 4 kimg, evaluate_every: 8 kimg, samples: 64}\nevaluate: null\n")
    document = read_commented(path)
    assert added_to(document) == {"train.judge": "fd_random", "train.microbatch": None}
    expected = "train: {tick: 4 kimg, evaluate_every: 8 kimg, judge: fd_random, microbatch: null, samples: 64}\n"
    assert text(document).startswith(expected)
    path.write_text("train:\n  tick: 4 kimg\n  evaluate_every: 8 kimg\n\n# the scores\nevaluate:\n  generated: 5\n")
    document = read_commented(path)
    added_to(document)
    assert text(document).endswith("evaluate_every: 8 kimg\n\n# the scores\nevaluate:\n  generated: 5\n")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("batch: 16", "batch: sixteen"), "params.yaml: train.batch: 'sixteen'"),
        (("batch: 16", "bacth: 16"), "params.yaml: train.bacth: unknown key"),
        (("train:", "train: ["), "params.yaml is not YAML"),
    ],
)
def test_a_broken_file_is_one_line_and_stays_as_it_is(change: tuple[str, str], line: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((OLD / "75ff284.yaml").read_text().replace(*change))
    before = path.read_bytes()
    with pytest.raises(FaceganError, match=line):
        upgrade(Project(tmp_path, tmp_path))
    assert path.read_bytes() == before


def test_the_base_recipe_needs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "recipes/base.yaml").read_text())
    upgrade(Project(tmp_path, tmp_path))
    assert capsys.readouterr().out == "params.yaml is up to date\n"
