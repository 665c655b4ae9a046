"""`facegan compare`: what differs between runs, how they score, and their last grids side by side.

A run is a git revision, a DVC experiment, or one in MLflow (its id, its name, or a beginning of either). Each is held
against the first that has the score: better or worse when the difference is more than two standard errors, and refused
when its protocol is another.
"""

import argparse
from pathlib import Path

from facegan.errors import FaceganError
from facegan.files import write_atomic
from facegan.repository.project import Project
from facegan.repository.running import add_json, as_json
from facegan.runs.revisions import Compared, read_revision
from facegan.tracking.errors import mlflow_guarded


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
    add_json(parser)
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    from facegan.runs.formats import FORMATS, described, table

    paths = options.out or ([] if options.json else [Path("compare.html")])
    for path in paths:
        if path.suffix not in FORMATS:
            raise FaceganError(f"compare: --out {path}: should end in {', '.join(FORMATS)}")
    with as_json(options.json) as found:
        runs = _load(Project.find(), options.runs)
        print(table(runs))
        found |= described(runs)
        for path in paths:
            write_atomic(path, FORMATS[path.suffix](runs))
            print(path)


def _load(project: Project, wanted: list[str]) -> list[Compared]:
    """Those that are asked for, in that order; every run in MLflow when none is."""
    revisions = {name: read_revision(project, name) for name in wanted}  # git first: it needs no server
    if wanted and None not in revisions.values():
        return [run for run in revisions.values() if run is not None]
    with mlflow_guarded():
        return _with_tracked(project, wanted, revisions)


def _with_tracked(project: Project, wanted: list[str], revisions: dict[str, Compared | None]) -> list[Compared]:
    server = project.server()  # first: it quiets MLflow before the import
    from facegan.runs.tracked import TrackedRuns

    in_mlflow = TrackedRuns(server)
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
                else f"compare: {name!r} is not a run, experiment or revision; in MLflow there are {there or 'none'}"
            )
    return runs
