"""Working state: what is old goes, what is at work or not yet in MLflow stays."""

import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from facegan.errors import FaceganError
from facegan.garbage.working import busy, find
from facegan.repository.project import Project
from facegan.tracking.lineage import SPEC

OLD = time.time() - 40 * 24 * 3600


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path)


def write(path: Path, content: str = "12345", at: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (at, at))
    return path


def words(project: Project, days: float = 30) -> list[str]:
    return [item.what for item in find(project, days)]


def test_an_unfinished_training_goes_when_it_is_old_and_goes_whole(project: Project) -> None:
    old, new = project.state / ("a" * 64), project.state / ("b" * 64)
    write(old / "checkpoint.safetensors")
    write(old / "samples/1.png")
    write(new / "checkpoint.safetensors")
    write(new / "journal.jsonl", at=time.time())
    (item,) = find(project, 30)
    assert item.what == "unfinished training aaaaaaaa, last at work 40 days ago" and item.size == 10
    item.remove()
    assert not old.exists() and new.is_dir()
    assert len(words(project, 0)) == 1


def test_a_training_that_goes_on_meanwhile_is_left_alone(project: Project) -> None:
    folder = project.state / ("a" * 64)
    write(folder / "checkpoint.safetensors")
    lock = write(project.state / "locks" / folder.name)
    (item,) = find(project, 30)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(FaceganError, match="is at work again"):
            item.remove()
    assert (folder / "checkpoint.safetensors").is_file()


def test_rows_that_mlflow_lacks_stay(project: Project) -> None:
    folders = [project.state / ("a" * 64), project.state / "outbox/one", project.state / "outbox/two"]
    for folder in folders:
        write(folder / "checkpoint.safetensors")
        write(folder / "journal.jsonl")
        write(folder / SPEC, "{}")
    assert words(project) == []
    (folders[1] / "sent").write_text("5")
    assert words(project) == ["journal one, which MLflow has whole"]


def test_a_killed_studys_copies_and_old_features_go(project: Project) -> None:
    write(project.state / "studies/abcd/0/params.yaml")
    write(project.state / "studies/abcd.lock")
    write(project.state / "cache/reference-1.safetensors")
    write(project.state / "cache/reference-2.safetensors", at=time.time())
    assert words(project) == [
        "copies of a study that was killed (abcd)",
        "features of real pictures (reference-1.safetensors)",
    ]
    for item in find(project, 30):
        item.remove()
    assert words(project) == [] and (project.state / "cache/reference-2.safetensors").is_file()


@pytest.mark.parametrize(
    ("lock", "what"),
    [("locks/key", "a training"), ("studies/abcd.lock", "a study"), ("retrain.lock", "a retraining")],
)
def test_whoever_holds_a_lock_is_at_work(project: Project, lock: str, what: str) -> None:
    path = write(project.state / lock)
    assert busy(project) is None
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert busy(project) == what


def test_a_stage_of_dvc_is_at_work_while_its_process_lives(project: Project) -> None:
    def lock(pid: int) -> None:
        holders = {"/data/raw": {"write": {"pid": pid, "cmd": "dvc repro"}, "read": []}, "/x": {"read": []}}
        write(project.home / ".dvc/tmp/rwlock", json.dumps(holders))

    lock(os.getpid())
    assert busy(project) == "a DVC stage"
    lock(2**22 + 1)  # no process has that number
    assert busy(project) is None
