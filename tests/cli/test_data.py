"""`facegan data pin`: the digest of what is there, in params.yaml, and a change of it noticed from then on."""

import io
import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kaggle_server import KaggleServer, zipped
from PIL import Image
from tracking.made import ROOT

from cli.running import Command
from facegan.data.source import open_source
from facegan.errors import FaceganError
from facegan.params_yaml import load_params
from facegan.repository.project import Project


def picture(shade: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 40), (shade, 0, 0)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def params_yaml(project: Project) -> Path:
    """The base recipe with its comments, about a folder beside the project."""
    (project.root.parent / "faces").mkdir()
    for shade in range(3):
        (project.root.parent / f"faces/{shade}.png").write_bytes(picture(shade))
    text = (ROOT / "recipes/base.yaml").read_text(encoding="utf-8")
    path = project.root / "params.yaml"
    path.write_text(text.replace("source: synthetic", "source: folder").replace("path: null", "path: ../faces", 1))
    return path


def archive(params_yaml: Path) -> Path:
    path = params_yaml.parents[1] / "faces.zip"
    with zipfile.ZipFile(path, "w") as file:
        for picture_file in sorted((params_yaml.parents[1] / "faces").iterdir()):
            file.write(picture_file, picture_file.name)
    return path


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_pin_writes_the_digest_and_leaves_everything_else(params_yaml: Path, facegan: Command, kind: str) -> None:
    if kind == "zip":
        archive(params_yaml)
        params_yaml.write_text(params_yaml.read_text().replace("path: ../faces ", "path: ../faces.zip "))
    before = params_yaml.read_text(encoding="utf-8")
    ended = facegan("data", "pin")
    assert ended.code == 0
    digest = load_params(params_yaml).data.folder.digest
    assert digest is not None and f"data.folder.digest is now {digest}" in ended.out
    after = params_yaml.read_text(encoding="utf-8")
    changed = [(one, other) for one, other in zip(before.splitlines(), after.splitlines(), strict=True) if one != other]
    ((old, new),) = changed
    assert re.sub(" +", " ", old).replace("null", digest) == re.sub(" +", " ", new)  # its comment too


def test_pinning_twice_changes_nothing(params_yaml: Path, facegan: Command) -> None:
    facegan("data", "pin")
    before = params_yaml.read_bytes()
    assert facegan("data", "pin").code == 0
    assert params_yaml.read_bytes() == before


def test_the_same_pictures_have_the_same_digest_in_a_folder_and_in_an_archive(
    params_yaml: Path, facegan: Command
) -> None:
    facegan("data", "pin")
    digest = load_params(params_yaml).data.folder.digest
    archive(params_yaml)
    params_yaml.write_text(params_yaml.read_text().replace("path: ../faces ", "path: ../faces.zip "))
    facegan("data", "pin")
    assert load_params(params_yaml).data.folder.digest == digest


@pytest.mark.parametrize("change", ["a byte", "one more", "one less", "another name"])
def test_what_is_pinned_is_refused_when_it_changed_and_taken_when_it_is_pinned_again(
    params_yaml: Path, project: Project, facegan: Command, change: str
) -> None:
    facegan("data", "pin")
    with open_source(project.params().data, project.home) as pictures:
        assert len(pictures.names) == 3
    folder = params_yaml.parents[1] / "faces"
    match change:
        case "a byte":
            (folder / "0.png").write_bytes(picture(77))
        case "one more":
            (folder / "3.png").write_bytes(picture(3))
        case "one less":
            (folder / "0.png").unlink()
        case "another name":
            (folder / "0.png").rename(folder / "9.png")
    with pytest.raises(FaceganError, match="facegan data pin"), open_source(project.params().data, project.home):
        pass
    assert facegan("data", "pin").code == 0
    with open_source(project.params().data, project.home):
        pass


@pytest.mark.parametrize("source", ["parquet", "webdataset"])
def test_files_with_rows_and_shards_are_pinned_too(
    params_yaml: Path, project: Project, facegan: Command, source: str
) -> None:
    path = params_yaml.parents[1] / ("faces.parquet" if source == "parquet" else "faces.tar")

    def write(*shades: int) -> None:
        pictures = [picture(shade) for shade in shades]
        if source == "parquet":
            pq.write_table(pa.table({"image": pictures}), path)
            return
        with tarfile.open(path, "w") as archive:
            for number, content in enumerate(pictures):
                info = tarfile.TarInfo(f"{number}.png")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    write(1, 2, 3)
    text = params_yaml.read_text().replace("source: folder", f"source: {source}")
    block, rest = text.split(f"  {source}:\n")
    params_yaml.write_text(f"{block}  {source}:\n{rest.replace('path: null', f'path: ../{path.name}', 1)}")
    assert facegan("data", "pin").code == 0
    assert getattr(load_params(params_yaml).data, source).digest
    with open_source(project.params().data, project.home) as pictures:
        assert len(pictures.names) == 3
    write(1, 2)
    again = rf"data.{source}.path: ../{path.name} changed: .*facegan data pin"
    with pytest.raises(FaceganError, match=again), open_source(project.params().data, project.home):
        pass
    assert facegan("data", "pin").code == 0
    with open_source(project.params().data, project.home) as pictures:
        assert len(pictures.names) == 2


def test_pictures_that_follow_from_their_parameters_need_no_pin(project: Project, facegan: Command) -> None:
    before = (project.root / "params.yaml").read_bytes()
    assert facegan("data", "pin").error.startswith("data.source: synthetic needs no pin")
    assert (project.root / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("path", ["../gone", "../faces/0.png", "../damaged.zip"])
def test_a_path_that_holds_no_pictures_is_refused_in_one_line(params_yaml: Path, facegan: Command, path: str) -> None:
    (params_yaml.parents[1] / "damaged.zip").write_bytes(b"PK nothing")
    params_yaml.write_text(params_yaml.read_text().replace("path: ../faces ", f"path: {path} "))
    before = params_yaml.read_bytes()
    error = facegan("data", "pin").error
    assert "data.folder.path" in error and Path(path).name in error
    assert params_yaml.read_bytes() == before


def test_pin_needs_valid_parameters(params_yaml: Path, facegan: Command) -> None:
    params_yaml.write_text(params_yaml.read_text().replace("batch: 16", "batch: 1"))
    assert "train.batch" in facegan("data", "pin").error


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    """A small Kaggle on the loopback interface, and nothing of the machine's own."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("KAGGLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home/.kaggle"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_0123456789-the-secret")
    with KaggleServer(zipped({f"{shade}.png": picture(shade) for shade in range(3)})) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def test_kaggle_is_pinned_by_the_digest_of_what_came(params_yaml: Path, facegan: Command, kaggle: KaggleServer) -> None:
    params_yaml.write_text(params_yaml.read_text().replace("source: folder", "source: kaggle"))
    assert facegan("data", "pin").code == 0
    params = load_params(params_yaml)
    assert params.data.folder.digest is None and params.data.kaggle.digest is not None
    shutil.rmtree(Path(os.environ["KAGGLEHUB_CACHE"]))
    kaggle.archive = zipped({"0.png": picture(99)})
    with pytest.raises(FaceganError), open_source(params.data, params_yaml.parent):
        pass
