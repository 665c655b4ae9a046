"""Pictures in Parquet files: as ``datasets`` writes them and as others do, with every row accounted for."""

import io
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from facegan.data import parquet
from facegan.data.archive import write_raw
from facegan.data.parquet import open_parquet
from facegan.errors import FaceganError


def png(value: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 32), (value, 0, 255 - value)).save(content, "PNG")
    return content.getvalue()


PICTURES = [png(value) for value in range(50)]


def write(path: Path, rows: int = 50, **columns: Any) -> Path:
    columns = {"image": PICTURES[:rows], **columns}
    pq.write_table(pa.table(columns), path, row_group_size=20)
    return path


def refusal(path: Path, image: str = "image", labels: tuple[str, ...] = ()) -> str:
    with pytest.raises(FaceganError) as caught, open_parquet(path, image, labels):
        pass
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_file_of_datasets_is_read_as_it_would(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "hair": datasets.ClassLabel(names=["red", "blue"])})
    hair = [number % 2 if number % 5 else -1 for number in range(50)]
    written = datasets.Dataset.from_dict(
        {"image": [{"bytes": content, "path": None} for content in PICTURES], "hair": hair}, features
    )
    written.to_parquet(tmp_path / "train.parquet")
    with open_parquet(tmp_path / "train.parquet", "image", ("hair",)) as pictures:
        for row, name in enumerate(pictures.names):
            with Image.open(io.BytesIO(pictures.read(name))) as image:
                assert np.array_equal(np.asarray(image), np.asarray(written[row]["image"]))
            expected = {} if row % 5 == 0 else {"hair": ["red", "blue"][row % 2]}
            assert pictures.labels.get(name, {}) == expected


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_plain_bytes_in_any_order(tmp_path: Path, kind: pa.DataType) -> None:
    write(tmp_path / "a.parquet", image=pa.array(PICTURES, kind))
    with open_parquet(tmp_path, "image", ()) as pictures:
        assert pictures.names == tuple(f"a/{row:07d}" for row in range(50)) and not pictures.labels
        for row in (*range(50), 3, 2, 49, 0, 21, 20):
            assert pictures.read(f"a/{row:07d}") == PICTURES[row]


def test_labels_are_text_numbers_and_booleans(tmp_path: Path) -> None:
    columns = {
        "mood": pa.array(["happy", None, " sad "]).dictionary_encode(),
        "age": pa.array([7, None, -1], pa.int16()),
        "smile": [True, False, None],
    }
    write(tmp_path / "a.parquet", 3, **columns)
    with open_parquet(tmp_path / "a.parquet", "image", tuple(columns)) as pictures:
        assert pictures.labels == {
            "a/0000000": {"mood": "happy", "age": "7", "smile": "true"},
            "a/0000001": {"smile": "false"},
            "a/0000002": {"mood": "sad", "age": "-1"},
        }


def test_several_files_are_one_set_and_every_row_is_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "set/deep").mkdir(parents=True)
    write(tmp_path / "set/b.parquet", 2)
    write(tmp_path / "set/deep/a.parquet", image=[PICTURES[5], None, PICTURES[6]])
    (tmp_path / "set/README.md").write_text("faces")
    with open_parquet(tmp_path / "set", "image", ()) as pictures:
        manifest = write_raw(pictures, tmp_path / "raw", 1)
        first = pictures.description["digest"]
    assert manifest["pictures"] == 4
    assert manifest["unreadable"] == {"deep/a/0000001": "cannot be read: the row has no picture"}
    write(tmp_path / "set/b.parquet", 3)
    with open_parquet(tmp_path / "set", "image", ()) as pictures:
        assert pictures.description["digest"] != first


def test_a_path_in_a_row_is_not_followed(tmp_path: Path) -> None:
    """A file may name any file of whoever reads it."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(1))
    write(tmp_path / "a.parquet", image=[{"bytes": None, "path": str(secret)}, {"bytes": png(2), "path": "2.png"}])
    with open_parquet(tmp_path / "a.parquet", "image", ()) as pictures:
        assert pictures.read("a/0000001") == png(2)
        with pytest.raises(ValueError, match="a path and no picture"):
            pictures.read("a/0000000")


def test_what_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", 2, tags=[["x"], []], score=[0.5, 1.0])
    assert refusal(path, "img") == "data.parquet.image: no column 'img'; the columns are image, tags, score"
    assert refusal(path, labels=("hair",)).startswith("data.parquet.labels: no column 'hair'")
    assert refusal(path, "score").startswith("data.parquet.image: column 'score' holds double; pictures are encoded")
    assert "'tags' holds list<" in refusal(path, labels=("tags",)) and "holds double" in refusal(
        path, labels=("score",)
    )
    (tmp_path / "b.parquet").write_bytes(path.read_bytes()[:-9])
    assert refusal(tmp_path / "b.parquet").startswith("data.parquet.path: b.parquet cannot be read as Parquet")
    assert refusal(tmp_path / "none").endswith("does not exist; it is relative to the repository")
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty") == "data.parquet.path: empty holds no .parquet file"
    (tmp_path / "a.csv").write_text("")
    assert refusal(tmp_path / "a.csv") == "data.parquet.path: a.csv is neither a .parquet file nor a folder of them"


def test_damage_in_the_middle_costs_the_rows_that_it_hit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    content = bytearray(path.read_bytes())
    begins = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    content[begins : begins + 200] = bytes(200)
    path.write_bytes(content)
    with open_parquet(path, "image", ()) as pictures:
        manifest = write_raw(pictures, tmp_path / "raw", 1)
    assert sorted(manifest["unreadable"]) == [f"a/{row:07d}" for row in range(20, 40)]


def test_a_file_that_unpacks_to_more_than_the_disk_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.parquet")
    monkeypatch.setattr(parquet.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert refusal(path).startswith("data.parquet.path: a.parquet unpacks to")


def test_a_large_row_group_is_never_in_memory_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    cells = [noise.bytes(10_000) for _ in range(6000)]  # 60 MB, in pages of 10
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet", row_group_size=6000)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    most = 0
    with open_parquet(tmp_path / "a.parquet", "image", ()) as pictures:
        for row, name in enumerate(pictures.names):
            assert pictures.read(name) == cells[row]
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 30e6 and tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_a_picture_in_every_row_takes_memory_once(tmp_path: Path) -> None:
    """A file of some kilobytes says so, and would be gigabytes."""
    one = np.random.default_rng(1).bytes(2_000_000)
    for kind, cells in (("a", [one] * 3000), ("b", [{"bytes": one, "path": "x"}] * 3000)):
        pq.write_table(pa.table({"image": cells}), tmp_path / f"{kind}.parquet", dictionary_pagesize_limit=10**9)
        assert (tmp_path / f"{kind}.parquet").stat().st_size < 5e6
        before = pa.total_allocated_bytes()
        with open_parquet(tmp_path / f"{kind}.parquet", "image", ()) as pictures:
            assert pictures.read(f"{kind}/0000031") == one
            assert pa.total_allocated_bytes() - before < 30e6


def test_more_rows_than_are_taken_are_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.parquet")
    monkeypatch.setattr(parquet, "MAX_ROWS", 49)
    assert refusal(path) == "data.parquet.path: a.parquet has 50 rows; at most 49 are taken"


def test_labels_fit_into_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", 1, mood=["x" * 20_000])
    assert "a label of 20,000 characters" in refusal(path, labels=("mood",))
