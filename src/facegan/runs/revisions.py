"""Runs as git and DVC have them: the parameters, scores and pictures of a revision or an experiment."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facegan.errors import FaceganError
from facegan.files import read_json
from facegan.params_yaml import flatten
from facegan.repository.project import REPORTS, Project
from facegan.repository.tools import committed, try_git
from facegan.strict_yaml import read_yaml


@dataclass(frozen=True)
class Compared:
    """A run as the comparison shows it: its ``report`` is that of `evaluate`, ``grid`` the PNG of its last samples."""

    id: str
    name: str
    params: dict[str, str]
    report: dict[str, Any] = field(default_factory=dict)
    grid: bytes | None = None


def read_revision(project: Project, name: str) -> Compared | None:
    """The run that was committed at a revision, or that a DVC experiment made; None when git knows no such name.

    Raises FaceganError for a revision without parameters or scores.
    """
    revision = _commit(project.root, name) or _experiment(project.root, name)
    if revision is None:
        return None
    params = read_yaml(_file(project.root, revision, name, "params.yaml"), f"params.yaml of {name}")
    report: dict[str, Any] = json.loads(_file(project.root, revision, name, str(REPORTS / "evaluate.json")))
    params.pop("promotion", None)  # no part of a run
    values = {key: str(value) for key, value in flatten(params).items()}
    return Compared(revision, name, values, report, _picture(project.root, revision))


def read_workspace(project: Project, name: str) -> Compared:
    """The run of the outputs as they lie here. Raises FaceganError without scores."""
    try:
        report = read_json(project.root / REPORTS / "evaluate.json")
    except OSError as error:
        raise FaceganError(f"{REPORTS}/evaluate.json is not here; `dvc repro` makes it") from error
    values = {key: str(value) for key, value in flatten(project.params().of_run()).items()}
    picture = project.root / REPORTS / "evaluate/generated.png"
    return Compared("workspace", name, values, report, picture.read_bytes() if picture.is_file() else None)


def _commit(root: Path, name: str) -> str | None:
    found = try_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return found or None


def _experiment(root: Path, name: str) -> str | None:
    """DVC keeps each experiment as ``refs/exps/<two>/<rest of its baseline>/<name>``."""
    fitting = []
    for line in try_git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        commit, reference = line.split(" ", 1)
        if reference.count("/") >= 4 and reference.rsplit("/", 1)[1] == name:
            fitting.append(commit)
    if len(fitting) > 1:
        there = ", ".join(commit[:8] for commit in fitting)
        raise FaceganError(f"compare: {len(fitting)} experiments are called {name!r}; name one by its commit: {there}")
    return fitting[0] if fitting else None


def _file(root: Path, revision: str, name: str, path: str) -> str:
    content = committed(root, revision, path)
    if not content:
        raise FaceganError(f"compare: {name} holds no {path}; commit it after `dvc repro`")
    return content


def _picture(root: Path, revision: str) -> bytes | None:
    """Generated pictures, where DVC's cache or a remote of it has them."""
    import dvc.api

    try:
        found = dvc.api.read(str(REPORTS / "evaluate/generated.png"), repo=str(root), rev=revision, mode="rb")
    except Exception:  # not pulled, or no such output: DVC has many names for it
        return None
    return bytes(found)
