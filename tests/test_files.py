"""Files on disk: the old content or the new, whatever happens in between, and digests that mean one thing."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegan.files import json_digest, new_folder, read_json, sha256, tree_digest, write_atomic, write_json


class Killed(BaseException):
    """Stands for the end of the process: no ``except Exception`` may live on after it."""


def killed(*_: Any, **__: Any) -> NoReturn:
    raise Killed


def full(*_: Any, **__: Any) -> NoReturn:
    raise OSError(28, "No space left on device")


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


# Digests


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_file_s_digest_is_its_sha256(size: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    assert sha256(tmp_path / "file") == hashlib.sha256(b"x" * size).hexdigest()


ENTRIES = st.lists(
    st.tuples(st.text("ab/\n .\N{HIRAGANA LETTER KA}", max_size=4), st.integers(0, 99), st.sampled_from(["aa", "bb"])),
    max_size=5,
    unique_by=lambda entry: entry[0],
)


@given(ENTRIES, st.randoms(use_true_random=False))
def test_a_tree_s_digest_does_not_depend_on_the_order(entries: list[tuple[str, int, str]], random: Any) -> None:
    shuffled = random.sample(entries, len(entries))
    assert tree_digest(shuffled) == tree_digest(entries)


@given(ENTRIES, ENTRIES)
def test_two_trees_have_one_digest_only_when_they_are_equal(
    one: list[tuple[str, int, str]], two: list[tuple[str, int, str]]
) -> None:
    assert (tree_digest(one) == tree_digest(two)) == (sorted(one) == sorted(two))


def test_a_tree_s_digest_is_the_promised_one() -> None:
    # Known value: it is written into params.yaml by `facegan data pin`, so a change breaks every pin.
    known = "e0aacfba85b1bcab0dc75a20b08ce19bb9f7a2396682a9125f65bf4e95b2d295"
    entries = [("b/2.png", 3, "ff"), ("a.png", 10, "00")]
    assert tree_digest(entries) == known


def test_equal_values_have_one_json_digest_and_others_another() -> None:
    assert json_digest({"a": 1, "b": [1, 2]}) == json_digest({"b": [1, 2], "a": 1})
    assert json_digest({"a": 1}) != json_digest({"a": "1"})
    assert json_digest([1, 2]) != json_digest([2, 1])


# One file


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 1000, "plain", "\N{HIRAGANA LETTER KA}\r\n"])
def test_what_is_written_is_there_and_nothing_else(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomic(path, content)
    assert listing(tmp_path) == {"new/folder/file": content if isinstance(content, bytes) else content.encode()}
    write_atomic(path, b"again")
    assert listing(tmp_path) == {"new/folder/file": b"again"}


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_while_writing_leaves_the_old_content(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os if moment == "fsync" else Path, moment, killed)
        with pytest.raises(Killed):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    write_atomic(path, b"newer")
    assert listing(tmp_path) == {"file": b"newer"}


def test_the_content_is_on_the_disk_before_it_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(file: int) -> None:
        calls.append("fsync")
        fsync(file)

    def replaced(path: Path, target: Path) -> Path:
        calls.append(f"replace after {path.read_bytes()!r}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_atomic(tmp_path / "file", b"whole")
    assert calls[:2] == ["fsync", "replace after b'whole'"]


def test_a_full_disk_leaves_the_old_content_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert listing(tmp_path) == {"file": b"old"}  # what the command line tells the user


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_json_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value
    assert path.read_bytes().endswith(b"\n")


def test_equal_values_are_equal_files(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": 1, "a": {"c": 1, "b": "\N{HIRAGANA LETTER KA}"}})
    write_json(tmp_path / "b", {"a": {"b": "\N{HIRAGANA LETTER KA}", "c": 1}, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "\N{HIRAGANA LETTER KA}" in (tmp_path / "a").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": {"b": -float("inf")}}])
def test_a_number_that_is_not_json_is_refused_and_the_old_file_stays(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"fid": 1.0})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, value)
    assert listing(tmp_path) == {"metrics.json": b'{\n  "fid": 1.0\n}\n'}
    assert json.loads(path.read_text())["fid"] == 1.0


# One folder


def filled(path: Path, files: dict[str, bytes]) -> None:
    with new_folder(path) as partial:
        for name, content in files.items():
            write_atomic(partial / name, content)


def test_a_new_folder_takes_the_place_of_the_old_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "shards"
    filled(path, {"a": b"1", "b/c": b"2"})
    filled(path, {"d": b"3"})
    assert listing(tmp_path) == {"deep/shards/d": b"3"}
    assert list(path.parent.iterdir()) == [path]


def test_the_old_folder_is_whole_until_the_new_one_is(tmp_path: Path) -> None:
    path = tmp_path / "shards"
    filled(path, {"a": b"old"})
    with new_folder(path) as partial:
        (partial / "b").write_bytes(b"new")
        assert listing(path) == {"a": b"old"}
        assert partial.parent == path.parent  # the same file system, so that a rename is enough
    assert listing(path) == {"b": b"new"}


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(143)])
@pytest.mark.parametrize("before", [{}, {"a": b"old"}])
def test_a_failure_leaves_the_old_folder_and_no_part_of_the_new(
    error: BaseException, before: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "shards"
    if before:
        filled(path, before)
    with pytest.raises(type(error)), new_folder(path) as partial:
        (partial / "b").write_bytes(b"half")
        raise error
    assert path.exists() == bool(before)
    assert listing(tmp_path) == {f"shards/{name}": content for name, content in before.items()}


def test_what_a_killed_run_left_behind_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "shards"
    for leftover in (".shards.partial", ".shards.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "half").write_bytes(b"x")
    filled(path, {"a": b"1"})
    assert listing(tmp_path) == {"shards/a": b"1"}


@pytest.mark.parametrize("swap", [1, 2])
def test_a_kill_during_the_swap_does_not_lose_the_old_folder(
    swap: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shards"
    filled(path, {"a": b"old"})
    renames = 0
    rename = Path.rename

    def until_killed(path: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == swap:
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", until_killed)
        with pytest.raises(Killed):
            filled(path, {"b": b"new"})
    with pytest.raises(ValueError, match="bad"), new_folder(path):  # the next run starts, and fails
        raise ValueError("bad")
    assert listing(path) in ({"a": b"old"}, {"b": b"new"})
