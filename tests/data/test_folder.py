"""Pictures in a folder or an archive: the same set whatever holds it, and nothing an archive says is trusted."""

import bz2
import gzip
import io
import os
import random
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facegan.data import folder
from facegan.data.folder import open_pictures
from facegan.data.pictures import PictureSet
from facegan.errors import FaceganError

FILES = {
    "faces/1.png": b"one",
    "faces/0.jpg": b"zero",
    "faces/deep/er/\N{HIRAGANA LETTER KA} (1).png": bytes(range(256)),
    "faces/empty.png": b"",
    "README.md": b"drawn faces",
}
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".TAR", ".Zip")

Files = Mapping[str, bytes]


def write_tree(path: Path, files: Files) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_zip(path: Path, files: Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return path


def regular(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """A link, a device or a pipe."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def write_tar(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> Path:
    packed = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(path.name.rsplit(".", 1)[1], "w")
    with tarfile.open(path, packed) as archive:  # type: ignore[call-overload]
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def write_archive(path: Path, files: Files) -> Path:
    if path.name.lower().endswith(".zip"):
        return write_zip(path, files.items())
    return write_tar(path, [regular(name, content) for name, content in files.items()])


def contents(pictures: PictureSet) -> dict[str, bytes]:
    return {name: pictures.read(name) for name in pictures.names}


def digest(path: Path) -> str:
    with open_pictures(path) as pictures:
        return str(pictures.description["digest"])


def labels(path: Path) -> dict[str, dict[str, str]]:
    with open_pictures(path) as pictures:
        return {name: dict(values) for name, values in pictures.labels.items()}


def refusal(path: Path) -> str:
    """The one line with which a source is refused."""
    with pytest.raises(FaceganError) as caught, open_pictures(path) as pictures:
        contents(pictures)
    line = str(caught.value)
    assert len(line.splitlines()) == 1, line
    return line


# What is found


@pytest.mark.parametrize("ending", ["", *ARCHIVES])
def test_every_file_is_a_picture_until_it_is_decoded(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"set{ending}"
    write_archive(path, FILES) if ending else write_tree(path, FILES)
    with open_pictures(path) as pictures:
        assert pictures.names == tuple(sorted(FILES))
        assert contents(pictures) == FILES
        assert pictures.labels == {}
        assert pictures.unreadable == {}
        assert pictures.description["source"] == "folder"
        assert str(tmp_path) not in repr(pictures.description)  # outputs name no path of this machine


@pytest.mark.parametrize("ending", ARCHIVES)
def test_a_folder_and_its_archive_have_one_digest(ending: str, tmp_path: Path) -> None:
    tree = digest(write_tree(tmp_path / "set", FILES))
    assert digest(write_archive(tmp_path / f"set{ending}", dict(reversed(FILES.items())))) == tree


@pytest.mark.parametrize(
    "change",
    [
        {"faces/1.png": b"oNe"},
        {"faces/1.png": b"one."},
        {"faces/2.png": b"one"},
        {"labels.csv": b"file,hair\n1.png,red\n"},
    ],
)
def test_the_digest_tells_any_change(change: Files, tmp_path: Path) -> None:
    before = digest(write_tree(tmp_path / "a", FILES))
    assert digest(write_tree(tmp_path / "b", {**FILES, **change})) != before


def test_the_digest_tells_a_new_name(tmp_path: Path) -> None:
    renamed = {name.replace("1.png", "one.png"): content for name, content in FILES.items()}
    assert digest(write_tree(tmp_path / "a", FILES)) != digest(write_tree(tmp_path / "b", renamed))


@pytest.mark.parametrize("ending", ["", ".zip", ".tar"])
def test_litter_of_operating_systems_is_no_picture(ending: str, tmp_path: Path) -> None:
    litter = dict.fromkeys(
        ["__MACOSX/faces/._1.png", "faces/.DS_Store", "faces/Thumbs.db", "desktop.ini", ".git/HEAD", "faces/._1.png"],
        b"litter",
    )
    path = tmp_path / f"set{ending}"
    write_archive(path, FILES | litter) if ending else write_tree(path, FILES | litter)
    with open_pictures(path) as pictures:
        assert pictures.names == tuple(sorted(FILES))
        assert pictures.unreadable == {}


def test_litter_does_not_change_the_digest_that_a_run_is_pinned_to(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "set", FILES)
    before = digest(path)
    write_tree(path, {"faces/.DS_Store": b"someone looked at the folder"})
    assert digest(path) == before
    assert (
        digest(write_archive(tmp_path / "set.zip", {**FILES, "__MACOSX/faces/._1.png": b"zipped on a Mac"})) == before
    )


def test_an_empty_folder_and_an_empty_archive_hold_no_picture(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for path in (tmp_path / "set", write_archive(tmp_path / "a.zip", {}), write_archive(tmp_path / "a.tar", {})):
        with open_pictures(path) as pictures:
            assert pictures.names == ()


def test_folders_in_an_archive_are_not_members(tmp_path: Path) -> None:
    info = tarfile.TarInfo("./faces")
    info.type = tarfile.DIRTYPE
    tar = write_tar(tmp_path / "a.tar", [(info, b""), regular("./faces/1.png", b"one")])
    packed = write_zip(tmp_path / "a.zip", [("faces/", b""), ("faces/1.png", b"one")])
    for path in (tar, packed):
        with open_pictures(path) as pictures:
            assert contents(pictures) == {"faces/1.png": b"one"}


# What is refused


@pytest.mark.parametrize("name", ["missing", "missing.zip"])
def test_a_path_that_does_not_exist_is_named(name: str, tmp_path: Path) -> None:
    assert f"{name} does not exist" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["set.rar", "set.7z", "1.png", "set"])
def test_a_file_of_another_kind_is_refused_with_the_kinds_there_are(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"anything")
    assert f"{name} is neither a folder nor a .zip or .tar" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive\n" * 100, b"\x1f\x8b", b"PK\x03\x04", bytes(100)],
    ids=["empty", "text", "start of gzip", "start of zip", "zeros"],
)
@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_what_is_no_archive_is_refused_in_one_line(ending: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"set{ending}"
    path.write_bytes(content)
    assert refusal(path).startswith(f"data.folder.path: set{ending} cannot be read as an archive")


OUTSIDE = ["../x.png", "a/../../x.png", "/etc/x.png", "..\\x.png", "\\x.png", "C:\\x.png", "C:/x.png", "a/..", "//x/y"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_an_archive_that_points_outside_is_refused_whole(ending: str, name: str, tmp_path: Path) -> None:
    path = write_archive(tmp_path / f"set{ending}", {"fine.png": b"fine", name: b"evil"})
    line = refusal(path)
    assert "points outside: refused" in line
    assert f"set{ending}" in line


def test_a_name_with_an_inner_backslash_is_a_path_as_it_was_on_windows(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("x")
    info.filename = "faces\\1.png"  # ZipInfo itself would leave it on Linux; so do Windows tools
    with open_pictures(write_zip(tmp_path / "set.zip", [(info, b"one")])) as pictures:
        assert contents(pictures) == {"faces/1.png": b"one"}


LINKS = {
    "to-passwd.png": special("to-passwd.png", tarfile.SYMTYPE, "/etc/passwd"),
    "to-fine.png": special("to-fine.png", tarfile.SYMTYPE, "fine.png"),
    "hard.png": special("hard.png", tarfile.LNKTYPE, "/etc/passwd"),
    "pipe.png": special("pipe.png", tarfile.FIFOTYPE),
    "disk.png": special("disk.png", tarfile.BLKTYPE),
    "zero.png": special("zero.png", tarfile.CHRTYPE),
}


def test_links_and_devices_in_a_tar_are_never_followed(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set.tar", [regular("fine.png", b"fine"), *LINKS.values()])
    with open_pictures(path) as pictures:
        assert contents(pictures) == {"fine.png": b"fine"}
        assert pictures.unreadable == dict.fromkeys(LINKS, "not a regular file")


def test_pipes_and_broken_links_in_a_folder_are_listed_and_not_opened(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "set", {"fine.png": b"fine"})
    os.mkfifo(path / "pipe.png")
    (path / "nowhere.png").symlink_to("missing.png")
    (path / "linked.png").symlink_to("fine.png")
    with open_pictures(path) as pictures:
        assert contents(pictures) == {"fine.png": b"fine", "linked.png": b"fine"}
        assert pictures.unreadable == dict.fromkeys(["pipe.png", "nowhere.png"], "not a regular file")


def test_a_folder_that_contains_itself_is_walked_once(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "set", {"a/fine.png": b"fine"})
    (path / "a" / "loop").symlink_to(path)
    with open_pictures(path) as pictures:
        assert pictures.names == ("a/fine.png",)


def flags(path: Path, *, set_bits: int) -> Path:
    """Set bits of the general purpose flags of every member, in both places where a .zip keeps them."""
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(signature)
        while start >= 0:
            content[start + place] |= set_bits & 0xFF
            content[start + place + 1] |= set_bits >> 8
            start = content.find(signature, start + 4)
    path.write_bytes(content)
    return path


def test_an_encrypted_member_is_rejected_by_that_reason(tmp_path: Path) -> None:
    locked = flags(write_zip(tmp_path / "set.zip", [("1.png", b"secret")]), set_bits=1)
    with open_pictures(locked) as pictures:
        assert pictures.names == ()
        assert pictures.unreadable == {"1.png": "encrypted"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_gives_the_first_and_reports_the_other(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", [("1.png", b"first"), ("2.png", b"two"), ("1.png", b"second")])
    with open_pictures(path) as pictures:
        assert contents(pictures) == {"1.png": b"first", "2.png": b"two"}
        assert list(pictures.unreadable.values()) == ["the same name stands twice in the archive"]


def test_the_last_of_two_equal_names_counts_in_a_tar(tmp_path: Path) -> None:
    # `tar --append` replaces a file by adding it again.
    path = write_tar(tmp_path / "set.tar", [regular("1.png", b"first"), regular("1.png", b"second")])
    with open_pictures(path) as pictures:
        assert contents(pictures) == {"1.png": b"second"}


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_is_never_both_a_picture_and_refused(order: int, tmp_path: Path) -> None:
    members = [regular("1.png", b"one"), special("1.png", tarfile.SYMTYPE, "2.png"), regular("2.png", b"two")]
    with open_pictures(write_tar(tmp_path / "set.tar", members[::order])) as pictures:
        assert not pictures.unreadable.keys() & set(pictures.names)


def corrupt(path: Path, content: bytes) -> Path:
    """Change one byte of a stored member."""
    data = path.read_bytes()
    assert data.count(content) == 1
    path.write_bytes(data.replace(content, content[:-1] + bytes([content[-1] ^ 1])))
    return path


def stored(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_damaged_member_is_listed_and_fails_alone(tmp_path: Path) -> None:
    path = corrupt(stored(tmp_path / "set.zip", {"1.png": b"one whole", "2.png": b"two whole"}), b"one whole")
    with open_pictures(path) as pictures:
        assert pictures.names == ("1.png", "2.png")
        assert pictures.read("2.png") == b"two whole"
        with pytest.raises(zipfile.BadZipFile):
            pictures.read("1.png")


def test_a_damaged_member_changes_the_digest(tmp_path: Path) -> None:
    path = stored(tmp_path / "set.zip", {"1.png": b"one whole"})
    before = digest(path)
    assert digest(corrupt(path, b"one whole")) != before


def test_a_member_packed_in_an_unknown_way_fails_alone(tmp_path: Path) -> None:
    path = stored(tmp_path / "set.zip", {"1.png": b"one", "2.png": b"two"})
    content = bytearray(path.read_bytes())
    content[8] = 9  # Deflate64, as Windows packs large files
    content[content.find(b"PK\x01\x02") + 10] = 9
    path.write_bytes(content)
    with open_pictures(path) as pictures:
        assert pictures.names == ("1.png", "2.png")
        assert pictures.read("2.png") == b"two"
        with pytest.raises(NotImplementedError):
            pictures.read("1.png")


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_truncated_archive_is_refused_in_one_line(ending: str, tmp_path: Path) -> None:
    files = {f"{index}.png": random.Random(index).randbytes(3000) for index in range(16)}
    path = write_archive(tmp_path / f"set{ending}", files)
    whole = path.read_bytes()
    for share in (0.2, 0.5, 0.8):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert "cannot be read as an archive" in refusal(path)


@pytest.mark.parametrize("damage", ["changed", "cut"])
def test_a_tar_with_a_broken_header_is_not_taken_for_a_shorter_one(damage: str, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set.tar", [regular(f"{index}.png", b"x" * 512) for index in range(4)])
    content = bytearray(path.read_bytes())
    if damage == "changed":
        content[2048 + 150] ^= 1  # in the checksum of the third member
    else:
        del content[2048 + 150 :]
    path.write_bytes(content)
    assert "cannot be read as an archive" in refusal(path)


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_whatever_is_wrong_with_an_archive_it_is_read_or_refused(ending: str, tmp_path: Path) -> None:
    """A hundred archives with a few changed, missing or added bytes."""
    files = {**FILES, "labels.csv": "file,hair\n1.png,red\n\N{HIRAGANA LETTER KA} (1).png,blue\n".encode()}
    path = write_archive(tmp_path / f"set{ending}", files)
    whole = path.read_bytes()
    chance = random.Random(3)
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(content))
            match chance.randrange(4):
                case 0:
                    del content[place : place + chance.randint(1, 9)]
                case 1:
                    content[place:place] = chance.randbytes(chance.randint(1, 9))
                case _:
                    content[place] = chance.randrange(256)
        path.write_bytes(content)
        try:
            with open_pictures(path) as pictures:
                assert set(pictures.labels) <= set(pictures.names)
        except FaceganError as error:
            assert len(str(error).splitlines()) == 1, error


def test_a_zip_with_a_broken_utf_8_name_is_read_or_refused(tmp_path: Path) -> None:
    path = flags(stored(tmp_path / "set.zip", {"face-1.png": b"one"}), set_bits=0x800)
    path.write_bytes(path.read_bytes().replace(b"face-1", b"face\xff1"))
    try:
        with open_pictures(path) as pictures:
            assert len(pictures.names) == 1
    except FaceganError as error:
        assert len(str(error).splitlines()) == 1


# What is checked before anything is read


def nothing_is_read(*_: Any, **__: Any) -> bytes:
    raise AssertionError("a member was read")


@pytest.fixture
def almost_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda _: SimpleNamespace(total=10**6, used=10**6, free=1000))


@pytest.mark.usefixtures("almost_full")
@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_an_archive_larger_than_the_free_disk_is_refused_unread(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_archive(tmp_path / f"set{ending}", {"1.png": bytes(600), "2.png": bytes(401)})
    monkeypatch.setattr(zipfile.ZipFile, "open", nothing_is_read)
    monkeypatch.setattr(tarfile.TarFile, "extractfile", nothing_is_read)
    assert "GiB are free" in refusal(path)


@pytest.mark.usefixtures("almost_full")
@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_an_archive_that_just_fits_is_read(ending: str, tmp_path: Path) -> None:
    path = write_archive(tmp_path / f"set{ending}", {"1.png": bytes(600), "2.png": bytes(400)})
    assert len(digest(path)) == 64


@pytest.mark.usefixtures("almost_full")
@pytest.mark.parametrize("ending", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_packed_tar_that_does_not_fit_uncompressed_is_refused(ending: str, tmp_path: Path) -> None:
    path = write_archive(tmp_path / f"set{ending}", {"1.png": bytes(100_000)})
    assert path.stat().st_size < 1000
    assert f"set{ending} does not fit on the disk" in refusal(path)


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_an_archive_with_too_many_members_is_refused_unread(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_archive(tmp_path / f"set{ending}", FILES)
    monkeypatch.setattr(folder, "MAX_MEMBERS", len(FILES))
    assert len(digest(path)) == 64
    monkeypatch.setattr(folder, "MAX_MEMBERS", len(FILES) - 1)
    monkeypatch.setattr(zipfile.ZipFile, "open", nothing_is_read)
    monkeypatch.setattr(tarfile.TarFile, "extractfile", nothing_is_read)
    assert "5 members; at most 4 are taken" in refusal(path)


def test_a_member_too_large_for_a_picture_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_PICTURE_BYTES", 2**20)
    files = {"large.png": bytes(2**20 + 1), "fits.png": bytes(2**20)}
    for path in (write_tree(tmp_path / "set", files), write_archive(tmp_path / "set.zip", files)):
        with open_pictures(path) as pictures:
            assert pictures.names == ("fits.png",)
            assert pictures.unreadable == {"large.png": "larger than 1 MiB"}


@pytest.mark.parametrize("ending", ["", ".zip", ".tar.gz"])
def test_a_table_of_labels_too_large_to_read_is_one_line(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "MAX_TABLE_BYTES", 2**20)
    path = tmp_path / f"set{ending}"
    files = {"labels.csv": b"file,hair\n" + b"a.png,red\n" * 2**17, "a.png": b"a"}
    write_archive(path, files) if ending else write_tree(path, files)
    with pytest.raises(FaceganError, match=r"labels\.csv: larger than 1 MiB"), open_pictures(path):
        pass


@pytest.mark.parametrize("ending", ["", ".zip", ".tar"])
def test_a_member_too_large_for_a_picture_is_never_in_memory_whole(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film between the pictures, or a bomb: 64 MiB stand for what does not fit."""
    monkeypatch.setattr(folder, "MAX_PICTURE_BYTES", 2**20)
    path = tmp_path / f"set{ending}"
    files = {"film.mp4": bytes(2**26), "fits.png": b"fits"}
    write_archive(path, files) if ending else write_tree(path, files)
    del files
    tracemalloc.start()
    try:
        with open_pictures(path) as pictures:
            assert pictures.names == ("fits.png",)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**24


# Odd names


def test_names_that_are_not_utf_8_are_escaped_and_can_be_read(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "set", {"fine.png": b"fine"})
    with open(os.fsencode(path) + b"/caf\xe9.png", "wb") as file:
        file.write(b"latin")
    tar = write_tar(
        tmp_path / "set.tar", [regular("fine.png", b"fine"), regular(os.fsdecode(b"caf\xe9.png"), b"latin")]
    )
    for source in (path, tar):
        with open_pictures(source) as pictures:
            assert contents(pictures) == {"fine.png": b"fine", "caf\\xe9.png": b"latin"}
            for name in pictures.names:
                name.encode("utf-8")  # fits in JSON, CSV and ZIP
    assert digest(path) == digest(tar)


def test_odd_names_are_kept(tmp_path: Path) -> None:
    files = {
        name: name.encode()
        for name in [
            "a b.png",
            "a\nb.png",
            'a"b,c.png',
            "\N{PILE OF POO}.png",
            "-rf",
            "no ending",
            "x.png.",
            "a;b",
            "a\rb",
        ]
    }
    path = write_tree(tmp_path / "set", files)
    with open_pictures(path) as pictures:
        assert contents(pictures) == files
    assert digest(write_archive(tmp_path / "set.zip", files)) == digest(path)


# Labels


def tagged(path: Path, table: str | bytes, *names: str, where: str = "labels.csv") -> Path:
    content = table if isinstance(table, bytes) else table.encode()
    return write_tree(path, {where: content, **dict.fromkeys(names, b"x")})


def test_labels_come_by_path(tmp_path: Path) -> None:
    path = tagged(tmp_path / "set", "file,hair,eyes\na/1.png,red,blue\nb/1.png,black,\n", "a/1.png", "b/1.png", "c.png")
    with open_pictures(path) as pictures:
        assert pictures.names == ("a/1.png", "b/1.png", "c.png")  # the table is no picture
        assert pictures.labels == {"a/1.png": {"hair": "red", "eyes": "blue"}, "b/1.png": {"hair": "black"}}


def test_labels_come_by_base_name_when_there_is_one_such_picture(tmp_path: Path) -> None:
    path = tagged(tmp_path / "set", "file,hair\n1.png,red\n2.png,blue\n", "a/1.png", "a/2.png", "b/2.png")
    assert labels(path) == {"a/1.png": {"hair": "red"}}


def test_a_row_may_leave_out_leading_folders_when_that_is_unambiguous(tmp_path: Path) -> None:
    path = tagged(tmp_path / "set", "file,hair\na/1.png,red\nb/1.png,blue\n", "set/train/a/1.png", "set/train/b/1.png")
    assert labels(path) == {"set/train/a/1.png": {"hair": "red"}, "set/train/b/1.png": {"hair": "blue"}}


@pytest.mark.parametrize("order", [1, -1])
def test_a_row_about_an_absent_picture_labels_no_other(order: int, tmp_path: Path) -> None:
    rows = ["here/1.png,red", "absent/1.png,blue"][::order]
    assert labels(tagged(tmp_path / "set", "\n".join(["file,hair", *rows]), "here/1.png")) == {
        "here/1.png": {"hair": "red"}
    }


def test_rows_about_absent_pictures_and_empty_rows_are_skipped(tmp_path: Path) -> None:
    path = tagged(tmp_path / "set", "file,hair\n\n9.png,red\n,green\n1.png,blue\n", "1.png")
    assert labels(path) == {"1.png": {"hair": "blue"}}


def test_rows_about_absent_pictures_are_told(tmp_path: Path) -> None:
    path = tagged(tmp_path / "set", "file,hair\n8.png,red\n9.png,red\n1.png,blue\n", "1.png")
    with open_pictures(path) as pictures:
        assert pictures.notes == ("labels.csv: 2 rows are about no picture here, or not one alone, such as '8.png'",)
    with open_pictures(tagged(tmp_path / "other", "file,hair\n1.png,blue\n", "1.png")) as pictures:
        assert pictures.notes == ()


@pytest.mark.parametrize(
    "table",
    [
        b"\xef\xbb\xbffile,hair\n1.png,red\n",
        b"file,hair\r\n1.png,red\r\n",
        b"file,hair\r1.png,red\r",
        b"hair,file\nred,1.png\n",
        b'"file","hair"\n"1.png","red"\n',
        b"file,hair\n 1.png , red \n",
        b"file,hair,\n1.png,red,\n",
        b"file,hair\n1.png,red,, \n",
        b"file,hair,eyes\n1.png,red\n",
    ],
)
def test_a_table_is_read_however_it_was_saved(table: bytes, tmp_path: Path) -> None:
    assert labels(tagged(tmp_path / "set", table, "1.png")) == {"1.png": {"hair": "red"}}


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"name,hair\n1.png,red\n",
        b"file\n1.png\n",
        b"file;hair\n1.png;red\n",
        b"file,hair\n1.png,caf\xe9\n",
        b'file,hair\n"1.png,red\n',
        b"file,hair\n1.png,red,too,many\n",
    ],
)
def test_a_table_that_makes_no_sense_is_refused_by_its_name(table: bytes, tmp_path: Path) -> None:
    assert refusal(tagged(tmp_path / "set", table, "1.png", where="faces/labels.csv")).startswith("faces/labels.csv: ")


def test_a_table_beside_the_pictures_counts_whatever_its_case(tmp_path: Path) -> None:
    path = tagged(tmp_path / "set", "file,hair\n1.png,red\n", "faces/1.png", where="faces/Labels.CSV")
    with open_pictures(path) as pictures:
        assert pictures.names == ("faces/1.png",)
        assert pictures.labels == {"faces/1.png": {"hair": "red"}}


def test_the_outermost_table_counts(tmp_path: Path) -> None:
    path = tagged(tmp_path / "set", "file,hair\n1.png,red\n", "a/1.png")
    assert labels(tagged(path, "file,hair\n1.png,wrong\n", where="a/labels.csv")) == {"a/1.png": {"hair": "red"}}


def test_a_table_in_the_litter_does_not_count(tmp_path: Path) -> None:
    path = tagged(tmp_path / "set", "file,hair\n1.png,red\n", "faces/1.png", where="faces/labels.csv")
    tagged(path, "file,hair\n1.png,wrong\n", where="__MACOSX/labels.csv")
    tagged(path, "file,hair\n1.png,wrong\n", where=".cache/labels.csv")
    assert labels(path) == {"faces/1.png": {"hair": "red"}}


def test_labels_do_not_depend_on_the_order_in_the_archive(tmp_path: Path) -> None:
    files = {
        "a/1.png": b"1",
        "a/labels.csv": b"file,hair\n1.png,red\n",
        "b/2.png": b"2",
        "b/labels.csv": b"file,hair\n2.png,blue\n",
    }
    one = write_archive(tmp_path / "one.zip", files)
    two = write_archive(tmp_path / "two.zip", dict(reversed(files.items())))
    assert digest(one) == digest(two)
    assert labels(one) == labels(two)


@pytest.mark.parametrize("above", ["", "set/", "set/images/"])
def test_sub_folders_are_classes_under_any_common_folder(above: str, tmp_path: Path) -> None:
    path = write_tree(
        tmp_path / "set", dict.fromkeys([f"{above}cat/1.png", f"{above}cat/2.png", f"{above}dog/deep/1.png"], b"x")
    )
    assert labels(path) == {
        f"{above}cat/1.png": {"class": "cat"},
        f"{above}cat/2.png": {"class": "cat"},
        f"{above}dog/deep/1.png": {"class": "dog"},
    }


@pytest.mark.parametrize(
    "names", [["cat/1.png", "cat/2.png"], ["1.png", "2.png"], ["cat/1.png", "dog/1.png", "3.png"], ["1.png"]]
)
def test_other_folders_are_no_classes(names: list[str], tmp_path: Path) -> None:
    assert labels(write_tree(tmp_path / "set", dict.fromkeys(names, b"x"))) == {}


def test_a_table_overrides_the_sub_folders(tmp_path: Path) -> None:
    path = tagged(tmp_path / "set", "file,hair\ncat/1.png,red\n", "cat/1.png", "dog/2.png")
    assert labels(path) == {"cat/1.png": {"hair": "red"}}


def test_litter_makes_no_class(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "set", dict.fromkeys(["cat/1.png", "dog/1.png", ".DS_Store"], b"x"))
    assert set(labels(path)) == {"cat/1.png", "dog/1.png"}


# What is packed is a plain archive too: the suite's own tools are checked once.
@pytest.mark.parametrize(("ending", "unpack"), [(".tar.gz", gzip.decompress), (".tar.bz2", bz2.decompress)])
def test_a_packed_tar_is_the_plain_one(ending: str, unpack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    packed = write_archive(tmp_path / f"set{ending}", FILES)
    (tmp_path / "plain.tar").write_bytes(unpack(packed.read_bytes()))
    assert digest(tmp_path / "plain.tar") == digest(packed)
