"""`facegan study`: train recipes on the same pictures for the same number of images, and say which is best.

Needs the shards of `dvc repro preprocess`, and DVC no further. Scores are those of the random network and, if that is
another, of `evaluate.extractor` in params.yaml. It goes on where it was stopped.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegan.cli.project import Project
from facegan.errors import FaceganError
from facegan.params import Params, Schedule
from facegan.params_yaml import flatten, validate_params

Result = dict[str, Any]  # of one training, as its result.json holds it


@dataclass(frozen=True)
class Contender:
    """A recipe with changes, and its name in the table: without the changes that all have."""

    name: str
    params: Params


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("study", help="compare recipes by training them side by side", description=__doc__)
    parser.add_argument(
        "contenders",
        nargs="+",
        metavar="RECIPE",
        help="a recipe, or one with changes: conv-64:train.batch=64,model.generator.upsample=resize",
    )
    parser.add_argument("--images", type=int, required=True, help="images shown to each, such as 200000")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each, for the spread; default 1")
    parser.add_argument("--pictures", type=int, help="train on this many of the pictures only")
    parser.add_argument("--generated", type=int, default=5000, help="pictures to score; default 5000")
    parser.add_argument(
        "--out", type=Path, default=Path("study"), help="folder of the runs and the page; default study"
    )
    parser.set_defaults(run=_study)


def _study(options: argparse.Namespace) -> None:
    project = Project.find()
    for name in ("images", "seeds", "pictures", "generated"):
        if (value := getattr(options, name)) is not None and value < (2 if name in ("pictures", "generated") else 1):
            raise FaceganError(f"study: --{name}: {value} is too few")
    named = _short(list(dict.fromkeys(options.contenders)))
    contenders = [Contender(name, _params(project, text, options.images)) for text, name in named.items()]

    from facegan.cli.study_page import table, write_page
    from facegan.cli.study_run import Bench

    bench = Bench(project, options.out, options.pictures, options.generated)
    for contender in contenders:
        bench.labels(contender.params)  # before any of them trains for hours
    results: dict[str, list[Result]] = {contender.name: [] for contender in contenders}
    for seed in range(1, options.seeds + 1):  # every contender once before any twice
        for contender in contenders:
            results[contender.name].append(bench.result(contender.name, contender.params, seed))
    print("\n" + table(results))
    print(write_page(options.out, results, {"asked for": " ".join(options.contenders), **bench.about(options.images)}))


def _short(texts: list[str]) -> dict[str, str]:
    """A name for each contender: its recipe and those of its changes that not every contender has."""
    parts = {text: (text.partition(":")[0], text.partition(":")[2].split(",")) for text in texts}
    common = set.intersection(*(set(changes) for _, changes in parts.values())) if len(texts) > 1 else set()
    names = {}
    for text, (recipe, changes) in parts.items():
        own = ",".join(change for change in changes if change and change not in common)
        names[text] = f"{recipe}:{own}" if own else recipe
    return names


def _params(project: Project, text: str, images: int) -> Params:
    """Of a recipe by name, with changes, as long as ``images``. Raises FaceganError."""
    from facegan.cli.recipe import recipe
    from facegan.cli.yaml_file import text as yaml_of
    from facegan.strict_yaml import read_yaml

    name, _, changes = text.partition(":")
    values = read_yaml(yaml_of(recipe(project.root, name)), name)
    known = flatten(values)
    for change in changes.split(",") if changes else []:
        key, equals, value = change.partition("=")
        if not equals or key not in known:
            raise FaceganError(f"study: {text}: {change!r} should be key=value with a key of params.yaml")
        *blocks, last = key.split(".")
        block = values
        for part in blocks:
            block = block[part]
        block[last] = read_yaml(value, f"study: {key}")
    return _as_long(validate_params(values, f"study: {text}"), images)


def _as_long(params: Params, images: int) -> Params:
    """``images`` long, with twenty ticks and ten scores; schedules keep their share of a training in kimg."""
    train = params.train
    number, unit = train.duration.split()
    changes: dict[str, Any] = {"duration": f"{images / 1000:.6f} kimg"}
    for key, value in train:
        if isinstance(value, Schedule) and value.over.endswith("kimg") and unit == "kimg":
            over = float(value.over.split()[0]) * images / (float(number) * 1000)
            changes[key] = value.model_copy(update={"over": f"{over:.6f} kimg"})
    changes |= {"tick": f"{images / 20_000:.6f} kimg", "evaluate_every": f"{images / 10_000:.6f} kimg"}
    return params.model_copy(update={"train": train.model_copy(update=changes)})
