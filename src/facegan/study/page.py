"""The table and the page of a study."""

import base64
import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined

from facegan.evaluation.comparison import at_its_floor
from facegan.evaluation.metrics import known, rank, scores_of
from facegan.files import write_atomic
from facegan.runs.formats import columns
from facegan.study.results import GIVEN_UP, LASTING, Result, Trial, entry
from facegan.study.search import CONTENDER, importances
from facegan.study.space import label
from facegan.study.trials import Study

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, ScalarFormatter

GRIDS = 24  # pictures on a page that opens quickly
BESIDE = ("kid", "memorization")  # shown next to the score that decides
SEVERAL = 10  # curves with a name each; more differ by colour alone
BEST, OTHER = "#c2410c", "#64748b"


def header(study: Study) -> list[str]:
    beside = _beside(study)
    parameters = [dimension.key for dimension in study.space.dimensions]
    about = ["best at kimg", "images/s", "G parameters"]
    recipe = [CONTENDER] if _several(study) else []
    return ["trial", "experiment", *recipe, *parameters, study.score, "floor", "above floor", *beside, *about]


def rows(study: Study) -> list[list[str]]:
    """A row a trial, the best first: means over seeds, with the standard deviation where there are several.

    ``above floor`` is how far the distance at the floor's count is above it, the first trial's as 1.
    """
    found: list[list[str]] = []
    width, beside = len(header(study)), _beside(study)
    base = _above_floor(study.done[0], study.score) if study.done else 0.0
    for trial in ordered(study):
        setting, runs = trial.tried.setting, trial.runs
        recipe = [setting.contender.name] if _several(study) else []
        names = " ".join(run["experiment"] for run in runs)
        cells = [str(trial.number + 1), names, *recipe, *map(label, setting.values.values())]
        if trial.tried.state != "done":
            found.append([*cells, _ended(trial), *[""] * (width - len(cells) - 1)])
            continue
        entries = [entry(run, study.score) for run in runs]
        reason = study.refused(trial)
        share = f"{_above_floor(trial, study.score) / base:.2f}" if base else ""
        cells += [
            _spread([at_its_floor(each) for each in entries]),
            f"{entries[0]['floor']:.3f}",
            f"not comparable: {reason}" if reason else share,
            *(_spread([scores_of(run["report"])[name]["value"] for run in runs]) for name in beside),
            f"{statistics.mean(run['best_images'] for run in runs) / 1000:.4g}",
            _rate(runs),
            f"{runs[0]['parameters'] / 1e6:.2f} M",
        ]
        found.append(cells)
    return found


def ordered(study: Study) -> list[Trial]:
    """Those with a score, the best first; then those with one of another kind, then the others."""
    done = sorted(study.done, key=lambda trial: (trial.tried.value, trial.number))
    others = [trial for trial in study.trials if trial not in done]
    return done + sorted(others, key=lambda trial: trial.tried.state != "done")


def table(study: Study) -> str:
    several = "; ± is the standard deviation over trainings" if study.plan.seeds > 1 else ""
    about = "floor: real pictures against others of them; above floor: the distance above it, the first trial's as 1"
    return f"{columns(header(study), rows(study))}\n{about}{several}"


def verdict(study: Study) -> str:
    """Which is best and how sure that is, and how to go on with it."""
    best = study.best
    assert best is not None
    name = best.runs[0]["experiment"]
    several = "over trainings" if len(best.runs) > 1 else "over pictures; other seeds may differ more"
    like = ", ".join(str(trial.number + 1) for trial in study.rivals)
    lines = [f"Best: trial {best.number + 1}, {best.name}"]
    if like:
        lines.append(f"Not told apart from it by two standard errors ({several}): {like}")
    lines.append(
        f"`dvc exp apply {name}` puts it into the workspace, params.yaml with its length and all: commit yours before"
    )
    return "\n".join(lines)


def write_page(study: Study, command: str = "") -> Path:
    """``index.html``, self-contained: the table, what mattered, the scores over images, the last grids."""
    done = study.done
    shown = [trial for trial in ordered(study) if _grid(study, trial)][:GRIDS]
    shares = importances(study.space, [trial.tried for trial in done])
    environment = Environment(
        loader=PackageLoader("facegan.study", "pages"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("study.html").render(
        title=f"Study of {len(study.trials)} {'trial' if len(study.trials) == 1 else 'trials'}",
        header=header(study),
        rows=rows(study),
        about={**_about(study), **({"made by": command} if command else {})},
        verdict=verdict(study).splitlines() if study.best else [],
        shares=_bars(shares) if shares else None,
        slices=_slices(study, list(shares)) if study.space.dimensions and done else None,
        progress=_progress(study) if len(done) > 1 and study.space.dimensions else None,
        curves=_curves(study) if done else None,
        grids=[(trial, _grid(study, trial)) for trial in shown],
        left_out=sum(_grid(study, trial) is not None for trial in study.trials) - len(shown),
        score=study.score,
    )
    write_atomic(study.out / "index.html", page)
    return study.out / "index.html"


def _about(study: Study) -> dict[str, str]:
    """What a reader of the table must know."""
    plan = study.plan
    recipes = {} if _several(study) else {CONTENDER: study.space.contenders[0].name}
    about = {**recipes, "images shown to each": f"{plan.images:,}", "trainings of each": str(plan.seeds)}
    if study.space.dimensions:
        given_up = sum(trial.ended is not None and trial.ended["ended"] == GIVEN_UP for trial in study.trials)
        pruned = f"; {given_up} given up, behind the median of the others" if plan.prune else ""
        about["sampler"] = plan.sampler + pruned
        about["searched"] = "; ".join(
            f"{d.key}: {', '.join(map(label, d.choices))}"
            if d.choices
            else f"{d.key}: {d.low:g} to {d.high:g}{', log' if d.log else ''}"
            for d in study.space.dimensions
        )
    if study.done:
        n = entry(study.done[0].runs[0], study.score)["n"]
        about["scored"] = f"by {study.score}, {n:,} generated a side against all real pictures"
    return about


def _several(study: Study) -> bool:
    """Whether a trial's recipe must be told: else all have one, and parameters that set them apart."""
    return len(study.space.contenders) > 1 or not study.space.dimensions


def _beside(study: Study) -> list[str]:
    """Scores that every trial has, shown next to the one that decides."""
    reports = [scores_of(run["report"]) for trial in study.trials for run in trial.runs]
    common = set.intersection(*map(set, reports)) if reports else set()
    return sorted((name for name in common if known(name) in BESIDE and name != study.score), key=rank)


def _ended(trial: Trial) -> str:
    """How a trial without a score came to its end."""
    if trial.ended is None:
        return "not done"
    if trial.ended["ended"] == GIVEN_UP:
        return f"given up at {trial.ended['images'] / 1000:g} kimg"
    return str(trial.ended["ended"]) + (f": {trial.ended['reason']}" if trial.ended["ended"] not in LASTING else "")


def _above_floor(trial: Trial, score: str) -> float:
    return trial.mean(score) - float(statistics.mean(entry(run, score)["floor"] for run in trial.runs))


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.4g}"
    return f"{mean} ± {statistics.stdev(values):.2g}" if len(values) > 1 else mean


def _rate(runs: Sequence[Result]) -> str:
    rates = [run["images_per_second"] for run in runs if run["images_per_second"]]
    return f"{statistics.median(rates):.0f}" if rates else ""


def _grid(study: Study, trial: Trial) -> str | None:
    """The last samples of its first training, in base64."""
    path = study.out / f"{trial.runs[0]['key']}.png" if trial.runs else None
    return base64.b64encode(path.read_bytes()).decode() if path and path.is_file() else None


def _bars(shares: dict[str, float]) -> str:
    figure, axis = pyplot.subplots(figsize=(8, 0.6 + 0.4 * len(shares)), layout="constrained")
    names = list(shares)[::-1]
    bars = axis.barh(names, [shares[name] for name in names], color=OTHER)
    axis.bar_label(bars, [f" {shares[name]:.0%}" for name in names])
    axis.set_xlim(0, 1.1)
    axis.xaxis.set_visible(False)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    return _png(figure)


def _slices(study: Study, order: list[str]) -> str:
    """The score over each parameter's values, a point a trial; the most important parameter first."""
    dimensions = {dimension.key: dimension for dimension in study.space.dimensions}
    keys = [CONTENDER] if len(study.space.contenders) > 1 else []
    keys = sorted([*keys, *dimensions], key=lambda key: order.index(key) if key in order else len(order))
    wide = min(3, len(keys))
    figure, axes = pyplot.subplots(
        -(-len(keys) // wide), wide, figsize=(4.2 * wide, 3.2 * -(-len(keys) // wide)), squeeze=False, sharey=True,
        layout="constrained",
    )  # fmt: skip
    done = study.done
    for axis, key in zip(axes.flat, keys, strict=False):
        dimension = dimensions.get(key)
        choices = dimension.choices if dimension else tuple(study.space.by_name)
        values = [
            trial.tried.setting.values[key] if dimension else trial.tried.setting.contender.name for trial in done
        ]
        if choices:
            axis.set_xticks(range(len(choices)), [_short(label(choice)) for choice in choices], rotation=20, ha="right")
            values = [choices.index(value) for value in values]
            axis.set_xlim(-0.5, len(choices) - 0.5)
        elif dimension and dimension.log:
            axis.set_xscale("log")
        _points(study, axis, values, done)
        axis.set_xlabel(key)
    for axis in axes[:, 0]:
        axis.set_ylabel(study.score)
    for axis in list(axes.flat)[len(keys) :]:
        axis.set_visible(False)
    return _png(figure)


def _progress(study: Study) -> str:
    """The score of each trial, and the best so far."""
    figure, axis = pyplot.subplots(figsize=(8, 3), layout="constrained")
    done = study.done
    numbers = [trial.number + 1 for trial in done]
    _points(study, axis, numbers, done)
    best = [min(done[: place + 1], key=lambda trial: trial.tried.value or 0.0) for place in range(len(done))]
    axis.step(numbers, [trial.mean(study.score) for trial in best], where="post", color=BEST, label="best so far")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("trial")
    axis.set_ylabel(study.score)
    axis.legend(frameon=False)
    return _png(figure)


def _points(study: Study, axis: Axes, places: list[Any], trials: list[Trial]) -> None:
    colors = [BEST if trial is study.best else OTHER for trial in trials]
    axis.scatter(places, [trial.mean(study.score) for trial in trials], c=colors, s=28)
    axis.spines[["top", "right"]].set_visible(False)
    _log(axis, [trial.mean(study.score) for trial in trials])


def _log(axis: Axes, values: list[float]) -> None:
    """Make room for small scores beside large ones, with plain numbers at the axis."""
    if min(values) <= 0 or max(values) < 5 * min(values):
        return
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter() if max(values) > 10 * min(values) else ScalarFormatter())


def _curves(study: Study) -> str:
    """The score that chooses the best weights, over the images shown: a line for each training."""
    figure, axis = pyplot.subplots(figsize=(9, 5), layout="constrained")
    trials = [trial for trial in ordered(study) if trial.runs]
    scores: list[float] = []
    for place, trial in enumerate(trials):
        color = f"C{place}" if len(trials) <= SEVERAL else BEST if place == 0 else OTHER
        for run in trial.runs:
            with (study.out / f"{run['key']}.csv").open(newline="", encoding="utf-8") as file:
                scored = [row for row in csv.DictReader(file) if row["score"]]
            scores += [float(row["score"]) for row in scored]
            name = f"{trial.number + 1}: {_short(trial.name, 70)}"
            axis.plot(
                [int(row["images"]) / 1000 for row in scored],
                [float(row["score"]) for row in scored],
                color=color,
                alpha=1.0 if len(trials) <= SEVERAL or place == 0 else 0.4,
                label=name if run is trial.runs[0] and (len(trials) <= SEVERAL or place == 0) else None,
                marker=".",
            )
    _log(axis, scores)
    axis.set_xlabel("kimg")
    axis.set_ylabel("score while training")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower left", frameon=False, fontsize=8)
    return _png(figure)


def _short(text: str, length: int = 24) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _png(figure: Any) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return base64.b64encode(content.getvalue()).decode()
