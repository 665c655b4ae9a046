"""Pictures in WebDataset shards: samples of parts that share a name, all of them accounted for."""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from facegan.data.archive import read_raw, write_raw
from facegan.data.pictures import PictureSet
from facegan.data.webdataset import open_webdataset
from facegan.errors import FaceganError


def write(path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]], kind: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, kind) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def sample(key: str, number: int) -> list[tuple[str, bytes]]:
    about = {"hair": "red" if number % 2 else "blue", "age": number, "smile": number > 1, "box": [1, 2], "eyes": None}
    return [
        (f"{key}.jpg", b"picture %d" % number),
        (f"{key}.json", json.dumps(about).encode()),
        (f"{key}.cls", b"%d\n" % number),
        (f"{key}.txt", "A face\u2026 ".encode()),
    ]


def opened(path: Path, *labels: str) -> PictureSet:
    with open_webdataset(path, labels) as pictures:
        return pictures


def refusal(path: Path, *labels: str) -> str:
    with pytest.raises(FaceganError) as caught:
        opened(path, *labels)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_shards_are_one_set_with_their_labels(tmp_path: Path) -> None:
    write(tmp_path / "set/00.tar", [*sample("0000", 0), *sample("sub/0001", 1)])
    write(tmp_path / "set/more/01.tar", sample("0000", 2), "w:")
    with open_webdataset(tmp_path / "set", ("hair", "age", "smile", "cls", "txt", "eyes")[:5]) as pictures:
        names = ("00/0000.jpg", "00/sub/0001.jpg", "more/01/0000.jpg")
        assert pictures.names == names
        assert [pictures.read(name) for name in names] == [b"picture 0", b"picture 1", b"picture 2"]
        assert pictures.read(names[0]) == b"picture 0"
        assert pictures.labels[names[2]] == {
            "hair": "blue", "age": "2", "smile": "true", "cls": "2", "txt": "A face\u2026",
        }  # fmt: skip
        assert not pictures.unreadable and not pictures.notes
    assert opened(tmp_path / "set").labels == {}
    single = opened(tmp_path / "set/00.tar", "cls")
    assert single.labels == {"00/0000.jpg": {"cls": "0"}, "00/sub/0001.jpg": {"cls": "1"}}


def test_every_sample_is_accounted_for(tmp_path: Path) -> None:
    link = tarfile.TarInfo("d.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members: list[tuple[str | tarfile.TarInfo, bytes]] = [
        *(("a.png", b"one"), ("a.jpg", b"its jpg"), ("a.seg.png", b"mask"), ("a.json", b"[1]")),
        *(("b.cls", b"1"), ("b.json", b"{")),
        *(("c.jpg", b"x"), ("c.JPG", b"y"), ("c.cls", b"\xff")),
        *((link, b""), (".hidden.jpg", b"no"), ("no-ending", b"no"), ("e.mp4", b"film")),
    ]
    pictures = opened(write(tmp_path / "s.tar", members), "cls")
    assert pictures.names == ("s/a.png",)
    assert pictures.unreadable == {
        "s/b": "the sample has no picture, but cls, json",
        "s/c.jpg": "the same name stands twice in the shard",
        "s/d.png": "not a regular file",
        "s/e": "the sample has no picture, but mp4",
    }
    assert [note.partition(",")[0] for note in pictures.notes] == [
        "3 files of labels cannot be read",
        "1 pictures stand beside another one of their sample",
    ]


def test_labels_that_no_sample_has_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tar", sample("0", 0))
    assert refusal(path, "mood") == (
        "data.webdataset.labels: no sample has 'mood'; what they have is age, cls, eyes, hair, smile, txt"
    )


def test_damaged_shards_and_other_files_are_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tar", [(f"{number}.png", bytes(600)) for number in range(9)])
    content = path.read_bytes()
    path.write_bytes(content[:1000])
    assert refusal(path) == "data.webdataset.path: s.tar is damaged: unexpected end of data"
    path.write_bytes(content[: 3 * 1536] + b"x" * 512 + content[3 * 1536 + 512 :])
    assert refusal(path) == "data.webdataset.path: s.tar is damaged: a header in the middle cannot be read"
    path.write_bytes(b"no tar at all")
    assert refusal(path).startswith("data.webdataset.path: s.tar is damaged")
    write(tmp_path / "t.tar.gz", sample("0", 0), "w:gz")
    assert refusal(tmp_path / "t.tar.gz") == (
        "data.webdataset.path: t.tar.gz is neither a .tar file nor a folder of them"
    )


def test_a_shard_that_shrinks_while_it_is_read_costs_its_pictures(tmp_path: Path) -> None:
    path = write(tmp_path / "s.tar", [(f"{number}.png", bytes([number]) * 600) for number in range(9)])
    with open_webdataset(path, ()) as pictures:
        first = pictures.read("s/0.png")
        path.write_bytes(path.read_bytes()[:5000])
        manifest = write_raw(pictures, tmp_path / "raw", 1)
    assert first == bytes(600) and 0 < manifest["pictures"] < 9
    assert set(manifest["unreadable"].values()) == {"cannot be read: the shard ends in the middle of it"}
    assert manifest["pictures"] + len(manifest["unreadable"]) == 9


def test_another_content_is_another_digest(tmp_path: Path) -> None:
    first = opened(write(tmp_path / "s.tar", sample("0", 0))).description
    second = opened(write(tmp_path / "s.tar", sample("0", 1))).description
    assert first["source"] == "webdataset" and first["digest"] != second["digest"]


def test_hostile_labels_and_names_cost_nothing_else(tmp_path: Path) -> None:
    members = [
        *(("a.png", b"1"), ("a.json", b"[" * 200_000)),
        *(("b.png", b"2"), ("b.json", b'{"hair": "\\ud800"}')),
        *(("c.png", b"3"), ("c.json", json.dumps({"hair": "x" * 20_000}).encode())),
    ]
    with open_webdataset(write(tmp_path / "s.tar", members), ("hair",)) as pictures:
        manifest = write_raw(pictures, tmp_path / "raw", 1)
        assert pictures.notes[0].startswith("2 files of labels cannot be read")
    assert manifest["pictures"] == 3
    assert {name: row for name, row in read_raw(tmp_path / "raw")[1].items() if row} == {"s/b.png": {"hair": "\\ud800"}}


def test_samples_of_one_name_are_told(tmp_path: Path) -> None:
    write(tmp_path / "set/a.tar", [("b/1.png", b"one")])
    write(tmp_path / "set/a/b.tar", [("1.png", b"other")])
    pictures = opened(tmp_path / "set")
    assert pictures.names == ("a/b/1.png",)
    assert pictures.unreadable == {"a/b/1.png (again)": "another sample has this name"}
