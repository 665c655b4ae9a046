"""DVC's cache, by the real git and DVC: what anything names stays."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking.made import own_environment

from facegan.errors import FaceganError
from facegan.garbage.outputs import find
from facegan.repository.project import Project

PIPELINE = """
stages:
  train:
    cmd: mkdir -p model && cp params.yaml model/weights && cp params.yaml alone
    deps: [code]
    params: [seed]
    outs: [model, alone]
"""


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    with own_environment():
        yield


class Repository:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.run("git", "init", "-q", "-b", "main")
        self.run("dvc", "init", "-q")
        (root / "dvc.yaml").write_text(PIPELINE)
        (root / "code").write_text("")

    def run(self, program: str, *arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        command = ["git", *identity, *arguments] if program == "git" else [sys.executable, "-m", program, *arguments]
        subprocess.run(command, cwd=self.root, check=True, capture_output=True)

    def train(self, seed: int, commit: bool = False) -> None:
        (self.root / "params.yaml").write_text(f"seed: {seed}\n")
        self.run("dvc", "repro", "-q")
        if commit:
            self.run("git", "add", "-A")
            self.run("git", "commit", "-qm", f"seed {seed}")

    def seeds(self) -> set[str]:
        """Of the outputs that are in the cache."""
        files = [path for path in (self.root / ".dvc/cache/files").rglob("*") if path.is_file()]
        return {path.read_text().split()[1] for path in files if path.suffix != ".dir"}

    def runs(self) -> int:
        return len([path for path in (self.root / ".dvc/cache/runs").rglob("*") if path.is_file()])


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "project")


def test_what_a_commit_branch_tag_experiment_or_the_workspace_names_stays(repository: Repository) -> None:
    repository.train(1, commit=True)
    repository.train(2, commit=True)
    repository.run("git", "checkout", "-qb", "other")
    repository.train(3, commit=True)
    repository.run("git", "checkout", "-q", "main")
    repository.run("git", "checkout", "-q", "--detach")
    repository.train(4, commit=True)
    repository.run("git", "tag", "kept")
    repository.run("git", "checkout", "-q", "main")
    repository.run("dvc", "exp", "run", "-q", "-S", "seed=5")
    repository.run("git", "checkout", "-q", "params.yaml")
    repository.train(6)  # and nothing names it afterwards
    repository.train(7)
    assert repository.seeds() == {"1", "2", "3", "4", "5", "6", "7"} and repository.runs() == 7
    project = Project(repository.root, repository.root)
    files, runs = find(project)
    # A directory's two files are of the same bytes, so that each training has one file and one listing.
    assert files.what.startswith("2 files in DVC's cache") and runs.what.startswith("1 run in DVC's run cache")
    assert repository.seeds() == {"1", "2", "3", "4", "5", "6", "7"}  # nothing goes by itself
    for item in (files, runs):
        item.remove()
    assert repository.seeds() == {"1", "2", "3", "4", "5", "7"} and repository.runs() == 6
    assert list(find(project)) == []
    repository.run("git", "checkout", "-qf", "other")
    repository.run("dvc", "checkout", "-q", "--force")
    assert (repository.root / "model/weights").read_text() == "seed: 3\n"


def test_a_workspace_whose_listing_is_gone_keeps_every_file(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.train(1)
    repository.train(2)
    for path in (repository.root / ".dvc/cache/files").rglob("*.dir"):
        path.chmod(0o644)
        path.unlink()
    assert list(find(Project(repository.root, repository.root))) == []
    assert "gc: model is not in DVC's cache, which is left as it is" in capsys.readouterr().out


def test_commits_that_are_not_on_this_machine_are_no_hindrance(repository: Repository) -> None:
    repository.train(1, commit=True)
    for path in (repository.root / ".dvc/cache/files").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.unlink()
    repository.train(2)
    repository.train(3)
    files, _ = find(Project(repository.root, repository.root))
    files.remove()
    assert repository.seeds() == {"3"}


def test_a_cache_that_others_may_use_is_left_alone(repository: Repository, tmp_path: Path) -> None:
    repository.run("dvc", "cache", "dir", str(tmp_path / "shared"))
    repository.train(1)
    with pytest.raises(FaceganError, match="may be shared"):
        list(find(Project(repository.root, repository.root)))


def test_a_folder_without_dvc_has_no_cache(tmp_path: Path) -> None:
    assert list(find(Project(tmp_path, tmp_path))) == []
