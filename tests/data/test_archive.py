"""The raw archive: original bytes, the same file every time, and every picture at its offset."""

import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegan.data.archive import IMAGES, LABELS, MANIFEST, Entry, read_content, read_raw, write_raw
from facegan.data.pictures import PictureSet
from facegan.data.source import open_source
from facegan.errors import FaceganError
from facegan.files import sha256
from facegan.params import Params
from facegan.params_data import DataParams

Sets = Callable[..., PictureSet]

FILES = {"b.png": b"two", "a/1.png": b"one", "empty.png": b"", "z/\N{HIRAGANA LETTER KA}.png": bytes(range(256)) * 300}
TAGS = {"a/1.png": {"hair": "red", "eyes": "blue"}, "b.png": {"hair": 'dark, "brown"'}}


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    """Every entry as a worker process reads it."""
    entries, _, _ = read_raw(folder)
    with (folder / IMAGES).open("rb") as archive:
        return {entry.name: read_content(archive, entry) for entry in reversed(entries)}


def labels_of(folder: Path, column: str) -> dict[str, str]:
    """The labels of one column, as the archive's own table has them."""
    _, labels, _ = read_raw(folder)
    return {name: values[column] for name, values in labels.items() if column in values}


def test_original_bytes_come_back_in_order_of_name(picture_set: Sets, tmp_path: Path) -> None:
    manifest = write_raw(picture_set(FILES, TAGS), tmp_path / "raw", workers=1)
    entries, _, again = read_raw(tmp_path / "raw")
    assert contents(tmp_path / "raw") == FILES
    assert [entry.name for entry in entries] == sorted(FILES)
    assert again == manifest


def test_labels_come_back_as_the_source_gave_them(picture_set: Sets, tmp_path: Path) -> None:
    write_raw(picture_set(FILES, TAGS), tmp_path / "raw", workers=1)
    _, labels, _ = read_raw(tmp_path / "raw")
    assert {name: values for name, values in labels.items() if values} == TAGS


def test_the_manifest_tells_what_is_there(picture_set: Sets, tmp_path: Path) -> None:
    manifest = write_raw(picture_set(FILES, TAGS, {"x.png": "encrypted"}), tmp_path / "raw", workers=1)
    assert manifest == {
        "description": {"source": "test", "licence": None},
        "pictures": 4,
        "bytes": sum(map(len, FILES.values())),
        "labels": ["eyes", "hair"],
        "unreadable": {"x.png": "encrypted"},
        "sha256": sha256(tmp_path / "raw" / IMAGES),
    }
    assert set(listing(tmp_path / "raw")) == {IMAGES, MANIFEST}
    assert json.loads((tmp_path / "raw" / MANIFEST).read_text()) == manifest


def test_label_columns_are_in_order_of_name(picture_set: Sets, tmp_path: Path) -> None:
    columns = [f"column {letter}" for letter in "gbfdaec"]
    tags = {"b.png": dict.fromkeys(columns[:4], "x"), "a/1.png": dict.fromkeys(columns[4:], "y")}
    assert write_raw(picture_set(FILES, tags), tmp_path / "raw", workers=1)["labels"] == sorted(columns)


def test_any_tool_can_open_the_archive(picture_set: Sets, tmp_path: Path) -> None:
    write_raw(picture_set(FILES, TAGS), tmp_path / "raw", workers=1)
    with zipfile.ZipFile(tmp_path / "raw" / IMAGES) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [*sorted(FILES), LABELS]
        assert {name: archive.read(name) for name in FILES} == FILES
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("labels", [TAGS, {}])
def test_the_same_pictures_are_the_same_bytes(labels: Mapping[str, Any], picture_set: Sets, tmp_path: Path) -> None:
    backwards = dict(reversed(FILES.items())), dict(reversed(labels.items()))
    write_raw(picture_set(FILES, labels), tmp_path / "one", workers=1)
    write_raw(picture_set(*backwards), tmp_path / "two", workers=2)
    assert listing(tmp_path / "one") == listing(tmp_path / "two")


def test_a_drawn_set_is_the_same_bytes_with_one_worker_and_with_two(params: Params, tmp_path: Path) -> None:
    values = params.data.model_dump() | {"synthetic": {"count": 34, "size": 64, "seed": 3}}
    for workers in (1, 2):
        with open_source(DataParams.model_validate(values), tmp_path) as pictures:
            write_raw(pictures, tmp_path / str(workers), workers)
    assert listing(tmp_path / "1") == listing(tmp_path / "2")
    assert len(contents(tmp_path / "1")) == 34


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and name.lower() != LABELS
)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)


@given(
    st.dictionaries(NAMES, st.tuples(st.binary(max_size=50), st.dictionaries(st.just("tag"), VALUES)), max_size=6),
)
@settings(max_examples=60)
def test_whatever_a_picture_is_called_it_is_read_back_with_its_labels(
    picture_set: Sets, files: dict[str, tuple[bytes, dict[str, str]]]
) -> None:
    pictures = picture_set(
        {name: content for name, (content, _) in files.items()},
        {name: values for name, (_, values) in files.items() if values},
    )
    with tempfile.TemporaryDirectory() as folder:
        write_raw(pictures, Path(folder) / "raw", workers=1)
        assert contents(Path(folder) / "raw") == {name: content for name, (content, _) in files.items()}
        assert labels_of(Path(folder) / "raw", "tag") == {
            name: values["tag"] for name, values in pictures.labels.items()
        }


@pytest.mark.parametrize("name", ["Icon\r", "a\nb.png", 'say "hi", ok.png', " leading.png", "-", "\N{PILE OF POO}.png"])
def test_an_odd_name_keeps_its_labels(name: str, picture_set: Sets, tmp_path: Path) -> None:
    tags = {name: {"hair": "red"}, "other.png": {"hair": "blue"}}
    write_raw(picture_set(dict.fromkeys(tags, b"x"), tags), tmp_path / "raw", workers=1)
    assert labels_of(tmp_path / "raw", "hair") == {name: "red", "other.png": "blue"}
    assert contents(tmp_path / "raw").keys() == tags.keys()


def test_a_picture_that_cannot_be_read_is_listed_with_the_reason(picture_set: Sets, tmp_path: Path) -> None:
    def read(name: str) -> bytes:
        if name == "b.png":
            raise OSError("Input/output error")
        return FILES[name]

    pictures = replace(picture_set(FILES, TAGS, {"x.png": "encrypted"}), read=read)
    manifest = write_raw(pictures, tmp_path / "raw", workers=1)
    assert manifest["unreadable"] == {"b.png": "cannot be read: Input/output error", "x.png": "encrypted"}
    assert manifest["pictures"] == 3
    assert contents(tmp_path / "raw") == {name: content for name, content in FILES.items() if name != "b.png"}


def test_damage_of_the_same_kind_is_one_reason_that_can_be_counted(picture_set: Sets, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(3):
            archive.writestr(f"{index}.png", f"picture {index}")
    path.write_bytes(path.read_bytes().replace(b"picture", b"Picture"))
    with zipfile.ZipFile(path) as archive:
        pictures = replace(picture_set(dict.fromkeys(archive.namelist(), b"")), read=archive.read)
        manifest = write_raw(pictures, tmp_path / "raw", workers=1)
    assert len(manifest["unreadable"]) == 3
    assert len(set(manifest["unreadable"].values())) == 1


def test_a_failure_leaves_the_old_archive_and_no_part_of_a_new_one(picture_set: Sets, tmp_path: Path) -> None:
    write_raw(picture_set(FILES), tmp_path / "raw", workers=1)
    before = listing(tmp_path / "raw")

    def read(name: str) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_raw(replace(picture_set(FILES), read=read), tmp_path / "raw", workers=1)
    assert listing(tmp_path / "raw") == before
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize("damage", ["cut", "no images", "no manifest", "no table", "empty manifest"])
def test_a_damaged_archive_says_how_to_write_it_again(damage: str, picture_set: Sets, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_raw(picture_set(FILES, TAGS), raw, workers=1)
    match damage:
        case "cut":
            (raw / IMAGES).write_bytes((raw / IMAGES).read_bytes()[:-100])
        case "no images":
            (raw / IMAGES).unlink()
        case "no manifest":
            (raw / MANIFEST).unlink()
        case "no table":
            with zipfile.ZipFile(raw / IMAGES, "w") as archive:
                archive.writestr("1.png", b"one")
        case _:
            (raw / MANIFEST).write_bytes(b"")
    with pytest.raises(FaceganError, match="dvc repro --force download") as caught:
        read_raw(raw)
    assert len(str(caught.value).splitlines()) == 1


def test_an_entry_is_a_small_value_that_a_worker_can_have() -> None:
    assert Entry("a.png", 7) == Entry(name="a.png", offset=7)
