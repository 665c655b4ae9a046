"""The journal: whole lines only, each step once, whatever was cut and whoever reads meanwhile."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegan.tracking.journal import NAME, ONCE, Journal, Row, read_rows

# Rows as a training writes them: a few kinds at a few steps, so that some come twice.
KINDS = (*ONCE, "start", "alarm", "end")
ROWS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 4), st.text(max_size=6) | st.floats(allow_nan=False)), max_size=12
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "working"


def write(folder: Path, rows: list[tuple[str, int, Any]]) -> None:
    with Journal(folder) as journal:
        for kind, step, value in rows:
            journal.write(kind, step, value=value)


def content(rows: list[Row] | Iterator[Row]) -> list[tuple[str, int, Any]]:
    return [(row["kind"], row["step"], row["value"]) for row in rows]


def first_of_each(rows: list[tuple[str, int, Any]]) -> list[tuple[str, int, Any]]:
    seen: set[tuple[str, int]] = set()
    kept = []
    for kind, step, value in rows:
        if kind not in ONCE or (kind, step) not in seen:
            kept.append((kind, step, value))
        seen.add((kind, step))
    return kept


def test_a_row_comes_back_with_its_kind_step_values_and_a_time_in_milliseconds(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.write("metrics", 64, values={"d_real": 0.1 + 0.2})
        (row,) = journal.rows()
    assert (row["kind"], row["step"], row["values"]) == ("metrics", 64, {"d_real": 0.1 + 0.2})
    assert 1.6e12 < row["time"] < 1e13


def test_a_row_is_on_the_file_when_the_call_returns(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.write("metrics", 1, values={})
        assert (folder / NAME).read_bytes().endswith(b"\n")


@pytest.mark.parametrize("kind", ONCE)
def test_the_first_row_of_a_kind_and_step_stands(folder: Path, kind: str) -> None:
    write(folder, [(kind, 1, "first"), (kind, 1, "second"), (kind, 2, "third")])
    assert content(read_rows(folder)) == [(kind, 1, "first"), (kind, 2, "third")]


@pytest.mark.parametrize("kind", ONCE)
def test_the_first_row_stands_when_the_journal_was_closed_in_between(folder: Path, kind: str) -> None:
    write(folder, [(kind, 1, "first")])
    write(folder, [(kind, 1, "second"), (kind, 2, "third")])
    assert content(read_rows(folder)) == [(kind, 1, "first"), (kind, 2, "third")]


def test_every_start_alarm_and_end_is_kept(folder: Path) -> None:
    rows = [(kind, 0, number) for number in range(2) for kind in ("start", "alarm", "end")]
    write(folder, rows)
    assert content(read_rows(folder)) == rows


def test_a_line_cut_short_by_a_kill_is_dropped_and_can_be_written_again(folder: Path) -> None:
    write(folder, [("metrics", 1, "one"), ("metrics", 2, "two")])
    with (folder / NAME).open("r+b") as file:
        file.truncate((folder / NAME).stat().st_size - 5)
    assert content(read_rows(folder)) == [("metrics", 1, "one")]
    write(folder, [("metrics", 1, "one"), ("metrics", 2, "two")])
    assert content(read_rows(folder)) == [("metrics", 1, "one"), ("metrics", 2, "two")]
    assert len((folder / NAME).read_bytes().splitlines()) == 2


def test_a_folder_without_a_journal_has_no_rows(tmp_path: Path) -> None:
    assert list(read_rows(tmp_path)) == []


@settings(max_examples=40)
@given(ROWS, ROWS)
def test_reopening_changes_nothing_that_one_writer_would_have_written(
    before: list[tuple[str, int, Any]], after: list[tuple[str, int, Any]]
) -> None:
    with TemporaryDirectory() as folder:
        write(Path(folder), before)
        write(Path(folder), after)
        assert content(read_rows(Path(folder))) == first_of_each(before + after)


@settings(max_examples=40)
@given(ROWS, st.data())
def test_a_journal_cut_anywhere_and_written_again_is_the_journal(
    rows: list[tuple[str, int, Any]], data: st.DataObject
) -> None:
    # What a resumed training does: it writes the rows behind its checkpoint again.
    rows = [row for row in rows if row[0] in ONCE]
    with TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, rows)
        whole = (folder / NAME).read_bytes()
        (folder / NAME).write_bytes(whole[: data.draw(st.integers(0, len(whole)), "cut")])
        write(folder, rows)
        assert content(read_rows(folder)) == first_of_each(rows)


@settings(max_examples=40)
@given(ROWS, st.data())
def test_a_reader_sees_every_row_whole_and_once_while_a_file_grows(
    rows: list[tuple[str, int, Any]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, rows)
        whole = (folder / NAME).read_bytes()
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8), "cuts"))
        seen: list[Row] = []
        for cut in [*cuts, len(whole)]:
            (folder / NAME).write_bytes(whole[:cut])
            seen += read_rows(folder, seen[-1]["end"] if seen else 0)
            assert len(seen) == whole[:cut].count(b"\n")
        assert content(seen) == first_of_each(rows)
        assert not seen or seen[-1]["end"] == len(whole)


def test_a_reader_beside_a_writer_never_sees_half_a_line(folder: Path) -> None:
    steps, width = 150, 20_000  # lines much longer than a buffer
    journal = Journal(folder)
    writer = threading.Thread(
        target=lambda: [journal.write("losses", step, value=str(step % 10) * width) for step in range(steps)]
    )
    writer.start()
    seen: list[Row] = []
    while len(seen) < steps:
        going = writer.is_alive()
        seen += read_rows(folder, seen[-1]["end"] if seen else 0)
        if not going:
            seen += read_rows(folder, seen[-1]["end"] if seen else 0)
            break
    writer.join()
    journal.close()
    assert content(seen) == [("losses", step, str(step % 10) * width) for step in range(steps)]


def test_numbers_that_are_not_finite_come_back(folder: Path) -> None:
    write(folder, [("metrics", 1, [float("nan"), float("inf")])])
    (row,) = read_rows(folder)
    assert str(row["value"]) == "[nan, inf]"


def test_a_line_is_json(folder: Path) -> None:
    write(folder, [("metrics", 1, "a\nb")])
    (line,) = (folder / NAME).read_text().splitlines()
    assert json.loads(line)["value"] == "a\nb"
