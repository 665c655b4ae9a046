"""Sources: what ``data`` asks for, pinned, and a seeded part of it."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facegan.data import kaggle, synthetic
from facegan.data.pictures import PictureSet
from facegan.data.source import SOURCES, open_source
from facegan.errors import FaceganError
from facegan.params import Params
from facegan.params_data import DataParams

FILES = {f"faces/{index:02d}.png": bytes([index]) for index in range(40)}


@pytest.fixture
def data(params: Params, tmp_path: Path) -> DataParams:
    """The base recipe, pointed at the folder ``set`` with 40 files."""
    (tmp_path / "set" / "faces").mkdir(parents=True)
    for name, content in FILES.items():
        (tmp_path / "set" / name).write_bytes(content)
    return changed(params.data, source="folder", folder={"path": "set", "digest": None})


def changed(data: DataParams, **values: Any) -> DataParams:
    return DataParams.model_validate({**data.model_dump(), **values})


def opened(data: DataParams, root: Path) -> PictureSet:
    """What a source gives, closed again: names and description stay."""
    with open_source(data, root) as pictures:
        return pictures


def digest(data: DataParams, root: Path) -> str:
    return str(opened(data, root).description["digest"])


def test_every_source_of_the_schema_is_there(params: Params) -> None:
    for name in SOURCES:
        block = params.data.model_dump()[name]
        named = {**block, **{key: "o/x" for key in ("path", "name") if key in block}}
        assert changed(params.data, source=name, **{name: named}).source == name
        if named != block:
            with pytest.raises(ValueError, match=f"data.{name}.(path|name): must name .* when data.source is {name}"):
                changed(params.data, source=name)
    annotation = DataParams.model_fields["source"].annotation
    assert set(annotation.__args__) == set(SOURCES)  # type: ignore[union-attr]


@pytest.mark.parametrize("source", ["hub", "parquet", "webdataset"])
def test_no_label_takes_the_place_of_the_pictures_name(params: Params, source: str) -> None:
    block = {**params.data.model_dump()[source], "labels": ["hair", "file"]}
    with pytest.raises(ValueError, match="should not have 'file'"):
        changed(params.data, **{source: block})


# Folder


def test_a_folder_is_looked_up_from_the_root(data: DataParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    with open_source(data, tmp_path) as pictures:
        assert {name: pictures.read(name) for name in pictures.names} == FILES
    absolute = changed(data, folder={"path": str(tmp_path / "set"), "digest": None})
    assert opened(absolute, Path("/nowhere")).names == tuple(FILES)


def test_a_pinned_folder_that_is_unchanged_is_read(data: DataParams, tmp_path: Path) -> None:
    pinned = changed(data, folder={"path": "set", "digest": digest(data, tmp_path)})
    assert opened(pinned, tmp_path).names == tuple(FILES)


def test_a_pinned_folder_that_changed_is_an_error_that_says_what_to_do(data: DataParams, tmp_path: Path) -> None:
    before = digest(data, tmp_path)
    pinned = changed(data, folder={"path": "set", "digest": before})
    (tmp_path / "set" / "faces" / "00.png").write_bytes(b"other")
    after = digest(data, tmp_path)
    with pytest.raises(FaceganError) as caught:
        opened(pinned, tmp_path)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    for part in ("data.folder.path: set changed", before[:12], after[:12], "facegan data pin"):
        assert part in line


def test_a_source_without_any_file_is_an_error(data: DataParams, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FaceganError, match="the folder source holds no file"):
        opened(changed(data, folder={"path": "empty", "digest": None}), tmp_path)


# Limit


def limited(data: DataParams, root: Path, limit: int | None, seed: int = 1) -> tuple[str, ...]:
    return opened(changed(data, limit=limit, seed=seed), root).names


def test_a_limit_keeps_that_many_pictures_in_order(data: DataParams, tmp_path: Path) -> None:
    for limit in (1, 7, 39):
        names = limited(data, tmp_path, limit)
        assert len(names) == limit
        assert list(names) == sorted(set(names) & set(FILES))
    for limit in (40, 41, None):
        assert limited(data, tmp_path, limit) == tuple(FILES)


def test_a_limit_is_chosen_by_its_seed(data: DataParams, tmp_path: Path) -> None:
    chosen = {seed: limited(data, tmp_path, 10, seed) for seed in range(20)}
    assert chosen == {seed: limited(data, tmp_path, 10, seed) for seed in range(20)}
    assert len(set(chosen.values())) == 20
    assert len({name for names in chosen.values() for name in names}) > 35  # no picture is favoured
    assert chosen[1] != tuple(FILES)[:10]


def test_a_larger_limit_adds_pictures_and_drops_none(data: DataParams, tmp_path: Path) -> None:
    assert set(limited(data, tmp_path, 10)) < set(limited(data, tmp_path, 20))


def test_a_limit_chooses_each_picture_by_itself(data: DataParams, tmp_path: Path) -> None:
    """A picture that is taken away makes room for one other, and the rest of the choice stays."""
    before = limited(data, tmp_path, 10)
    gone = before[3]
    (tmp_path / "set" / gone).unlink()
    after = limited(data, tmp_path, 10)
    assert set(before) - {gone} < set(after)
    assert len(after) == 10


def test_a_limit_does_not_depend_on_the_order_in_which_files_are_listed(
    data: DataParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def backwards(params: DataParams, root: Path) -> Any:
        yield PictureSet(tuple(reversed(FILES)), FILES.__getitem__, {}, {})

    before = limited(data, tmp_path, 10)
    monkeypatch.setitem(SOURCES, "folder", backwards)
    assert limited(data, tmp_path, 10) == before


def test_a_limit_keeps_what_a_source_says_of_itself(data: DataParams, tmp_path: Path) -> None:
    whole, part = opened(data, tmp_path), opened(changed(data, limit=5), tmp_path)
    assert part.description == whole.description  # the digest is that of the whole source


def test_a_limited_set_counts_no_rejects_of_pictures_it_did_not_choose(data: DataParams, tmp_path: Path) -> None:
    """Ten broken links in a set of fifty must not fail a run on five pictures as two rejects in three."""
    for index in range(10):
        (tmp_path / "set" / f"link-{index}.png").symlink_to("missing")
    assert len(opened(data, tmp_path).unreadable) == 10
    limit = opened(changed(data, limit=5), tmp_path)
    assert len(limit.names) + len(limit.unreadable) <= 5


# Synthetic


def test_the_synthetic_source_draws_what_its_parameters_say(params: Params, tmp_path: Path) -> None:
    asked = {"count": 12, "size": 72, "seed": 5}
    with open_source(changed(params.data, synthetic=asked), tmp_path) as pictures:
        assert pictures.names == tuple(f"{index:06d}.png" for index in range(12))
        assert pictures.read("000007.png") == synthetic.png(5, 7, 72)[0]
        assert pictures.labels["000007.png"] == synthetic.png(5, 7, 72)[1]
        assert pictures.drawn
        assert pictures.description["source"] == "synthetic"
        assert (pictures.description["seed"], pictures.description["size"]) == (5, 72)


def test_the_synthetic_seed_alone_decides_the_pictures(params: Params, tmp_path: Path) -> None:
    def first(data_seed: int, seed: int) -> bytes:
        data = changed(params.data, seed=data_seed, synthetic={"count": 2, "size": 64, "seed": seed})
        with open_source(data, tmp_path) as pictures:
            return pictures.read("000000.png")

    assert first(1, 1) == first(2, 1) != first(1, 2)


# Kaggle


def test_the_kaggle_source_describes_itself_and_hands_its_pin_down(
    params: Params, data: DataParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def fetch(handle: str, pin: str | None) -> SimpleNamespace:
        asked.append((handle, pin))
        return SimpleNamespace(path=tmp_path / "set", digest="d" * 64, description={"licence": "CC0", "version": 3})

    monkeypatch.setattr(kaggle, "fetch", fetch)
    handle = {"handle": "drawn/faces/versions/3", "digest": "d" * 64}
    pictures = opened(changed(params.data, source="kaggle", kaggle=handle), tmp_path)
    assert asked == [("drawn/faces/versions/3", "d" * 64)]
    assert pictures.names == tuple(FILES)
    assert pictures.description == {"source": "kaggle", "digest": "d" * 64, "licence": "CC0", "version": 3}
