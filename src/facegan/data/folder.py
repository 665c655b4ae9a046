"""Pictures in a directory tree, a .zip or a .tar: listed, checked and read where they are, never unpacked.

Labels come from a ``labels.csv`` (column ``file``, then one column a label; empty means unknown) or, when there is
none and every picture lies in one of two or more sub-folders, from the sub-folder's name (column ``class``).
"""

import bz2
import csv
import gzip
import hashlib
import io
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from facegan.data.local import printable
from facegan.data.pictures import PictureSet
from facegan.errors import FaceganError
from facegan.files import tree_digest
from facegan.progress import progress

MAX_MEMBERS = 5_000_000
MAX_PICTURE_BYTES = 512 * 2**20
MAX_TABLE_BYTES = 128 * 2**20  # of labels: a million pictures with forty labels have about 100
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_DECOMPRESSORS: dict[str, Callable[[Path], IO[bytes]]] = {
    **dict.fromkeys(("gz", "tgz"), cast(Callable[[Path], IO[bytes]], gzip.open)),
    **dict.fromkeys(("bz2", "tbz2"), cast(Callable[[Path], IO[bytes]], bz2.open)),
    **dict.fromkeys(("xz", "txz"), cast(Callable[[Path], IO[bytes]], lzma.open)),
}
_LITTER = {".ds_store", "thumbs.db", "desktop.ini"}
_NO_ARCHIVE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError),
    *(NotImplementedError, UnicodeDecodeError),  # of zipfile: a version or a name it cannot read
)
_DAMAGED = (*_NO_ARCHIVE, OSError, RuntimeError, ValueError)


@dataclass(frozen=True)
class _Member:
    size: int  # bytes
    open: Callable[[], IO[bytes]]

    def read(self) -> bytes:
        with self.open() as file:
            return file.read()


@contextmanager
def open_pictures(path: Path) -> Iterator[PictureSet]:
    """The pictures below or in ``path``. Raises FaceganError when it is none of the kinds above, or hostile."""
    kind = _kind(path)
    try:
        with kind(path) as (members, refused):
            yield _picture_set(path, members, refused)
    except _NO_ARCHIVE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")  # tarfile takes five lines
        raise FaceganError(f"data.folder.path: {path.name} cannot be read as an archive: {reason}") from error


def _kind(path: Path) -> "Callable[[Path], AbstractContextManager[_Listing]]":
    if path.is_dir():
        return _open_directory
    if not path.exists():
        raise FaceganError(f"data.folder.path: {path} does not exist; it is relative to the repository")
    name = path.name.lower()
    if name.endswith(".zip"):
        return _open_zip
    if name.endswith(TAR_ENDINGS):
        return _open_tar
    raise FaceganError(f"data.folder.path: {path.name} is neither a folder nor a .zip or {', '.join(TAR_ENDINGS)}")


_Listing = tuple[dict[str, _Member], dict[str, str]]  # what can be read, and the reasons for what cannot


@contextmanager
def _open_directory(path: Path) -> Iterator[_Listing]:
    members: dict[str, _Member] = {}
    refused: dict[str, str] = {}
    for folder, _, files in os.walk(path, onerror=_raise):
        for file in files:
            full = Path(folder, file)
            name = printable(full.relative_to(path).as_posix())
            if not full.is_file():  # a socket, a device, a link to nowhere
                refused[name] = "not a regular file"
            else:
                members[name] = _Member(full.stat().st_size, partial(_open_file, full))
    yield members, refused


def _raise(error: OSError) -> None:
    raise error  # os.walk passes over a folder that it may not read


@contextmanager
def _open_zip(path: Path) -> Iterator[_Listing]:
    with zipfile.ZipFile(path) as archive:
        members: dict[str, _Member] = {}
        refused: dict[str, str] = {}
        infos = [info for info in archive.infolist() if not info.is_dir()]
        _check(path, len(infos), sum(info.file_size for info in infos))
        for info in infos:
            name = _inside(path, info.filename)
            if name in members:
                refused[f"{name} (again)"] = "the same name stands twice in the archive"
            elif info.flag_bits & 1:
                refused[name] = "encrypted"
            else:
                members[name] = _Member(info.file_size, partial(archive.open, info))
        yield members, refused


@contextmanager
def _open_tar(path: Path) -> Iterator[_Listing]:
    with (
        tempfile.TemporaryFile() as plain,
        _uncompressed(path, plain) as file,
        tarfile.open(fileobj=file) as archive,
    ):
        members: dict[str, _Member] = {}
        refused: dict[str, str] = {}
        infos = [info for info in archive if not info.isdir()]
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a broken header for the end
            raise tarfile.ReadError("a header in the middle is damaged")
        _check(path, len(infos), sum(info.size for info in infos))
        for info in infos:
            name = _inside(path, info.name)
            members.pop(name, None)  # the last of two counts, as when unpacking
            refused.pop(name, None)
            if not info.isreg():  # links and devices: nothing outside the archive is followed
                refused[name] = "not a regular file"
            else:
                members[name] = _Member(info.size, partial(_extract, archive, info))
        yield members, refused


def _extract(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None  # a regular member
    return file


def _block(packed: IO[bytes], path: Path) -> bytes:
    try:
        return packed.read(2**24)
    except OSError as error:  # gzip and bz2 say so of what is not theirs
        raise FaceganError(f"data.folder.path: {path.name} cannot be read as an archive: {error}") from error


@contextmanager
def _uncompressed(path: Path, plain: IO[bytes]) -> Iterator[IO[bytes]]:
    """A seekable plain .tar: members are read in sorted order, which a compressed stream makes quadratic."""
    if path.name.lower().endswith(".tar"):
        with path.open("rb") as file:
            yield file
        return
    ending = path.name.lower().rsplit(".", 1)[1]
    with _DECOMPRESSORS[ending](path) as packed:
        while block := _block(packed, path):
            if shutil.disk_usage(tempfile.gettempdir()).free < 2 * len(block):
                raise FaceganError(f"data.folder.path: {path.name} does not fit on the disk when uncompressed")
            plain.write(block)
    plain.seek(0)
    yield plain


def _check(path: Path, count: int, size: int) -> None:
    """Refuse an archive that is too much, before anything of it is read."""
    if count > MAX_MEMBERS:
        raise FaceganError(f"data.folder.path: {path.name} has {count:,} members; at most {MAX_MEMBERS:,} are taken")
    free = shutil.disk_usage(Path.cwd()).free
    if size > free:
        raise FaceganError(
            f"data.folder.path: {path.name} unpacks to {size / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB are free"
        )


def _inside(path: Path, name: str) -> str:
    """The member's name as a relative POSIX path; an archive that points out of itself is refused whole."""
    name = printable(name.replace("\\", "/"))
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or parts[0].endswith(":"):
        raise FaceganError(f"data.folder.path: {path.name} has a member {name!r} that points outside: refused")
    return PurePosixPath(*parts).as_posix()


def _picture_set(path: Path, members: dict[str, _Member], refused: dict[str, str]) -> PictureSet:
    members = {name: members[name] for name in sorted(members) if not _is_litter(name)}
    looked_at = progress(members.items(), len(members), "check")
    digest = tree_digest((name, member.size, _content_digest(member)) for name, member in looked_at)
    tables = [name for name in members if PurePosixPath(name).name.lower() == "labels.csv"]
    pictures = {name: member for name, member in members.items() if name not in tables}
    for name, member in list(pictures.items()):
        if member.size > MAX_PICTURE_BYTES:
            refused[name] = f"larger than {MAX_PICTURE_BYTES // 2**20} MiB"
            del pictures[name]
    names = tuple(sorted(pictures))
    labels: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...] = ()
    if tables:
        table = min(tables, key=lambda name: name.count("/"))
        if members[table].size > MAX_TABLE_BYTES:
            raise FaceganError(f"{table}: larger than {MAX_TABLE_BYTES // 2**20} MiB")
        try:
            content = members[table].read()
        except _DAMAGED as error:
            raise FaceganError(f"{table}: cannot be read: {error}") from error
        labels, strangers = read_labels(content, names, table)
        if strangers:
            many = f"{len(strangers)} rows are about no picture here, or not one alone"
            notes += (f"{table}: {many}, such as {strangers[0]!r}",)
    else:
        labels = _class_folders(names)

    def read(name: str) -> bytes:
        return pictures[name].read()

    return PictureSet(
        names=names,
        read=read,
        labels=labels,
        description={"source": "folder", "name": path.name, "digest": digest, "licence": None},
        unreadable=refused,
        notes=notes,
    )


def _content_digest(member: _Member) -> str:
    try:
        digest = hashlib.sha256()
        with member.open() as file:
            while block := file.read(2**20):  # a film among the pictures need not fit in memory
                digest.update(block)
        return digest.hexdigest()
    except _DAMAGED as error:
        return f"unreadable: {type(error).__name__}"


def _open_file(path: Path) -> IO[bytes]:
    return path.open("rb")


def _is_litter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return parts[-1].lower() in _LITTER or "__MACOSX" in parts or any(part.startswith(".") for part in parts)


def read_labels(content: bytes, names: tuple[str, ...], table: str) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Labels by picture name, and the files of rows that are about no picture, or not about one alone.

    A row's ``file`` may leave out leading folders when that is still unambiguous.
    """
    beyond = "\n"  # a key that no column has, for the cells beyond the last
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), restkey=beyond, strict=True)
        columns = [column for column in rows.fieldnames or [] if column]
        if "file" not in columns or len(columns) < 2:
            raise FaceganError(f"{table}: needs a column 'file' and at least one label column, has {columns}")
        listed = [(rows.line_num, row) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FaceganError(f"{table}: cannot be read as UTF-8 CSV: {error}") from error
    known = set(names)
    endings = Counter(ending for name in names for ending in _endings(name))
    by_ending = {ending: name for name in names for ending in _endings(name)}
    labels: dict[str, dict[str, str]] = {}
    strangers = []
    for number, row in listed:
        if any(cell.strip() for cell in row.get(beyond) or ()):
            raise FaceganError(f"{table}: line {number} has more cells than the {len(columns)} columns {columns}")
        file = (row["file"] or "").strip()
        if file not in known:
            if endings[file] != 1:
                strangers.append(file)
                continue
            file = by_ending[file]
        values = {column: (row[column] or "").strip() for column in columns if column != "file"}
        labels[file] = {column: value for column, value in values.items() if value}
    return labels, strangers


def _endings(name: str) -> Iterator[str]:
    """The name without its leading folders, one after the other."""
    while "/" in name:
        name = name.partition("/")[2]
        yield name


def _class_folders(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    paths = {name: PurePosixPath(name).parts for name in names}
    depth = 0
    while len({parts[depth] for parts in paths.values() if len(parts) > depth + 1}) == 1 and all(
        len(parts) > depth + 1 for parts in paths.values()
    ):
        depth += 1  # all share one folder, as archives often do
    classes = {name: parts[depth] for name, parts in paths.items() if len(parts) > depth + 1}
    if len(classes) < len(names) or len(set(classes.values())) < 2:
        return {}
    return {name: {"class": value} for name, value in classes.items()}
