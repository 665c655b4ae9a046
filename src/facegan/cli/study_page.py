"""The table and the page of a study."""

import base64
import csv
import io
import statistics
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined

from facegan.cli.compare_formats import columns
from facegan.cli.study import Result
from facegan.files import write_atomic

matplotlib.use("Agg")
from matplotlib import pyplot

Results = dict[str, list[Result]]


def header(results: Results) -> list[str]:
    """Four columns for each feature space, then those of the training."""
    done = [run for runs in results.values() for run in runs if "scores" in run]
    spaces = [_names(report) for report in done[0]["scores"]] if done else []
    scores = [cell for frechet, kernel in spaces for cell in (frechet, "floor", "above floor", kernel)]
    return ["", *scores, "best at kimg", "images/s", "G parameters"]


def rows(results: Results) -> list[list[str]]:
    """A row a contender, the best first: means over seeds, with the standard deviation where there are several.

    ``above floor`` is how far the distance at the floor's count is above it, the first contender's as 1. The order is
    that of the last space.
    """
    width = len(header(results))
    found: list[tuple[float, list[str]]] = []
    first = [run for run in next(iter(results.values())) if "scores" in run]
    for name, runs in results.items():
        done = [run for run in runs if "scores" in run]
        if not done:
            found.append((float("inf"), [name, "diverged", *[""] * (width - 2)]))
            continue
        cells = [name if len(done) == len(runs) else f"{name} ({len(runs) - len(done)} of {len(runs)} diverged)"]
        for space in range(len(done[0]["scores"])):
            frechet, kernel = _names(done[0]["scores"][space])
            distances = [run["scores"][space][frechet]["value"] for run in done]
            base = _above_floor(first, space, frechet) if first else 0.0
            cells += [
                _spread(distances),
                f"{done[0]['scores'][space][frechet]['floor']:.3f}",
                f"{_above_floor(done, space, frechet) / base:.2f}" if base else "",
                _spread([1000 * run["scores"][space][kernel]["value"] for run in done]) + "e-3",
            ]
        cells += [
            f"{statistics.mean(run['best_images'] for run in done) / 1000:.0f}",
            f"{statistics.median(run['images_per_second'] for run in done):.0f}",
            f"{done[0]['parameters'] / 1e6:.2f} M",
        ]
        found.append((statistics.mean(distances), cells))
    return [cells for _, cells in sorted(found, key=lambda entry: entry[0])]


def table(results: Results) -> str:
    return columns(header(results), rows(results))


def write_page(folder: Path, results: Results, about: dict[str, str]) -> Path:
    """``index.html``, self-contained: the table, the score over images, the last grid of each contender's first run."""
    grids = {}
    for name, runs in results.items():
        pictures = sorted((folder / runs[0]["folder"] / "reports/samples").glob("*.png"))
        grids[name] = base64.b64encode(pictures[-1].read_bytes()).decode() if pictures else None
    environment = Environment(loader=PackageLoader("facegan.cli", "pages"), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("study.html").render(
        header=header(results), rows=rows(results), about=about, grids=grids, curves=_curves(folder, results)
    )
    write_atomic(folder / "index.html", page)
    return folder / "index.html"


def _names(report: dict[str, Any]) -> tuple[str, str]:
    """Of the Frechet and the kernel distance in a report."""
    (frechet,) = (name for name in report if name == "fid" or name.startswith("fd_"))
    (kernel,) = (name for name in report if name.startswith("kid"))
    return frechet, kernel


def _above_floor(done: list[Result], space: int, frechet: str) -> float:
    found = [run["scores"][space][frechet] for run in done]
    return float(statistics.mean(score["at_n"] - score["floor"] for score in found))


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} +- {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def _curves(folder: Path, results: Results) -> str:
    """The score that chooses the best weights, over the images shown, as a PNG in base64."""
    figure, axis = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for number, (name, runs) in enumerate(results.items()):
        for run in runs:
            history = folder / run["folder"] / "reports/history.csv"
            if not history.is_file():
                continue
            with history.open(newline="", encoding="utf-8") as file:
                scored = [row for row in csv.DictReader(file) if row["score"]]
            kimg = [int(row["images"]) / 1000 for row in scored]
            label = name if run is runs[0] else None
            axis.plot(kimg, [float(row["score"]) for row in scored], color=f"C{number % 10}", label=label, marker=".")
    axis.set_yscale("log")
    axis.set_xlabel("kimg")
    axis.set_ylabel("score while training")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower left", frameon=False, fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return base64.b64encode(content.getvalue()).decode()
