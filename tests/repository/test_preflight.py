"""What a retraining needs at its end is tried at its start, on real remotes."""

import subprocess
import sys
from pathlib import Path

import pytest

from facegan.errors import FaceganError
from facegan.repository.preflight import branch_to_push, reach_remote
from facegan.repository.publish import SKIP, commit_and_push


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose main is that of its origin."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "t")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "t@example.org")
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", "remote.git", "clone")
    found = tmp_path / "clone"
    git(found, "checkout", "-q", "-b", "main")
    (found / "params.yaml").write_text("seed: 1\n")
    git(found, "add", "-A")
    git(found, "commit", "-q", "-m", "one")
    git(found, "push", "-q", "origin", "main")
    return found


def commit(root: Path, message: str, name: str = "README.md") -> None:
    with (root / name).open("a") as file:
        file.write(f"# {message}\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", message)


def test_a_branch_that_is_origins_may_be_pushed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert branch_to_push(root) == "main"
    commit(root, f"Retrained: abc {SKIP}", "params.yaml")  # of an earlier start, which could not push it
    assert branch_to_push(root) == "main"
    git(root, "push", "-q", "origin", "main")
    git(root, "checkout", "-q", "--detach")  # as GitLab has it
    monkeypatch.setenv("FACEGAN_BRANCH", "main")
    assert branch_to_push(root) == "main"
    git(root, "checkout", "-q", "-b", "change")
    assert branch_to_push(root) == "change"  # a new one, with nothing that origin lacks


def test_what_would_push_more_than_the_run_is_refused(root: Path) -> None:
    commit(root, "mine")
    with pytest.raises(FaceganError, match=r"it has commits that origin lacks \(1\): push first"):
        branch_to_push(root)
    git(root, "checkout", "-q", "-b", "change")
    with pytest.raises(FaceganError, match="push change to origin first"):
        branch_to_push(root)
    git(root, "checkout", "-q", "main")
    git(root, "push", "-q", "origin", "main")
    git(root, "reset", "-q", "--hard", "HEAD~1")
    with pytest.raises(FaceganError, match="it is behind: pull first"):
        branch_to_push(root)
    commit(root, f"mine too {SKIP}")  # says it is a retraining's, and changes more
    with pytest.raises(FaceganError, match="HEAD is not origin's main"):
        branch_to_push(root)
    git(root, "checkout", "-q", "--detach")
    with pytest.raises(FaceganError, match="HEAD is detached, and FACEGAN_BRANCH names none"):
        branch_to_push(root)


def test_a_remote_that_takes_no_push_is_known_before(root: Path) -> None:
    git(root, "remote", "set-url", "--push", "origin", str(root / "nowhere"))
    with pytest.raises(FaceganError, match="`git push --quiet` failed"):
        branch_to_push(root)


def test_a_push_that_is_refused_leaves_the_files_as_they_were(root: Path) -> None:
    (root.parent / "remote.git/hooks/pre-receive").write_text("#!/bin/sh\nexit 1\n")
    (root.parent / "remote.git/hooks/pre-receive").chmod(0o755)
    (root / "dvc.lock").write_text("of the run")
    (root / "params.yaml").write_text("seed: 2\n")
    (root / "README.md").write_text("mine")
    git(root, "add", "README.md")
    before = git(root, "rev-parse", "HEAD")
    with pytest.raises(FaceganError, match="Nothing was committed or promoted"):
        commit_and_push(root, "main")
    assert git(root, "rev-parse", "HEAD") == before
    assert git(root, "status", "--porcelain").splitlines() == ["A  README.md"]
    assert (root / "params.yaml").read_text() == "seed: 1\n"


def test_dvcs_remote_is_written_to_and_left_as_it_was(tmp_path: Path) -> None:
    root, store = tmp_path / "project", tmp_path / "store"
    root.mkdir()
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)
    assert reach_remote(root, write=True) is None
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "team", store], cwd=root, check=True)
    assert reach_remote(root, write=True) == f"team ({store})"
    assert not [path for path in store.rglob("*") if path.is_file()]
    (tmp_path / "file").write_text("")
    subprocess.run(
        [sys.executable, "-m", "dvc", "remote", "modify", "-q", "team", "url", tmp_path / "file/below"],
        cwd=root,
        check=True,
    )
    with pytest.raises(FaceganError, match="team"):
        reach_remote(root, write=True)


def test_a_remote_that_only_gives_is_reached_and_not_written_to(tmp_path: Path) -> None:
    root, store = tmp_path / "project", tmp_path / "store"
    root.mkdir()
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "team", store], cwd=root, check=True)
    assert reach_remote(root, write=False) == f"team ({store})"
    assert not store.exists()
    subprocess.run(
        [sys.executable, "-m", "dvc", "remote", "modify", "-q", "team", "url", "ssh://nobody:pw@127.0.0.1:9/nowhere"],
        cwd=root,
        check=True,
    )
    with pytest.raises(FaceganError, match=r"team \(ssh://\*\*\*@127.0.0.1:9/nowhere\): .*9") as raised:
        reach_remote(root, write=False)
    assert "pw" not in str(raised.value)
