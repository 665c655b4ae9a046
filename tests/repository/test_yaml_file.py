"""Changing a params.yaml: values and comments move together, and what is written is valid."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracking.made import ROOT

from facegan.errors import FaceganError
from facegan.params_yaml import parse_params
from facegan.repository.yaml_file import overlay, read_commented, text, write_commented
from facegan.strict_yaml import read_yaml

BASE = (ROOT / "recipes/base.yaml").read_text(encoding="utf-8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def merged(path: Path, base: str, changes: str) -> str:
    path.write_text(base, encoding="utf-8")
    other = path.with_name("changes.yaml")
    other.write_text(changes, encoding="utf-8")
    document = read_commented(path)
    overlay(document, read_commented(other), "recipes/changes.yaml")
    return text(document)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "recipes").glob("*.yaml")))
def test_reading_and_writing_changes_no_byte(name: str) -> None:
    source = ROOT / "recipes" / name
    assert text(read_commented(source)) == source.read_text(encoding="utf-8")


def test_values_that_yaml_1_1_would_change_stay_as_they_were_written(path: Path) -> None:
    written = "a: 2e-4\nb: on\nc: 0o17\nd: '1'\ne: null\nf: ~\ng: 1_000\nh: 12:30:00\ni: \"ü\"\n"
    path.write_text(written, encoding="utf-8")
    again = text(read_commented(path))
    assert read_yaml(again, "") == read_yaml(written, "")
    assert again.replace("null", "~") == written.replace("null", "~")


@given(st.integers(1, 10**6), st.floats(1e-9, 1.0), st.booleans(), st.text(st.characters(codec="utf-8"), max_size=8))
def test_whatever_is_put_in_comes_out_of_a_reader_of_yaml_1_2(number: int, share: float, flag: bool, word: str) -> None:
    from ruamel.yaml.comments import CommentedMap

    values = {"number": number, "share": share, "flag": flag, "word": word, "none": None}
    assert read_yaml(text(CommentedMap(values)), "") == values


def test_values_and_comments_of_the_overlay_win_and_the_rest_stays(path: Path) -> None:
    base = "# head\na: 1  # one\n\n# of b\nb:\n  c: 2  # two\n  d: 3 # three\n\n# of e\ne: 4\n"
    assert merged(path, base, "b:\n  c: 20  # twenty\n") == base.replace("c: 2  # two", "c: 20  # twenty")
    assert merged(path, base, "b:\n  d: 30  # thirty\n") == base.replace("d: 3 # three", "d: 30  # thirty")
    assert merged(path, base, "b:\n  d: 30\n") == base.replace("d: 3 ", "d: 30 ")
    assert merged(path, base, "e: 40  # forty\n") == base.replace("e: 4", "e: 40  # forty")


@pytest.mark.parametrize(
    ("changes", "key"),
    [("nope: 1\n", "nope"), ("train:\n  nope: 1\n", "train.nope"), ("data:\n  kaggle:\n    x: 1\n", "data.kaggle.x")],
)
def test_a_key_that_the_base_lacks_is_refused_by_its_name(path: Path, changes: str, key: str) -> None:
    with pytest.raises(FaceganError, match=rf"^recipes/changes.yaml: {key} is not a key of the base recipe$"):
        merged(path, BASE, changes)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: [1\n", "is not YAML"),
        ("a: 1\na: 2\n", "is not YAML"),
        ("- 1\n", "should hold blocks"),
        ("", "should hold blocks"),
        ("just text\n", "should hold blocks"),
    ],
)
def test_what_is_not_a_mapping_is_refused_in_one_line(path: Path, content: str, reason: str) -> None:
    path.write_text(content)
    with pytest.raises(FaceganError, match=rf"^params.yaml {reason}") as error:
        read_commented(path)
    assert "\n" not in str(error.value)


def test_bytes_that_are_not_text_are_refused_in_one_line(path: Path) -> None:
    path.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(FaceganError, match=r"^params.yaml is not YAML"):
        read_commented(path)


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(FaceganError, match=r"params.yaml does not exist"):
        read_commented(path)


def test_what_params_may_not_hold_is_not_written(path: Path) -> None:
    path.write_text(BASE, encoding="utf-8")
    document = read_commented(path)
    document["train"]["batch"] = "many"
    with pytest.raises(FaceganError, match=r"train.batch"):
        write_commented(path, document)
    assert path.read_text(encoding="utf-8") == BASE
    assert list(path.parent.iterdir()) == [path]


def test_what_is_written_is_valid_and_whole(path: Path) -> None:
    path.write_text(BASE, encoding="utf-8")
    document = read_commented(path)
    document["train"]["batch"] = 48
    write_commented(path, document)
    assert path.read_text(encoding="utf-8") == BASE.replace("batch: 16\n", "batch: 48\n")
    assert parse_params(path.read_text(encoding="utf-8")).train.batch == 48
