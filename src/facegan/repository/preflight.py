"""What hours of work will need at their end, tried before they begin."""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from facegan.errors import FaceganError
from facegan.repository.project import Project
from facegan.repository.publish import is_run
from facegan.repository.tools import git, try_git
from facegan.tracking.errors import one_line, redact


def branch_to_push(root: Path) -> str:
    """The branch that a run goes to. Raises FaceganError where it could not be pushed.

    HEAD has to be what origin's branch is, so that nothing but the run is pushed: one commit of an earlier start, which
    changed nothing but ``dvc.lock``, reports and parameters, may lie on it.
    """
    branch = try_git(root, "symbolic-ref", "--short", "-q", "HEAD") or os.environ.get("FACEGAN_BRANCH", "")
    if not branch:
        raise FaceganError("--push needs a branch; HEAD is detached, and FACEGAN_BRANCH names none")
    git(root, "var", "GIT_COMMITTER_IDENT")  # it says how to set a name and an address
    there = git(root, "ls-remote", "origin", f"refs/heads/{branch}").partition("\t")[0]
    head = git(root, "rev-parse", "HEAD")
    if there and head != there and not (is_run(root) and try_git(root, "rev-parse", "HEAD~1") == there):
        ahead = try_git(root, "rev-list", "--count", f"{there}..HEAD")
        how = f"has commits that origin lacks ({ahead}): push" if ahead not in ("", "0") else "is behind: pull"
        raise FaceganError(
            f"--push would push more than the run, or less: HEAD is not origin's {branch}, it {how} first"
        )
    if not there and try_git(root, "rev-list", "--max-count=1", "HEAD", "--not", "--remotes=origin"):
        raise FaceganError(f"--push pushes the run and no other commit: push {branch} to origin first")
    git(root, "push", "--quiet", "--dry-run", "origin", f"HEAD:refs/heads/{branch}")
    return branch


def reach_remote(home: Path, write: bool) -> str | None:
    """Connect to DVC's default remote; with ``write``, write an empty file there and delete it.

    Gives the remote's name and URL, or None without one. Raises FaceganError.
    """
    from dvc.repo import Repo

    with Repo(str(home)) as repo:
        name = repo.config["core"].get("remote")
        if not name:
            return None
        named = f"{name} ({redact(str(repo.config['remote'][name].get('url', '')))})"
        try:
            store = repo.cloud.get_remote_odb(name)
            files = store.fs
            probe = files.join(store.path, f".facegan-{uuid4().hex}")
            if write:
                files.makedirs(store.path, exist_ok=True)
                files.pipe_file(probe, b"")
                files.rm_file(probe)
            else:
                with suppress(PermissionError):  # to list is another right than to read
                    files.exists(probe)
        except Exception as error:  # each kind of remote has its own
            raise FaceganError(f"{named}: {one_line(error)}") from error
        return named


def reach_mlflow(project: Project) -> None:
    """Write to the experiments of runs and of decisions, made where they are missing. Raises whatever MLflow raises."""
    registry = project.registry()
    registry.try_to_write()
