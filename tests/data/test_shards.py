"""Shards: every good picture once, on the side that its content decides, and the same bytes however many workers."""

import csv
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

from facegan.data import shards
from facegan.data.archive import IMAGES, write_raw
from facegan.data.decode import decode
from facegan.data.folder import open_pictures
from facegan.data.manifest import MANIFEST, SPLITS, read_manifest
from facegan.data.pictures import PictureSet
from facegan.data.shards import summary, write_shards
from facegan.data.stored import load_split
from facegan.errors import FaceganError
from facegan.files import read_json, sha256
from facegan.params import Params
from facegan.params_data import PreprocessParams

Encode = Callable[..., bytes]
Noise = Callable[..., Image.Image]
Sets = Callable[..., PictureSet]
Raw = Callable[..., Path]


@pytest.fixture(scope="session")
def preprocess(params: Params) -> PreprocessParams:
    """To 32 pixels, a fifth held out."""
    values = {"size": 32, "min_side": 8, "held_out": 0.2, "max_reject_fraction": 0.5}
    return PreprocessParams.model_validate({**params.preprocess.model_dump(), **values})


def changed(params: PreprocessParams, **values: Any) -> PreprocessParams:
    return PreprocessParams.model_validate({**params.model_dump(), **values})


@pytest.fixture
def raw(tmp_path: Path, picture_set: Sets) -> Raw:
    """Writes the files given into a raw archive: ``raw(files, labels, unreadable)``."""

    def written(*arguments: Any) -> Path:
        write_raw(picture_set(*arguments), tmp_path / "raw", workers=1)
        return tmp_path / "raw"

    return written


@pytest.fixture(scope="session")
def pictures(encode: Encode, noise: Noise) -> dict[str, bytes]:
    """150 different pictures of 40 pixels: three chunks."""
    return {f"{index:03d}.png": encode(noise(index)) for index in range(150)}


BROKEN = {
    "empty.png": (b"", "empty file"),
    "page.png": (b"<html>404</html>", "not a picture"),
    "text.txt": (b"a text", "not a picture"),
}


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def loaded(folder: Path) -> dict[str, list[dict[str, np.ndarray]]]:
    """The tensors of each split, shard by shard."""
    manifest = read_manifest(folder)
    return {
        split: [load_file(folder / shard["file"]) for shard in manifest["shards"] if shard["split"] == split]
        for split in SPLITS
    }


def indices(folder: Path) -> dict[str, list[int]]:
    return {
        split: [int(index) for shard in parts for index in shard["index"]] for split, parts in loaded(folder).items()
    }


def rejected(manifest: dict[str, Any]) -> dict[str, str]:
    """Those that the manifest names: all of them, where there are no more than five of a reason."""
    return {name: reason for reason, found in manifest["rejected"].items() for name in found["examples"]}


# What is written


def test_every_picture_is_there_once_with_its_pixels(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path
) -> None:
    manifest = write_shards(raw(pictures), tmp_path / "shards", preprocess, workers=1)
    places = indices(tmp_path / "shards")
    assert sorted(places["train"] + places["held_out"]) == list(range(150))
    assert {split: len(found) for split, found in places.items()} == manifest["pictures"]
    names = sorted(pictures)
    for parts in loaded(tmp_path / "shards").values():
        for shard in parts:
            assert (shard["images"].dtype, shard["index"].dtype) == (np.uint8, np.int32)
            assert shard["images"].shape == (len(shard["index"]), 32, 32, 3)
            for index, image in zip(shard["index"], shard["images"]):
                np.testing.assert_array_equal(image, decode(pictures[names[index]], preprocess)[0])


def test_a_split_is_in_the_order_of_the_raw_archive(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path
) -> None:
    write_shards(raw(pictures), tmp_path / "shards", preprocess, workers=1)
    for places in indices(tmp_path / "shards").values():
        assert places == sorted(places)


def test_the_manifest_tells_what_is_there(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path
) -> None:
    manifest = write_shards(raw(pictures), tmp_path / "shards", preprocess, workers=1)
    assert read_manifest(tmp_path / "shards") == manifest == read_json(tmp_path / "shards" / MANIFEST)
    assert (manifest["size"], manifest["filter"]) == (32, "lanczos")
    assert manifest["source"] == {"source": "test", "licence": None}
    assert manifest["labels"] == {}
    assert (manifest["duplicates"], manifest["rejected"], manifest["enlarged"]) == (0, {}, 0.0)
    assert {MANIFEST, shards.REJECTED, *(shard["file"] for shard in manifest["shards"])} == set(
        listing(tmp_path / "shards")
    )
    for shard in manifest["shards"]:
        path = tmp_path / "shards" / shard["file"]
        assert sha256(path) == shard["sha256"]
        assert len(load_file(path)["index"]) == shard["count"]


@pytest.mark.parametrize("shard_pictures", [1000, 7, 1])
def test_the_bytes_do_not_depend_on_the_workers(
    shard_pictures: int,
    raw: Raw,
    pictures: dict[str, bytes],
    preprocess: PreprocessParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "shard_pictures", lambda *_: shard_pictures)
    files = {**pictures, "again.png": pictures["003.png"], **{name: content for name, (content, _) in BROKEN.items()}}
    folder = raw(files, {name: {"class": name[2]} for name in pictures}, {"z.png": "encrypted"})
    manifests = [write_shards(folder, tmp_path / str(workers), preprocess, workers) for workers in (1, 2, 3)]
    assert listing(tmp_path / "1") == listing(tmp_path / "2") == listing(tmp_path / "3")
    assert manifests[0] == manifests[1] == manifests[2]


@pytest.mark.parametrize("shard_pictures", [1, 7, 64, 65])
def test_a_split_is_cut_into_full_shards_and_one_rest(
    shard_pictures: int,
    raw: Raw,
    pictures: dict[str, bytes],
    preprocess: PreprocessParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = raw(pictures)
    whole = write_shards(folder, tmp_path / "whole", preprocess, workers=1)
    assert len(whole["shards"]) == 2
    monkeypatch.setattr(shards, "shard_pictures", lambda *_: shard_pictures)
    manifest = write_shards(folder, tmp_path / "cut", preprocess, workers=1)
    for split in SPLITS:
        names = [shard["file"] for shard in manifest["shards"] if shard["split"] == split]
        counts = [shard["count"] for shard in manifest["shards"] if shard["split"] == split]
        assert names == [f"{split}-{number:05d}.safetensors" for number in range(len(names))]
        assert set(counts[:-1]) <= {shard_pictures}
        assert 1 <= counts[-1] <= shard_pictures
        assert (load_split(tmp_path / "cut", split).images[:] == load_split(tmp_path / "whole", split).images[:]).all()
    assert indices(tmp_path / "cut") == indices(tmp_path / "whole")


def test_outputs_name_no_path_of_this_machine(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path
) -> None:
    write_shards(raw(pictures), tmp_path / "shards", preprocess, workers=1)
    for content in listing(tmp_path / "shards").values():
        assert str(tmp_path).encode() not in content


def test_the_enlarged_share_is_of_the_pictures_that_were_decoded(
    raw: Raw, preprocess: PreprocessParams, encode: Encode, noise: Noise, tmp_path: Path
) -> None:
    files = {f"small-{index}": encode(noise(index, (20, 50))) for index in range(3)}
    files |= {f"large-{index}": encode(noise(10 + index)) for index in range(9)}
    files["broken"] = b"text"
    manifest = write_shards(raw(files, {}, {"x": "encrypted"}), tmp_path / "shards", preprocess, workers=1)
    assert manifest["enlarged"] == 3 / 12


# Held out


def test_the_held_out_share_is_about_right(
    raw: Raw, preprocess: PreprocessParams, encode: Encode, tmp_path: Path
) -> None:
    colours = {f"{index:04d}": (index % 256, index // 256, 7) for index in range(1000)}
    folder = raw({name: encode(Image.new("RGB", (32, 32), colour)) for name, colour in colours.items()})
    sides: dict[float, set[int]] = {}
    for share in (0.0, 0.1, 0.25, 0.5):
        write_shards(folder, tmp_path / str(share), changed(preprocess, held_out=share), workers=1)
        sides[share] = set(indices(tmp_path / str(share))["held_out"])
        assert abs(len(sides[share]) - 1000 * share) < 60
    assert sides[0.0] == set() < sides[0.1] < sides[0.25] < sides[0.5]  # a larger share moves no picture back


def test_a_picture_s_side_does_not_depend_on_the_others(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path
) -> None:
    def held_out(files: dict[str, bytes], folder: Path) -> set[str]:
        write_shards(raw(files), folder, preprocess, workers=1)
        return {sorted(files)[index] for index in indices(folder)["held_out"]}

    all_of_them = held_out(pictures, tmp_path / "all")
    some = dict(list(pictures.items())[::3])
    assert held_out(some, tmp_path / "some") == all_of_them & set(some)
    renamed = {f"renamed-{name}": content for name, content in pictures.items()}
    assert held_out(renamed, tmp_path / "renamed") == {f"renamed-{name}" for name in all_of_them}


@pytest.mark.parametrize(
    ("files", "preparation"),
    [
        (("PNG", {}), {"size": 64, "filter": "bicubic"}),
        (("BMP", {}), {}),
        (("TIFF", {}), {}),
        (("WEBP", {"lossless": True}), {"size": 64}),
    ],
    ids=["size and filter", "BMP", "TIFF", "WebP at another size"],
)
def test_a_picture_is_on_its_side_at_every_size_and_in_every_lossless_format(
    raw: Raw,
    noise: Noise,
    encode: Encode,
    preprocess: PreprocessParams,
    tmp_path: Path,
    files: tuple[str, dict[str, Any]],
    preparation: dict[str, Any],
) -> None:
    """A champion that was prepared in another way has not seen what judges it today."""

    def sides(name: str, options: dict[str, Any], params: PreprocessParams, folder: str) -> dict[str, list[int]]:
        encoded = {f"{index:03d}": encode(noise(index), name, **options) for index in range(60)}
        manifest = write_shards(raw(encoded), tmp_path / folder, params, workers=1)
        assert manifest["split"] == {"scheme": "source pixels", "held_out": 0.2}
        return indices(tmp_path / folder)

    before = sides("PNG", {}, preprocess, "before")
    assert before["held_out"] and before["train"]
    assert sides(*files, changed(preprocess, **preparation), "after") == before


def solid(colour: tuple[int, int, int], side: int, format: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(content, format)
    return content.getvalue()


@given(
    st.lists(
        st.tuples(
            st.tuples(*[st.sampled_from([0, 1, 128, 255])] * 3),
            st.sampled_from([8, 32, 50]),
            st.sampled_from(["PNG", "BMP"]),
        ),
        min_size=2,
        max_size=40,
    ),
    st.booleans(),
    st.sampled_from([0.0, 0.2, 0.5]),
)
@settings(max_examples=40)
def test_no_picture_is_on_both_sides_and_none_is_lost(
    preprocess: PreprocessParams,
    picture_set: Sets,
    described: list[tuple[tuple[int, int, int], int, str]],
    deduplicate: bool,
    share: float,
) -> None:
    """A solid colour is the same tensor whatever the file's size and format."""
    files = {f"{index:02d}": solid(*description) for index, description in enumerate(described)}
    distinct = {colour for colour, _, _ in described}
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "shards"
        write_raw(picture_set(files), raw, workers=1)
        try:
            manifest = write_shards(raw, out, changed(preprocess, deduplicate=deduplicate, held_out=share), workers=1)
        except FaceganError as error:
            assert "left to train on" in str(error)
            return
        loaded = {split: load_split(out, split) for split in SPLITS}
        sides = {split: [image.tobytes() for image in loaded[split].images[:].numpy()] for split in SPLITS}
    sources = {split: {described[index][:2] for index in loaded[split].index.tolist()} for split in SPLITS}
    assert not sources["train"] & sources["held_out"]
    if deduplicate:  # else a colour in two sizes, which is two pictures, may be on both sides
        assert not set(sides["train"]) & set(sides["held_out"])
    assert len(set(sides["train"]) | set(sides["held_out"])) == len(distinct)
    kept = len(sides["train"]) + len(sides["held_out"])
    assert kept == (len(distinct) if deduplicate else len(files))
    assert manifest["duplicates"] == len(files) - kept


# Duplicates


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_of_equal_pictures_is_kept_across_chunks(
    workers: int, raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, encode: Encode, tmp_path: Path
) -> None:
    image = Image.open(io.BytesIO(pictures["001.png"]))
    files = {**pictures, "zz-copy.png": pictures["001.png"], "zz-repacked.png": encode(image, "PNG", compress_level=1)}
    assert files["zz-repacked.png"] != pictures["001.png"]
    manifest = write_shards(raw(files), tmp_path / "shards", preprocess, workers)
    assert manifest["duplicates"] == 2
    places = indices(tmp_path / "shards")
    assert sorted(places["train"] + places["held_out"]) == list(range(150))


def test_duplicates_are_kept_when_asked(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path
) -> None:
    files = {**pictures, "zz-copy.png": pictures["001.png"]}
    manifest = write_shards(raw(files), tmp_path / "shards", changed(preprocess, deduplicate=False), workers=1)
    assert manifest["duplicates"] == 0
    places = indices(tmp_path / "shards")
    side = "train" if 1 in places["train"] else "held_out"
    assert {1, 150} <= set(places[side])


# Rejects


def test_every_reject_is_listed_with_its_reason(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, encode: Encode, tmp_path: Path
) -> None:
    files = {
        **pictures,
        **{name: content for name, (content, _) in BROKEN.items()},
        "tiny.png": encode(Image.new("RGB", (7, 50))),
        "cut.jpg": encode(Image.new("RGB", (50, 50)), "JPEG")[:-40],
    }
    unreadable = {"locked.png": "encrypted", "pipe.png": "not a regular file"}
    manifest = write_shards(raw(files, {}, unreadable), tmp_path / "shards", preprocess, workers=1)
    assert rejected(manifest) == {
        **{name: why for name, (_, why) in BROKEN.items()},
        **unreadable,
        "tiny.png": "smaller than min_side",
        "cut.jpg": "truncated or damaged",
    }
    with (tmp_path / "shards" / "rejected.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["reason"]) for row in rows] == sorted(rejected(manifest).items())
    assert sum(manifest["pictures"].values()) == 150
    assert summary(manifest) == {
        "pictures": manifest["pictures"],
        "duplicates": 0,
        "enlarged": 0.0,
        "rejected": {
            "total": 7,
            "empty file": 1,
            "encrypted": 1,
            "not a picture": 2,
            "not a regular file": 1,
            "smaller than min_side": 1,
            "truncated or damaged": 1,
        },
        "height": 32,
        "width": 32,
        "channels": 3,
    }


def test_members_that_an_archive_cannot_give_are_rejects_with_one_reason(
    preprocess: PreprocessParams, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    """From a damaged .zip to the table of reasons, through the raw archive."""
    path = tmp_path / "set.zip"
    marked = {name: content + b"-the-end-" for name, content in list(pictures.items())[:20]}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in marked.items():
            archive.writestr(name, content)
    path.write_bytes(path.read_bytes().replace(b"-the-end-", b"-The-end-", 4))
    with open_pictures(path) as source:
        write_raw(source, tmp_path / "raw", workers=1)
    manifest = write_shards(tmp_path / "raw", tmp_path / "shards", preprocess, workers=1)
    assert list(rejected(manifest)) == [f"{index:03d}.png" for index in range(4)]
    assert sum(manifest["pictures"].values()) == 16
    assert list(summary(manifest)["rejected"].values()) == [4, 4]  # in all, and for their one reason


def test_too_many_rejects_fail_with_the_table_and_change_nothing(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "shard_pictures", lambda *_: 7)  # some shards are already written by then
    write_shards(raw(pictures), tmp_path / "shards", preprocess, workers=1)
    before = listing(tmp_path / "shards")
    files = {**pictures, **{name: content for name, (content, _) in BROKEN.items()}}
    folder = raw(files, {}, {"locked.png": "encrypted"})
    with pytest.raises(FaceganError) as caught:
        write_shards(folder, tmp_path / "shards", changed(preprocess, max_reject_fraction=0.02), workers=2)
    first, *table = str(caught.value).splitlines()
    assert first.startswith("preprocess: 4 of 154 pictures (2.6%) are rejected")
    assert "preprocess.max_reject_fraction (2.0%)" in first
    assert table[0].split() == ["2", "not", "a", "picture,", "such", "as", "'page.png'"]
    assert {line.split(",")[0].strip() for line in table[1:]} == {"1  empty file", "1  encrypted"}
    assert listing(tmp_path / "shards") == before
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "shards"}


@pytest.mark.parametrize(("good", "share", "passes"), [(9, 0.1, True), (9, 0.0999, False), (3, 0.0, False)])
def test_the_allowed_share_of_rejects_is_of_all_that_the_source_lists(
    good: int,
    share: float,
    passes: bool,
    raw: Raw,
    pictures: dict[str, bytes],
    preprocess: PreprocessParams,
    tmp_path: Path,
) -> None:
    folder = raw(dict(list(pictures.items())[:good]), {}, {"locked.png": "encrypted"})
    params = changed(preprocess, max_reject_fraction=share, held_out=0.0)
    if passes:
        assert write_shards(folder, tmp_path / "shards", params, workers=1)["pictures"]["train"] == good
    else:
        with pytest.raises(FaceganError, match=r"encrypted, such as 'locked\.png'"):
            write_shards(folder, tmp_path / "shards", params, workers=1)
        assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("count", [0, 1])
def test_a_set_too_small_to_train_on_is_an_error(
    count: int, raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path
) -> None:
    folder = raw(dict(list(pictures.items())[:count]))
    with pytest.raises(FaceganError, match=f"{count} pictures are left to train on; at least 2"):
        write_shards(folder, tmp_path / "shards", changed(preprocess, held_out=0.0), workers=1)
    assert not (tmp_path / "shards").exists()


def test_a_kill_in_the_middle_leaves_the_old_shards(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = raw(pictures)
    write_shards(folder, tmp_path / "shards", preprocess, workers=1)
    before = listing(tmp_path / "shards")
    calls = 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 100:
            raise KeyboardInterrupt
        return decode(*arguments)

    monkeypatch.setattr(shards, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shards(folder, tmp_path / "shards", changed(preprocess, filter="bicubic"), workers=1)
    assert listing(tmp_path / "shards") == before
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "shards"}


# Labels


@pytest.mark.parametrize("shard_pictures", [1000, 7])
def test_labels_come_back_and_unknown_is_minus_one(
    shard_pictures: int,
    raw: Raw,
    pictures: dict[str, bytes],
    preprocess: PreprocessParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "shard_pictures", lambda *_: shard_pictures)
    tags: dict[str, dict[str, str]] = {}
    for index, name in enumerate(pictures):
        tags[name] = {
            **({"hair": ["red", "blue", "\N{HIRAGANA LETTER KA}, 'x'"][index % 3]} if index % 4 else {}),
            **({"eyes": "green"} if index == 5 else {}),
        }
    manifest = write_shards(raw(pictures, tags), tmp_path / "shards", preprocess, workers=2)
    assert manifest["labels"] == {"eyes": ["green"], "hair": ["blue", "red", "\N{HIRAGANA LETTER KA}, 'x'"]}
    names, seen = sorted(pictures), 0
    for split in SPLITS:
        images = load_split(tmp_path / "shards", split)
        for column, values in manifest["labels"].items():
            for index, code in zip(images.index.tolist(), images.labels[column].tolist()):
                assert (values[code] if code >= 0 else None) == tags[names[index]].get(column)
                assert code >= -1
                seen += 1
    assert seen == 2 * 150


def test_a_label_of_a_picture_that_was_not_kept_is_no_problem(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path
) -> None:
    files = {**dict(list(pictures.items())[:10]), "broken.png": b"text"}
    tags = {"broken.png": {"hair": "red"}, "000.png": {"hair": "blue"}}
    write_shards(raw(files, tags), tmp_path / "shards", preprocess, workers=1)
    codes = [code for split in SPLITS for code in load_split(tmp_path / "shards", split).labels["hair"].tolist()]
    assert sorted(codes) == [-1] * 9 + [0]


# Memory


def test_no_more_than_a_few_chunks_are_under_way(
    raw: Raw, preprocess: PreprocessParams, encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory stays flat: chunks are asked for as they are used up."""
    entries = [f"{index:05d}" for index in range(64 * 30)]
    content = encode(Image.new("RGB", (32, 32)))
    folder = raw(dict.fromkeys(entries, content))
    asked = 0
    chunks = shards._chunks

    def counted(entries: Any) -> Any:
        nonlocal asked
        for chunk in chunks(entries):
            asked += 1
            yield chunk

    monkeypatch.setattr(shards, "_chunks", counted)
    archive_entries, _, _ = shards.read_raw(folder)
    for workers, most in ((1, 1), (2, 8)):
        asked = 0
        decoded = shards._decode_all(folder / IMAGES, archive_entries, preprocess, workers, tmp_path / "scratch")
        for done, _ in enumerate(decoded):
            assert asked <= done + most
        assert asked == 30


@example(0, 1, 1)
@given(st.integers(0, 30), st.integers(1, 10), st.integers(1, 10))
def test_places_are_cut_into_runs_that_fit(count: int, first: int, size: int) -> None:
    places, first = list(range(count)), min(first, size)
    runs = list(shards._cut(places, first, size))
    assert [place for run in runs for place in run] == places
    assert all(runs)
    assert [len(run) for run in runs[1:-1]] == [size] * (len(runs) - 2)
    assert not runs or len(runs[0]) == min(first, count)


def test_a_shard_holds_its_tensors_and_nothing_else(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path
) -> None:
    folder = raw(dict(list(pictures.items())[:5]))
    write_shards(folder, tmp_path / "shards", changed(preprocess, held_out=0.0), workers=1)
    content = (tmp_path / "shards" / "train-00000.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert set(json.loads(content[8 : 8 + length])) == {"images", "index"}  # no "__metadata__": no name, no time
    assert len(content) == 8 + length + 5 * 32 * 32 * 3 + 5 * 4


def test_a_source_read_from_a_worker_pool_is_the_same_set(
    pictures: dict[str, bytes], preprocess: PreprocessParams, picture_set: Sets, tmp_path: Path
) -> None:
    """The whole way, download and preprocess, with one process and with two."""
    source = replace(picture_set(pictures), drawn=True)
    for workers in (1, 2):
        write_raw(source, tmp_path / f"raw-{workers}", workers)
        write_shards(tmp_path / f"raw-{workers}", tmp_path / f"shards-{workers}", preprocess, workers)
    assert listing(tmp_path / "shards-1") == listing(tmp_path / "shards-2")


def test_a_manifest_stays_small_where_much_is_rejected(
    raw: Raw, pictures: dict[str, bytes], preprocess: PreprocessParams, tmp_path: Path
) -> None:
    broken = {f"broken-{number:04d}.png": b"text" for number in range(300)}
    params = changed(preprocess, max_reject_fraction=0.9)
    manifest = write_shards(raw({**pictures, **broken}), tmp_path / "shards", params, workers=1)
    assert manifest["rejected"] == {"not a picture": {"count": 300, "examples": sorted(broken)[:5]}}
    assert summary(manifest)["rejected"] == {"total": 300, "not a picture": 300}
    assert len((tmp_path / "shards" / "rejected.csv").read_text().splitlines()) == 301


@pytest.mark.parametrize(("size", "count"), [(32, 10922), (64, 2730), (96, 2730), (128, 2730), (256, 682), (1024, 128)])
def test_shards_are_few_files_of_a_size_that_fits_into_memory(size: int, count: int) -> None:
    assert shards.shard_pictures(size) == count
    assert count * size**2 * 3 <= 400 * 2**20
