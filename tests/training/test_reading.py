"""Pictures of updates: the same from disk as from memory, each read once, ahead of the step that asks for them."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from facegan.data.labels import Labels
from facegan.data.stored import StoredPictures, load_split
from facegan.errors import FaceganError
from facegan.training.draws import Draws
from facegan.training.reading import Reader
from training.tiny import CPU, Tiny


def stored(images: torch.Tensor, folder: Path, each: int = 5) -> StoredPictures:
    """The same pictures in shards."""
    folder.mkdir()
    shards = []
    for number, part in enumerate(images.split(each)):
        name = f"train-{number:05d}.safetensors"
        save_file({"images": part.contiguous(), "index": torch.arange(len(part), dtype=torch.int32)}, folder / name)
        shards.append({"file": name, "split": "train", "count": len(part)})
    manifest = {"size": images.shape[1], "labels": {}, "shards": shards}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    pictures = load_split(folder, "train").images
    assert isinstance(pictures, StoredPictures)
    return pictures


class Counted:
    """Pictures that know which places were read, in which order."""

    def __init__(self, images: torch.Tensor) -> None:
        self._images, self.shape, self.read = images, images.shape, list[list[int]]()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, places: torch.Tensor | slice, /) -> torch.Tensor:
        assert isinstance(places, torch.Tensor)
        self.read.append(places.tolist())
        return self._images[places]


@pytest.mark.parametrize("settings", [{}, {"batch": 8, "microbatch": 4, "objective": "relativistic", "flip": True}])
def test_a_training_from_disk_leaves_the_bytes_of_one_from_memory(
    tiny: Tiny, settings: dict[str, object], tmp_path: Path
) -> None:
    train = tiny.train(**settings)
    inside = tiny.finish("memory", train=train)
    images, tiny.images = tiny.images, stored(tiny.images, tmp_path / "shards")
    assert len(tiny.images) == len(images)
    assert tiny.finish("disk", train=train) == inside


def test_every_update_is_read_once_and_ahead_of_the_one_that_asks() -> None:
    pictures = Counted(torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1))
    read = Reader(pictures, lambda number: torch.arange(number * 4, number * 4 + 4), CPU)
    for number in range(6):
        for rows in (slice(0, 2), slice(2, 4)):
            found = read(number, rows)
            assert found.flatten().tolist() == list(range(number * 4, number * 4 + 4))[rows]
            assert torch.equal(read(number, rows), found)  # asked for again
    read._thread.shutdown()  # type: ignore[union-attr]
    ahead = [[number * 4 + begin, number * 4 + begin + 1] for number in range(7) for begin in (0, 2)]
    assert sorted(pictures.read) == ahead


def test_the_pictures_that_a_generator_is_paired_with_are_read_once_and_ahead(tiny: Tiny) -> None:
    """It asks once a step, whatever the number of the discriminator's updates."""
    pictures = Counted(tiny.images)
    train = tiny.train(batch=4, discriminator_steps=3)
    draws = Draws(pictures, Labels.none(len(pictures)).table, 8, train, 1, CPU)
    for step in range(5):
        draws.opposite(3 * step + 2)
    draws._opposite._thread.shutdown()  # type: ignore[union-attr]
    assert len(pictures.read) == 6


def test_no_more_than_two_updates_are_held() -> None:
    pictures = Counted(torch.zeros(400, 1, 1, 1, dtype=torch.uint8))
    read = Reader(pictures, lambda number: torch.arange(number * 4, number * 4 + 4), CPU)
    for number in (0, 1, 2, 50, 51, 3):
        read(number, slice(None))
        assert {key[0] for key in read._reads} <= {number, number + 1}


def test_what_is_wrong_with_a_shard_stops_the_step_that_needs_it(tiny: Tiny, tmp_path: Path) -> None:
    pictures = stored(tiny.images, tmp_path / "shards")
    train = tiny.train(batch=8)
    draws = Draws(pictures, Labels.none(len(pictures)).table, 8, train, 1, CPU)
    draws.real(0)
    for read in draws._real._reads.values():
        read.result()
    for path in (tmp_path / "shards").glob("*.safetensors"):
        os.truncate(path, 100)
    draws.real(1)  # read before
    with pytest.raises(FaceganError, match=r"train-0000\d\.safetensors is damaged"):
        draws.real(2)
