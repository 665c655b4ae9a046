"""`facegan compare`: what differs between runs, how they score, and their last grids side by side.

A run is a git revision, a DVC experiment, or one in MLflow (its id, its name, or a beginning of either). Each is held
against the first that has the score: better or worse when the difference is more than two standard errors, and refused
when its protocol is another.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facegan.cli.project import Project
from facegan.errors import FaceganError
from facegan.files import write_atomic
from facegan.tracking.errors import one_line

REPORT = "metrics/evaluate.json"


@dataclass(frozen=True)
class Compared:
    """A run as the comparison shows it: its ``report`` is that of `evaluate`, ``grid`` the PNG of its last samples."""

    id: str
    name: str
    params: dict[str, str]
    report: dict[str, Any] = field(default_factory=dict)
    grid: bytes | None = None


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "compare",
        help="compare runs, experiments and revisions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="default: every run in MLflow, the oldest first")
    parser.add_argument(
        "--out",
        type=Path,
        action="append",
        help="write it there too: .html, .md, .csv or .json; may be repeated; default compare.html",
    )
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    from facegan.cli.compare_formats import FORMATS, table

    paths = options.out or [Path("compare.html")]
    for path in paths:
        if path.suffix not in FORMATS:
            raise FaceganError(f"compare: --out {path}: should end in {', '.join(FORMATS)}")
    runs = _load(Project.find(), options.runs)
    print(table(runs))
    for path in paths:
        write_atomic(path, FORMATS[path.suffix](runs))
        print(path)


def _load(project: Project, wanted: list[str]) -> list[Compared]:
    """Those that are asked for, in that order; every run in MLflow when none is."""
    from facegan.cli.revisions import read_revision

    revisions = {name: read_revision(project, name) for name in wanted}  # git first: it needs no server
    if wanted and None not in revisions.values():
        return [run for run in revisions.values() if run is not None]
    in_mlflow = _Runs(project)
    if not wanted:
        found = in_mlflow.all()
        if not found:
            raise FaceganError(f"compare: experiment {in_mlflow.experiment!r} holds no run yet; `dvc repro` makes one")
        return [in_mlflow.read(run) for run in reversed(found)]
    runs = []
    for name in wanted:
        if (revision := revisions[name]) is not None:
            runs.append(revision)
            continue
        fits = in_mlflow.fitting(name)
        if len(fits) == 1:
            runs.append(in_mlflow.read(fits[0]))
        else:
            there = ", ".join(f"{run.info.run_id[:8]} ({run.info.run_name})" for run in (fits or in_mlflow.all())[:10])
            raise FaceganError(
                f"compare: {name!r} fits {len(fits)} runs; they are {there}"
                if fits
                else f"compare: {name!r} is no run, experiment or git revision; in MLflow there are {there or 'none'}"
            )
    return runs


class _Runs:
    """Those of the experiment in MLflow; whatever MLflow raises becomes one line."""

    def __init__(self, project: Project) -> None:
        server = project.server()  # first: it quiets MLflow before the import
        import mlflow

        self.experiment = server.experiment
        with server.locked():  # a new database is made by one process
            self._client = self._asked(lambda: mlflow.MlflowClient(server.uri))
        self._found: list[Any] | None = None

    def all(self) -> list[Any]:
        if self._found is None:
            experiment = self._asked(lambda: self._client.get_experiment_by_name(self.experiment))
            found = (
                self._asked(lambda: self._client.search_runs([experiment.experiment_id], max_results=1000))
                if experiment
                else []
            )
            self._found = [run for run in found if "facegan.study" not in run.data.tags]  # that one has no outputs
        return self._found

    def fitting(self, wanted: str) -> list[Any]:
        """By id or name; else by the beginning of an id, a name or a lineage, of four letters or more as in git."""
        return [run for run in self.all() if wanted in (run.info.run_id, run.info.run_name)] or [
            run
            for run in self.all()
            if len(wanted) >= 4
            and any(
                text.startswith(wanted)
                for text in (run.info.run_id, run.info.run_name, run.data.tags.get("facegan.lineage", ""))
            )
        ]

    def read(self, run: Any) -> Compared:
        read: Compared = self._asked(lambda: self._read(run))
        return read

    def _read(self, run: Any) -> Compared:
        identity = run.info.run_id
        grids = {
            int(entry.path.split("+step+")[1].split("+")[0]): entry.path
            for entry in self._client.list_artifacts(identity, "images")
            if entry.path.startswith("images/samples+step+") and entry.path.endswith(".png")
        }
        grid = self._artifact(identity, grids[max(grids)]) if grids else None
        scored = [entry.path for entry in self._client.list_artifacts(identity, "metrics")]
        report = json.loads(self._artifact(identity, REPORT)) if REPORT in scored else {}
        status = "" if run.info.status == "FINISHED" else f" ({run.info.status.lower()})"
        return Compared(identity, run.info.run_name + status, dict(run.data.params), report, grid)

    def _artifact(self, run: str, path: str) -> bytes:
        return Path(self._client.download_artifacts(run, path)).read_bytes()

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:  # MLflow lets those of its database, of HTTP and of its stores through
            raise FaceganError(f"compare: MLflow does not answer: {one_line(error)}") from error
