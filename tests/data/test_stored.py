"""Pictures on disk: the rows that are asked for, whatever the order, and one line for a damaged shard."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from facegan.data import shards
from facegan.data.archive import write_raw
from facegan.data.batches import BatchSequence, to_network, to_uint8
from facegan.data.manifest import SPLITS, read_manifest
from facegan.data.pictures import PictureSet
from facegan.data.shards import write_shards
from facegan.data.stored import Chosen, in_parts, load_split
from facegan.errors import FaceganError
from facegan.params import Params
from facegan.params_data import PreprocessParams

COUNT, SIDE = 60, 32


@pytest.fixture
def folder(
    params: Params,
    picture_set: Callable[..., PictureSet],
    encode: Callable[..., bytes],
    noise: Callable[..., Image.Image],
    tmp_path: Path,
) -> Path:
    """Shards of ten pictures, nothing held out, one label."""
    values = {**params.preprocess.model_dump(), "size": 32, "held_out": 0.0}
    files = {f"{index}.png": encode(noise(index)) for index in range(10)}
    write_raw(picture_set(files, {"3.png": {"hair": "red"}}), tmp_path / "raw", workers=1)
    write_shards(tmp_path / "raw", tmp_path / "shards", PreprocessParams.model_validate(values), workers=1)
    return tmp_path / "shards"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Path:
    """Sixty pictures in shards of seven, a third of them held out."""
    folder = tmp_path_factory.mktemp("several")
    source = np.random.default_rng(0)
    files = {f"{index:02d}.png": source.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for index in range(COUNT)}

    def read(name: str) -> bytes:
        path = folder / name
        Image.fromarray(files[name]).save(path)
        return path.read_bytes()

    write_raw(PictureSet(tuple(files), read, {}, {"source": "test"}), folder / "raw", workers=1)
    values = {**params.preprocess.model_dump(), "size": SIDE, "held_out": 0.3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "shard_pictures", lambda *_: 7)
        write_shards(folder / "raw", folder / "shards", PreprocessParams.model_validate(values), workers=1)
    return folder / "shards"


def in_memory(folder: Path, *splits: str) -> torch.Tensor:
    """What the shards hold, by safetensors itself."""
    names = [shard["file"] for split in splits for shard in read_manifest(folder)["shards"] if shard["split"] == split]
    return torch.cat([load_file(folder / name)["images"] for name in names])


def test_a_split_has_its_pictures_and_their_labels(folder: Path) -> None:
    images = load_split(folder, "train")
    assert len(images) == 10
    assert images.images.shape == (10, 32, 32, 3)
    assert images.index.tolist() == list(range(10))
    assert images.index.dtype == images.labels["hair"].dtype == torch.int32
    assert images.labels["hair"].tolist() == [-1, -1, -1, 0, -1, -1, -1, -1, -1, -1]


def test_an_empty_split_is_empty(folder: Path) -> None:
    images = load_split(folder, "held_out")
    assert len(images) == 0
    assert images.images.shape == images.images[:5].shape == (0, 32, 32, 3)
    assert images.labels["hair"].tolist() == []


@given(places=st.lists(st.integers(0, COUNT - 1), max_size=80))
def test_any_rows_in_any_order_are_those_of_the_shards(several: Path, places: list[int]) -> None:
    pictures, whole = load_split(several, *SPLITS).images, in_memory(several, *SPLITS)
    asked = torch.tensor(places, dtype=torch.int64)
    found = pictures[asked]
    assert found.dtype == torch.uint8
    assert torch.equal(found, whole[asked])


@given(start=st.integers(0, 70), stop=st.integers(0, 70), step=st.integers(1, 9))
def test_slices_are_those_of_a_tensor(several: Path, start: int, stop: int, step: int) -> None:
    pictures, whole = load_split(several, "train").images, in_memory(several, "train")
    assert torch.equal(pictures[start:stop:step], whole[start:stop:step])


def test_parts_are_the_whole(several: Path) -> None:
    pictures = load_split(several, "held_out").images
    assert torch.equal(torch.cat(list(in_parts(pictures, 4))), in_memory(several, "held_out"))


def test_places_beyond_the_set_are_an_error(several: Path) -> None:
    pictures = load_split(several, "train").images
    for place in (len(pictures), -1):
        with pytest.raises(IndexError, match="pictures"):
            pictures[torch.tensor([0, place])]
    for places in (
        torch.ones(len(pictures), dtype=torch.bool),
        torch.tensor(0),
        torch.zeros((2, 2), dtype=torch.int64),
    ):
        with pytest.raises(IndexError, match="places should be int64"):
            pictures[places]


def test_pictures_that_were_chosen_are_those_of_the_set(several: Path) -> None:
    whole = in_memory(several, *SPLITS)
    places = torch.tensor([50, 3, 3, 17, 8])
    chosen = Chosen(load_split(several, *SPLITS).images, places)
    assert chosen.shape == (5, SIDE, SIDE, 3) and len(chosen) == 5
    assert torch.equal(chosen[1:4], whole[places[1:4]])
    assert torch.equal(chosen[torch.tensor([4, 0])], whole[places[[4, 0]]])


def test_several_threads_read_at_once(several: Path) -> None:
    pictures, whole = load_split(several, *SPLITS).images, in_memory(several, *SPLITS)
    orders = [torch.randperm(COUNT, generator=torch.Generator().manual_seed(seed)) for seed in range(40)]
    with ThreadPoolExecutor(4) as threads:
        for order, found in zip(orders, threads.map(pictures.__getitem__, orders), strict=True):
            assert torch.equal(found, whole[order])


def test_a_read_that_is_cut_short_goes_on(several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, real = load_split(several, "train").images, os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, buffers, at: real(file, [buffers[0][:1000]], at))
    assert torch.equal(pictures[:9], in_memory(several, "train")[:9])


@pytest.mark.parametrize(
    "damage", ["missing", "cut", "text", "fewer pictures", "other pictures", "floats", "fewer labels"]
)
def test_a_damaged_shard_is_named_with_what_to_do(damage: str, folder: Path) -> None:
    (shard,) = read_manifest(folder)["shards"]
    path = folder / shard["file"]
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-1])
        case "text":
            path.write_text("no tensors")
        case "fewer pictures":
            save_file({name: values[:9].contiguous() for name, values in load_file(path).items()}, path)
        case "other pictures":
            save_file(load_file(path) | {"images": torch.zeros((10, 16, 64, 3), dtype=torch.uint8)}, path)
        case "floats":
            save_file(load_file(path) | {"images": torch.zeros((10, 32, 32, 3))}, path)
        case _:
            save_file(load_file(path) | {"label.hair": torch.zeros(4, dtype=torch.int32)}, path)
    with pytest.raises(FaceganError) as caught:
        load_split(folder, "train")
    is_told(str(caught.value), shard["file"])


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_shard_that_is_damaged_while_it_is_used_is_named_too(damage: str, folder: Path) -> None:
    pictures = load_split(folder, "train").images
    (shard,) = read_manifest(folder)["shards"]
    if damage == "gone":
        (folder / shard["file"]).unlink()
    else:
        os.truncate(folder / shard["file"], 5000)
    with pytest.raises(FaceganError) as caught:
        pictures[:10]
    is_told(str(caught.value), shard["file"])


def is_told(line: str, file: str) -> None:
    assert file in line
    assert "dvc repro --force preprocess" in line
    assert len(line.splitlines()) == 1


def test_pixels_reach_the_network_as_they_are_in_the_shard(folder: Path) -> None:
    images = load_split(folder, "train").images
    batch = images[BatchSequence(len(images), 4, 1).indices(0)]
    np.testing.assert_array_equal(to_uint8(to_network(batch)).numpy(), batch.numpy())
