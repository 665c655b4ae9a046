"""A comparison as text, Markdown, CSV, JSON and a page."""

import base64
import csv
import io
import json
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from facegan.evaluation.comparison import error, incomparable, verdict
from facegan.evaluation.metrics import METRICS, known, rank, scores_of
from facegan.runs.revisions import Compared

MARKS = {"base": "base", "better": "better", "worse": "worse", "no difference": "≈"}

ABOUT = (
    "Each against the base, the first that has the score; ± is a standard error over the pictures, real is what real "
    "pictures read, ≈ is no difference beyond two errors."
)


def differing(runs: list[Compared]) -> list[list[str]]:
    """Parameters that are not the same in all: a row each, with a value for each run."""
    keys = sorted({key for run in runs for key in run.params})
    rows = [[key, *(run.params.get(key, "") for run in runs)] for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def judged(runs: list[Compared]) -> list[dict[str, Any]]:
    """Every score of every run against that of the first run that has it, with the verdict or why there is none."""
    rows = []
    found = [scores_of(run.report) for run in runs]
    for name in sorted({name for scores in found for name in scores}, key=lambda name: (rank(name), name)):
        base, of_base = next((run, scores[name]) for run, scores in zip(runs, found, strict=True) if name in scores)
        for run, scores in zip(runs, found, strict=True):
            if name not in scores:
                continue
            entry = scores[name]
            protocols = (each.report.get("protocol", {}) for each in (base, run))
            counts = of_base.get("n", 0), entry.get("n", 0)
            reason = None if run is base else incomparable(name, next(protocols), counts[0], next(protocols), counts[1])
            said = "base" if run is base else None if reason else verdict(name, of_base, entry)
            numbers = {key: entry.get(key) for key in ("value", "std", "at_n", "floor", "n")} | {"error": error(entry)}
            rows.append({"score": name, "run": run.name, "id": run.id, **numbers, "verdict": said, "refused": reason})
    return rows


def scores(runs: list[Compared]) -> list[list[str]]:
    """A row for each score, with a cell for each run."""
    found = {(row["score"], row["id"]): row for row in judged(runs)}
    names = dict.fromkeys(score for score, _ in found)
    return [[name, *(_cell(found.get((name, run.id))) for run in runs)] for name in names]


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["refused"]:
        return f"refused: {row['refused']}"
    value = row["value"] if row["at_n"] is None else row["at_n"]
    spread = f" ± {row['error']:.2g}" if row["error"] is not None else ""
    mark = MARKS[row["verdict"]]
    return f"{value:.4g}{spread} (real {row['floor']:.4g}) {mark}"


def columns(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def table(runs: list[Compared]) -> str:
    names = [run.name for run in runs]
    parts = (("parameters that differ", differing(runs)), ("scores", scores(runs)))
    return "\n\n".join([*(columns([title, *names], rows) for title, rows in parts), ABOUT])


def markdown(runs: list[Compared]) -> str:
    """For a pull request: no picture, as a comment cannot hold one."""
    lines = []
    for title, rows in (("parameter", differing(runs)), ("score", scores(runs))):
        named = [[_title(row[0]) if title == "score" else row[0], *row[1:]] for row in rows]
        lines += [_row([title, *(run.name for run in runs)]), _row(["---"] * (len(runs) + 1))]
        lines += [*(_row(row) for row in named), ""]
    lines.append(ABOUT)
    return "\n".join(lines) + "\n"


def _title(name: str) -> str:
    return f"{METRICS[known(name)].title} (`{name}`)" if known(name) in METRICS else f"`{name}`"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;") for cell in cells) + " |"


def _csv(runs: list[Compared]) -> str:
    content = io.StringIO()
    rows = judged(runs)
    fields = ["score", "run", "id", "value", "std", "at_n", "floor", "n", "error", "verdict", "refused"]
    writer = csv.DictWriter(content, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue()


def described(runs: list[Compared]) -> dict[str, Any]:
    """All that is compared, for a program."""
    about = [{"id": run.id, "name": run.name, "protocol": run.report.get("protocol")} for run in runs]
    params = {row[0]: dict(zip((run.id for run in runs), row[1:], strict=True)) for row in differing(runs)}
    return {"runs": about, "parameters": params, "scores": judged(runs)}


def _json(runs: list[Compared]) -> str:
    return json.dumps(described(runs), indent=2) + "\n"


def _page(runs: list[Compared]) -> str:
    environment = Environment(loader=PackageLoader(__package__, "pages"), autoescape=True, undefined=StrictUndefined)
    grids = [base64.b64encode(run.grid).decode() if run.grid else None for run in runs]
    sections = {"parameters that differ": differing(runs), "scores": scores(runs)}
    return environment.get_template("compare.html").render(runs=runs, sections=sections, grids=grids, about=ABOUT)


FORMATS: dict[str, Callable[[list[Compared]], str]] = {".html": _page, ".md": markdown, ".csv": _csv, ".json": _json}
