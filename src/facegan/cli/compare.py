"""`facegan compare`: what differs between runs, how they score, and their last grids side by side."""

import argparse
import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from facegan.cli.project import Project
from facegan.errors import FaceganError
from facegan.files import write_atomic

# Numbers worth a row; what a step or a tick measured has charts in MLflow.
_NOT_SCORES = re.compile(
    "(step_|grad_|loss_|d_real|d_fake|data/|images_per_second|memory_mib|penalty)|.*(?<!_at)_n$|.*_subset_size$"
)


@dataclass(frozen=True)
class Compared:
    """A run as the comparison shows it; ``grid`` is the PNG of its last samples."""

    id: str
    name: str
    params: dict[str, str]
    scores: dict[str, float]
    grid: bytes | None


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("compare", help="compare runs in MLflow", description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="run ids, or beginnings of ids or names; default: all")
    parser.add_argument("--out", type=Path, default=Path("compare.html"), help="the page; default compare.html")
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    runs = _load(Project.find(), options.runs)
    sections = {"parameters that differ": _differing(runs), "scores": _scores(runs)}
    for title, rows in sections.items():
        print(columns([title, *(run.name for run in runs)], rows))
        print()
    write_atomic(options.out, _page(runs, sections))
    print(options.out)


def _load(project: Project, wanted: list[str]) -> list[Compared]:
    """The runs that are asked for, in that order; all of the experiment, the newest first, when none is."""
    server = project.server()  # first: it quiets MLflow before the import
    import mlflow

    from facegan.tracking.lineage import redact

    try:
        client = mlflow.MlflowClient(server.uri)
        experiment = client.get_experiment_by_name(server.experiment)
        found = list(client.search_runs([experiment.experiment_id], max_results=1000)) if experiment else []
        if not found:
            raise FaceganError(f"compare: experiment {server.experiment!r} holds no run yet; `dvc repro` makes one")
        return [_read(client, run) for run in ([_pick(found, name) for name in wanted] if wanted else found)]
    except FaceganError:
        raise
    except Exception as error:  # MLflow lets those of its database, of HTTP and of its stores through
        reason = (redact(str(error)).splitlines() or [type(error).__name__])[0]
        raise FaceganError(f"compare: MLflow does not answer: {reason}") from error


def _pick(runs: list[Any], wanted: str) -> Any:
    fits = [run for run in runs if wanted in (run.info.run_id, run.info.run_name)] or [
        run
        for run in runs
        if run.info.run_id.startswith(wanted)
        or run.info.run_name.startswith(wanted)
        or run.data.tags.get("facegan.lineage", "").startswith(wanted)
    ]
    if len(fits) == 1:
        return fits[0]
    names = ", ".join(f"{run.info.run_id[:8]} ({run.info.run_name})" for run in (fits or runs)[:10])
    raise FaceganError(f"compare: {wanted!r} fits {len(fits)} runs; " + ("they are " if fits else "there are ") + names)


def _read(client: Any, run: Any) -> Compared:
    scores = {key: value for key, value in run.data.metrics.items() if not _NOT_SCORES.match(key)}
    grids = {
        int(entry.path.split("+step+")[1].split("+")[0]): entry.path
        for entry in client.list_artifacts(run.info.run_id, "images")
        if entry.path.startswith("images/samples+step+") and entry.path.endswith(".png")
    }
    grid = None
    if grids:
        grid = Path(client.download_artifacts(run.info.run_id, grids[max(grids)])).read_bytes()
    status = "" if run.info.status == "FINISHED" else f" ({run.info.status.lower()})"
    return Compared(run.info.run_id, run.info.run_name + status, dict(run.data.params), scores, grid)


def _differing(runs: list[Compared]) -> list[list[str]]:
    keys = sorted({key for run in runs for key in run.params})
    rows = [[key, *(run.params.get(key, "") for run in runs)] for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def _scores(runs: list[Compared]) -> list[list[str]]:
    keys = sorted({key for run in runs for key in run.scores})
    return [[key, *(f"{run.scores[key]:.5g}" if key in run.scores else "" for run in runs)] for key in keys]


def columns(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def _page(runs: list[Compared], sections: dict[str, list[list[str]]]) -> str:
    environment = Environment(loader=PackageLoader("facegan.cli", "pages"), autoescape=True, undefined=StrictUndefined)
    grids = [base64.b64encode(run.grid).decode() if run.grid else None for run in runs]
    return environment.get_template("compare.html").render(runs=runs, sections=sections, grids=grids)
