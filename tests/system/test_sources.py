"""Other people's pictures, from a folder and an archive, through the whole pipeline."""

import zipfile
from pathlib import Path

from conftest import Clone, assert_whole, make_clone

from facegan.data.synthetic import png


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
