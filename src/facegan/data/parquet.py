"""Pictures in a column of Parquet files."""

import shutil
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facegan.data.columns import check_columns, label_texts, picture
from facegan.data.local import files_at
from facegan.data.pictures import PictureSet
from facegan.errors import FaceganError
from facegan.files import sha256, tree_digest
from facegan.progress import progress

MAX_ROWS = 5_000_000
ROWS = 32  # that are decoded at a time, out of a page of the file


@contextmanager
def open_parquet(path: Path, image: str, labels: Sequence[str]) -> Iterator[PictureSet]:
    """The pictures of a .parquet file, or of all files below a folder, by file and row. Raises FaceganError.

    Column ``image`` holds encoded pictures, or structs with ``bytes`` as ``datasets`` writes them; ``labels`` are
    columns of text, whole numbers or booleans.
    """
    files = files_at(path, ".parquet", "data.parquet.path")
    opened = [_open(full) for full in files.values()]
    if (rows := sum(file.metadata.num_rows for file in opened)) > MAX_ROWS:
        raise FaceganError(f"data.parquet.path: {path.name} has {rows:,} rows; at most {MAX_ROWS:,} are taken")
    size = sum(_bytes(file, image) for file in opened)
    if size > (free := shutil.disk_usage(Path.cwd()).free):
        raise FaceganError(
            f"data.parquet.path: {path.name} unpacks to {size / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB are free"
        )
    where: dict[str, tuple[Path, int]] = {}
    texts: dict[str, dict[str, str]] = {}
    for (name, full), file in zip(files.items(), opened, strict=True):
        try:
            check_columns(file.schema_arrow, image, labels, "data.parquet")
            columns = label_texts(file.read(list(labels)), "data.parquet") if labels else {}
        except FaceganError as error:
            raise FaceganError(f"{error} ({name})" if len(files) > 1 else str(error)) from None
        except (pa.ArrowException, OSError) as error:
            raise _damaged(full, error) from error
        for row in range(file.metadata.num_rows):
            where[picture_name := f"{name.removesuffix('.parquet')}/{row:07d}"] = full, row
            if found := {column: values[row] for column, values in columns.items() if values[row]}:
                texts[picture_name] = found
        file.close()
    looked_at = progress(files.items(), len(files), "check", "files")
    digest = tree_digest((name, full.stat().st_size, sha256(full)) for name, full in looked_at)
    yield PictureSet(
        names=tuple(sorted(where)),
        read=_Reader(where, image),
        labels=texts,
        description={"source": "parquet", "name": path.name, "digest": digest, "licence": None},
    )


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> FaceganError:
    return FaceganError(f"data.parquet.path: {path.name} cannot be read as Parquet: {str(error).splitlines()[0]}")


def _bytes(file: pq.ParquetFile, image: str) -> int:
    """Of the pictures when they are unpacked."""
    groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(part.total_uncompressed_size for part in columns if part.path_in_schema.partition(".")[0] == image)


@dataclass
class _Rows:
    """Cells of one row group, a few in memory at a time, from its beginning to its end."""

    path: Path
    group: int
    first: int  # row of the file that the cells in memory begin with
    cells: pa.Array
    rest: Iterator[pa.RecordBatch]


def _at_once(file: pq.ParquetFile, group: int) -> int:
    """Rows to decode: one where a dictionary may hold a picture that many rows have, which unpack to any size."""
    columns = file.metadata.row_group(group)
    return 1 if any(columns.column(number).has_dictionary_page for number in range(columns.num_columns)) else ROWS


class _Reader:
    """Reads pictures by name. Names come in sorted order, so each file is read once, from its beginning to its end."""

    def __init__(self, where: dict[str, tuple[Path, int]], image: str) -> None:
        self._where, self._image = where, image
        self._file: tuple[Path, pq.ParquetFile, list[int]] | None = None
        self._rows: _Rows | None = None
        self._broken: tuple[Path, int, int, Exception] | None = None  # file, group, first row that cannot be read, why

    def __call__(self, name: str) -> bytes:
        path, row = self._where[name]
        if self._file is None or self._file[0] != path:
            file = pq.ParquetFile(path, memory_map=True, pre_buffer=False)
            starts = [0]
            for number in range(file.num_row_groups):
                starts.append(starts[-1] + file.metadata.row_group(number).num_rows)
            self._file, self._rows = (path, file, starts), None
        _, file, starts = self._file
        group = bisect_right(starts, row) - 1
        if self._broken and self._broken[:2] == (path, group) and row >= self._broken[2]:
            raise self._broken[3]  # again from the beginning of the group for every row would take for ever
        rows, self._rows = self._rows, None  # none, should reading fail
        if rows is None or rows.group != group or row < rows.first:
            batches = file.iter_batches(_at_once(file, group), row_groups=[group], columns=[self._image])
            rows = _Rows(path, group, starts[group], pa.array([]), iter(batches))
        while row >= rows.first + len(rows.cells):
            rows.first += len(rows.cells)
            try:
                rows.cells = next(rows.rest).column(0)
            except Exception as error:
                self._broken = path, group, rows.first, error
                raise
        self._rows = rows
        cell: Any = rows.cells[row - rows.first].as_py()
        return picture(cell)
