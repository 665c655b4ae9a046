"""`facegan study`: train recipes, or look among parameters, and say which is best and what mattered.

Every training shows the same number of images, is a DVC experiment of the project, and stands in MLflow under the run
of the study. Without --search the recipes are compared; with it, each trial is a recipe with one value for each
parameter that is searched, chosen by a sampler. Stopped, the same command resumes it.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from facegan.errors import FaceganError
from facegan.repository.project import Project
from facegan.repository.running import alone

if TYPE_CHECKING:  # torch, MLflow and Optuna take seconds to import
    from facegan.study.cluster import Cluster
    from facegan.study.executor import Here
    from facegan.study.results import Plan
    from facegan.study.search import Sampler
    from facegan.study.space import Space

EXAMPLES = """
  facegan study conv-64 base:model.generator.upsample=resize --images 200000 --seeds 3
  facegan study params.yaml --search train.lr_generator=1e-5..1e-3:log --search train.batch=16,32,64 \\
      --trials 30 --images 50000
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "study",
        help="compare recipes, or search over parameters, by training them side by side",
        description=__doc__ + EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "contenders",
        nargs="*",
        default=["params.yaml"],
        metavar="RECIPE",
        help="model and training of a recipe, or of params.yaml (the default); the rest is as params.yaml has it. "
        "With changes: conv-64:train.batch=64,model.generator.upsample=resize",
    )
    parser.add_argument(
        "--images",
        type=int,
        required=True,
        help="images shown to each, such as 200000: sets train.duration, .tick and .evaluate_every",
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each, for the spread; default 1")
    parser.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="KEY=VALUES",
        help="a parameter to look among: KEY=a,b,c or KEY=low..high or KEY=low..high:log; may be repeated",
    )
    parser.add_argument(
        "--sampler",
        choices=("grid", "random", "tpe"),
        help="grid: every combination (the default without --trials); random; tpe: near what was good (the default "
        "with --trials)",
    )
    parser.add_argument(
        "--trials", type=int, help="settings to try, the first ten at random; a higher number adds to it"
    )
    parser.add_argument(
        "--prune",
        action=argparse.BooleanOptionalAction,
        help="give up trainings whose score while training is behind the median of the others; default with tpe",
    )
    parser.add_argument(
        "--devices", help="such as cuda:0,cuda:1: a training on each at once; default every GPU, or the CPU"
    )
    parser.add_argument(
        "--on",
        metavar="ADDRESS",
        help="a Ray cluster to train on, such as ray://host:10001: a training on each GPU of its nodes, which have "
        "this environment; pictures and models go through DVC's remote, rows to the MLflow server. Needs facegan[ray]",
    )
    parser.add_argument(
        "--state",
        type=Path,
        help="with --on: a folder that all nodes see, from which a training resumes that was stopped or lost its node",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("study"),
        help="folder of the page and results; default study, where the next study replaces the page",
    )
    parser.set_defaults(run=_study)


def _study(options: argparse.Namespace) -> None:
    from facegan.study.space import read_space
    from facegan.tracking.errors import mlflow_guarded

    project = Project.find()
    if options.out.exists() and not options.out.is_dir():
        raise FaceganError(f"study: --out {options.out}: not a folder")
    for name in ("images", "seeds", "trials"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise FaceganError(f"study: --{name}: {value} is too few")
    space = read_space(project.root, options.contenders, options.search, options.images)
    plan = _plan(space, options)
    machines = _machines(options, project)
    with (
        alone(options.out / "lock", f"study: another study is at work in {options.out}"),
        mlflow_guarded("what is trained is kept: rerun the command to resume"),
    ):
        from facegan.study.page import table, verdict, write_page
        from facegan.study.trials import Study

        study = Study(project, space, plan, machines, options.out)
        try:
            study.run()
        finally:
            page = write_page(study, shlex.join(["facegan", *sys.argv[1:]]))
            study.end([page])
            print("\n" + table(study))
            if study.best is not None:
                print("\n" + verdict(study))
            print(page)
    if study.failed:
        last = study.failed[-1].ended or {}
        raise FaceganError(
            f"study: {len(study.failed)} failed and are tried again by the same command: {last['reason']}"
        )


def _plan(space: "Space", options: argparse.Namespace) -> "Plan":
    """Raises FaceganError when the sampler and the space do not go together."""
    from facegan.study.results import Plan

    sampler: Sampler = options.sampler or ("tpe" if options.trials and space.dimensions else "grid")
    if options.trials and not space.dimensions:
        raise FaceganError("study: --trials needs a --search")
    if sampler == "grid":
        every = len(space.grid())
        trials = min(options.trials or every, every)
    elif not space.dimensions:
        raise FaceganError(f"study: --sampler {sampler} needs a --search")
    elif not options.trials:
        raise FaceganError(f"study: --sampler {sampler} needs --trials")
    else:
        trials = options.trials
    elsewhere = [one.key for one in space.dimensions if one.key.partition(".")[0] in ("data", "preprocess", "evaluate")]
    if sampler == "tpe" and elsewhere:
        raise FaceganError(
            f"study: --sampler tpe: scores with another {elsewhere[0]} cannot be set against each other; "
            "--sampler grid lists them side by side"
        )
    prune = sampler == "tpe" if options.prune is None else options.prune
    judges = {json.dumps(contender.document["train"]["judge"]) for contender in space.contenders}
    if prune and (len(judges) > 1 or any(one.key.startswith("train.judge") for one in space.dimensions)):
        raise FaceganError(
            "study: pruning compares scores, and those of different train.judge cannot be compared; add --no-prune"
        )
    return Plan(sampler, trials, options.seeds, options.images, prune)


def _machines(options: argparse.Namespace, project: Project) -> "Here | Cluster":
    """Where to train. Raises FaceganError for what is not there."""
    if options.on is None:
        if options.state:
            raise FaceganError("study: --state goes with --on")
        from facegan.study.executor import Here

        return Here(_devices(options.devices))
    if options.devices:
        raise FaceganError("study: --devices are those of this machine; with --on, every GPU of the cluster is used")
    from facegan.study.cluster import Cluster

    return Cluster(options.on, options.state, project)


def _devices(given: str | None) -> list[str]:
    """Those to train on. Raises FaceganError for one that is not there."""
    import torch

    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    here = ["cpu", *gpus, *(["cuda"] if gpus else []), *(["mps"] if torch.backends.mps.is_available() else [])]
    own = given or os.environ.get("FACEGAN_DEVICE")
    devices = own.split(",") if own else gpus or ["cpu"]
    for name in devices:
        if name not in here:
            where = "--devices" if given else "FACEGAN_DEVICE"
            raise FaceganError(f"study: {where}: {name!r} is not here; there are {', '.join(here)}")
    return devices
