"""The figures and the page of an evaluation: real beside generated, the curves, the scores with their floors."""

import base64
import csv
import io
from pathlib import Path
from typing import Any

import matplotlib
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined

from facegan.evaluation.last import Last
from facegan.evaluation.metrics import metric, scores_of
from facegan.evaluation.sensitivity import CORRUPTIONS, sees
from facegan.evaluation.suite import GRID, Evaluation, Real
from facegan.exporting.model import judge_name
from facegan.files import write_atomic, write_json
from facegan.pictures import write_grid
from facegan.sizes import in_words, size_of

matplotlib.use("Agg")
from matplotlib import pyplot

GRIDS = 12  # of the training, on the page


def write_report(
    folder: Path, done: Evaluation, real: Real, training: Path, config: dict[str, Any], last: Last | None = None
) -> None:
    """``real.png``, ``generated.png``, ``curves.png``, one for each figure, and the self-contained ``index.html``.

    ``training`` holds the training's ``history.csv`` and ``samples``. Scores of classes are in ``classes.json`` too,
    those of the ``last`` weights in ``last.json`` with ``generated-last.png``, where they are others than the best.
    """
    report, manifest = done.report, real.manifest
    write_grid(folder / "real.png", torch.cat([real.train[:GRID], real.held_out[:GRID]])[:GRID])
    write_grid(folder / "generated.png", done.grid)
    for figure in done.figures:
        write_grid(folder / f"{figure.name}.png", figure.pictures, figure.columns)
    write_atomic(folder / "curves.png", _curves(training / "history.csv"))
    write_json(folder / "classes.json", done.classes)
    if last is not None:
        write_grid(folder / "generated-last.png", last.grid)
        write_json(folder / "last.json", last.told())
    pictures = {path.stem: _data_uri(path) for path in sorted(folder.glob("*.png"))}
    environment = Environment(
        loader=PackageLoader("facegan.evaluation", "pages"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("report.html").render(
        scores=[(name, metric(name), sees(name), score) for name, score in scores_of(report).items()],
        corruptions=CORRUPTIONS,
        warnings=report["warnings"],
        protocol=report["protocol"],
        figures=done.figures,
        classes=done.classes,
        judge=judge_name(config),
        disagreeing=last.beside(report) if last else [],
        pictures=pictures,
        grids=_grids(training / "samples", manifest["pictures"]["train"]),
        config=config,
        size=in_words(size_of(config)),
        manifest=manifest,
    )
    write_atomic(folder / "index.html", page)


def _grids(folder: Path, pictures: int) -> list[dict[str, str]]:
    """Sample grids evenly over the training, the first and the last among them."""
    paths = sorted(folder.glob("*.png"))
    last = len(paths) - 1
    chosen = sorted({round(place * last / (GRIDS - 1)) for place in range(GRIDS)}) if last > 0 else range(len(paths))
    grids = []
    for path in (paths[place] for place in chosen):
        images = int(path.stem)
        caption = f"{images / 1000:,.1f} kimg, {images / pictures:,.1f} epochs"
        grids.append({"caption": caption, "picture": _data_uri(path)})
    return grids


def _curves(history: Path) -> bytes:
    with history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kimg = [int(row["images"]) / 1000 for row in rows]
    figure, (losses, certainty, score) = pyplot.subplots(1, 3, figsize=(12, 3), layout="constrained")
    for axis, columns in (
        (losses, {"loss_generator": "generator", "loss_discriminator": "discriminator"}),
        (certainty, {"d_real": "D(real)", "d_fake": "D(fake)"}),
    ):
        for column, label in columns.items():
            axis.plot(kimg, [float(row[column]) for row in rows], label=label)
        axis.legend(frameon=False)
    scored = [(x, float(row["score"])) for x, row in zip(kimg, rows, strict=True) if row["score"]]
    score.plot(*zip(*scored, strict=True), marker=".")
    for axis, title in ((losses, "loss"), (certainty, "probability of being real"), (score, "score while training")):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("kimg")
        axis.spines[["top", "right"]].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return content.getvalue()


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
