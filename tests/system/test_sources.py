"""Other people's pictures, from a folder and an archive, through the whole pipeline."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import datasets
import httpx
import numpy as np
import pytest
from conftest import BIN, Clone, assert_whole, make_clone
from data.hub_server import Hub, serving
from PIL import Image
from servers import free_port
from servers import serving as serving_http

from facegan.data.stored import load_split
from facegan.data.synthetic import png
from facegan.files import read_json


def test_an_archive_with_labels_and_broken_files_trains_and_is_pinned(tmp_path: Path) -> None:
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as members:
        rows = ["file,hair"]
        for index in range(60):
            content, labels = png(9, index, 64)
            members.writestr(f"faces/{index}.png", content)
            rows.append(f"{index}.png,{labels['hair_colour']}")
        members.writestr("faces/empty.png", b"")
        members.writestr("labels.csv", "\n".join(rows))
    clone = make_clone(tmp_path / "clone", data__source="folder", data__folder__path="../pictures.zip")
    assert "data.folder.digest is not set" in clone.repro("download")
    clone.run("facegan", "data", "pin")
    output = clone.repro()
    assert "not set" not in output
    assert "1 rejected" in output
    assert_whole(clone, clone.runs()[0].info.run_id)
    with zipfile.ZipFile(archive, "a") as members:
        members.writestr("faces/new.png", png(9, 99, 64)[0])
    assert "pictures.zip changed" in clone.run("dvc", "repro", "--force", "download", code=None)
    assert (clone.root / "models/export/generator.onnx").is_file()


def test_the_same_pictures_in_an_experiments_copy(tmp_path: Path) -> None:
    """`dvc exp run --temp` works elsewhere; a relative path still means the repository's."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(40):
        (folder / f"{index}.png").write_bytes(png(9, index, 64)[0])
    clone: Clone = make_clone(tmp_path / "clone", data__source="folder", data__folder__path="../pictures")
    clone.run("dvc", "exp", "run", "--temp")
    (run,) = clone.runs()
    assert run.info.status == "FINISHED"


DRAWN = [png(9, index, 64) for index in range(60)]
HAIR = sorted({labels["hair_colour"] for _, labels in DRAWN})


def as_parquet(path: Path) -> None:
    features = datasets.Features({"face": datasets.Image(), "hair": datasets.ClassLabel(names=HAIR)})
    rows = {
        "face": [{"bytes": content, "path": None} for content, _ in DRAWN],
        "hair": [HAIR.index(labels["hair_colour"]) for _, labels in DRAWN],
    }
    datasets.Dataset.from_dict(rows, features).to_parquet(path)


def as_shards(folder: Path) -> None:
    folder.mkdir()
    for shard in range(3):
        with tarfile.open(folder / f"{shard}.tar", "w") as archive:
            for index, (content, labels) in enumerate(DRAWN[shard * 20 : shard * 20 + 20]):
                about = json.dumps({"hair": labels["hair_colour"]}).encode()
                for ending, part in (("png", content), ("json", about)):
                    info = tarfile.TarInfo(f"{index:04d}.{ending}")
                    info.size = len(part)
                    archive.addfile(info, io.BytesIO(part))


def prepared(clone: Clone) -> tuple[dict[str, Any], list[bytes], list[str]]:
    """The manifest, the training pictures in order of the source, and their hair."""
    pictures = load_split(clone.root / "data/shards", "train")
    manifest = read_json(clone.root / "data/shards/manifest.json")
    order = pictures.index.argsort()
    hair = [manifest["labels"]["hair"][code] for code in pictures.labels["hair"][order].tolist()]
    return manifest, [pictures.images[row : row + 1].numpy().tobytes() for row in order.tolist()], hair


def test_the_hub_parquet_and_webdataset_give_what_a_folder_gives(tmp_path: Path) -> None:
    """The same pictures and labels from each of them, through the stages, pinned, by the commands that a user types."""
    as_parquet(tmp_path / "faces.parquet")
    as_shards(tmp_path / "faces")
    (tmp_path / "pictures").mkdir()
    for index, (content, _) in enumerate(DRAWN):
        (tmp_path / f"pictures/{index:04d}.png").write_bytes(content)
    rows = [f"{index:04d}.png,{labels['hair_colour']}" for index, (_, labels) in enumerate(DRAWN)]
    (tmp_path / "pictures/labels.csv").write_text("\n".join(["file,hair", *rows]))
    asked: dict[str, dict[str, object]] = {
        "folder": {"path": "../pictures"},
        "parquet": {"path": "../faces.parquet", "image": "face", "labels": ["hair"]},
        "webdataset": {"path": "../faces", "labels": ["hair"]},
        "hub": {"name": "someone/faces", "image": "face", "labels": ["hair"]},
    }
    commit = "c" * 40
    found = {}
    with serving(
        Hub("someone/faces", {commit: {"data/train.parquet": (tmp_path / "faces.parquet").read_bytes()}})
    ) as hub:
        for source, keys in asked.items():
            clone = make_clone(
                tmp_path / source,
                data__source=source,
                **{f"data__{source}__{key}": value for key, value in keys.items()},
            )
            clone.environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": ""}
            said = clone.run("facegan", "data", "pin")
            assert f"data.{source}.{'revision' if source == 'hub' else 'digest'} is now" in said
            assert "labels hair of 60" in clone.repro("preprocess")
            found[source] = prepared(clone)
    raw = read_json(tmp_path / "hub/data/raw/manifest.json")
    assert raw["description"]["revision"] == commit and not raw["unreadable"]
    for manifest, pictures, hair in found.values():
        assert (pictures, hair) == found["folder"][1:]
        assert manifest["labels"] == {"hair": sorted(HAIR)}


def faces_without_background(folder: Path) -> None:
    """Drawn faces of which a circle is left, on nothing."""
    folder.mkdir()
    rows, columns = np.mgrid[:64, :64] - 31.5
    circle = np.where(rows**2 + columns**2 < 28**2, 255, 0).astype(np.uint8)
    for index, (content, _) in enumerate(DRAWN):
        with Image.open(io.BytesIO(content)) as face:
            Image.fromarray(np.dstack([np.asarray(face.convert("RGB")), circle])).save(folder / f"{index:04d}.png")


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (4, "RGBA")])
def test_gray_and_transparent_pictures_to_the_end(tmp_path: Path, channels: int, mode: str) -> None:
    """Trained and drawn in their channels, by every command; scored as they are seen."""
    faces_without_background(tmp_path / "faces")
    clone = make_clone(
        tmp_path / "clone", data__source="folder", data__folder__path="../faces", preprocess__channels=channels,
        train__augment=["color", "translation"],
    )  # fmt: skip
    clone.repro()
    assert_whole(clone, clone.runs()[0].info.run_id)
    assert load_split(clone.root / "data/shards", "train").images.shape[3] == channels
    assert read_json(clone.root / "reports/data.json")["channels"] == channels
    assert read_json(clone.root / "models/export/config.json")["channels"] == channels
    assert mode.removesuffix("L") in (card := (clone.root / "models/export/MODEL_CARD.md").read_text())
    assert f"[batch, {channels}, " in card
    assert "seen" in read_json(clone.root / "reports/evaluate.json")["protocol"]
    clone.run("facegan", "generate", "--count", "4", "--out", "faces.png")
    clone.run("facegan", "generate", "--film", "walk", "--count", "1", "--steps", "2", "--out", "walk.gif")
    with Image.open(clone.root / "faces.png") as drawn:
        assert drawn.mode == mode
    port = free_port()
    command = ["env", f"--chdir={clone.root}", str(BIN / "facegan"), "serve", "--model", "models/export"]
    with serving_http([*command, "--port", str(port)], port, tmp_path / "serve.log", clone.env()):
        about = httpx.get(f"http://127.0.0.1:{port}/model").json()
        assert about["channels"] == channels
        for count in (1, 3):
            answer = httpx.get(f"http://127.0.0.1:{port}/pictures.png?seed=3&count={count}")
            with Image.open(io.BytesIO(answer.content)) as served:
                assert served.mode == mode
    for shown in ("train/samples", "evaluate"):
        for path in (clone.root / "reports" / shown).rglob("*.png"):
            with Image.open(path) as seen:
                assert seen.mode in ("RGB", "RGBA"), path
