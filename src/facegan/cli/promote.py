"""`facegan register`, `promote`, `rollback` and `models`: which version of the model is in service, and why."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from facegan.cli.project import EXPORTED, REPORTS, SHARDS, Project
from facegan.errors import FaceganError
from facegan.files import read_json, sha256

if TYPE_CHECKING:  # MLflow takes seconds to import
    from facegan.promotion.gate import Standing, Verdict
    from facegan.tracking.registry import Registry, Version

REFUSED = 3  # the exit code; 1 is an error
_ATTEMPTS = 3  # when the champion changes while a candidate is judged


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    register = commands.add_parser(
        "register",
        help="put the exported model into the registry",
        description="Record the run of the current outputs and register its model as a new version, the candidate.",
    )
    register.set_defaults(run=lambda options: _guarded(_register))
    promote = commands.add_parser(
        "promote",
        help="put the candidate into service, or say why not",
        description="Compare the candidate with the champion by the rules of `promotion` in params.yaml, and move the "
        f"alias `champion` or refuse with reasons. Exits with 0 when it is in service, {REFUSED} when it is refused, "
        "1 after an error.",
    )
    promote.add_argument("--version", help="of the model, in place of the candidate")
    promote.add_argument(
        "--force", metavar="REASON", help="promote whatever the rules say; the reason is kept with the decision"
    )
    promote.set_defaults(run=lambda options: _guarded(_promote, options))
    rollback = commands.add_parser(
        "rollback",
        help="go back to the model before",
        description="Put the version back into service that the champion replaced. It will not be promoted again.",
    )
    rollback.add_argument("--reason", default="no reason was given", help="is kept with the decision")
    rollback.set_defaults(run=lambda options: _guarded(_rollback, options))
    models = commands.add_parser(
        "models",
        help="versions in service, and the decisions about them",
        description="What was decided, newest first.",
    )
    models.set_defaults(run=lambda options: _guarded(_models))


def register(project: Project) -> str:
    """Record and register the current outputs; gives the version."""
    from facegan.cli.record import record_run
    from facegan.evaluation.comparison import at_its_floor
    from facegan.evaluation.metrics import scores_of
    from facegan.tracking.registry import WEIGHTS

    params = project.params()
    run_id = record_run(project)
    card = (project.root / EXPORTED / "MODEL_CARD.md").read_text(encoding="utf-8")
    report = read_json(project.root / REPORTS / "evaluate.json")
    scores = scores_of(report)
    tags = {f"score.{name}": f"{at_its_floor(score):.6g}" for name, score in scores.items()}
    config = read_json(project.root / EXPORTED / "config.json")
    tags["facegan.training_key"] = config["training_key"]
    tags[WEIGHTS] = sha256(project.root / EXPORTED / "generator.safetensors")
    told = ("extractor", "extractor_sha256", "generated", "real", "pictures", "seed")
    tags["facegan.protocol"] = json.dumps({key: report["protocol"][key] for key in told})
    tags |= {key: value for key, value in project.tags().items() if key != "facegan.params_yaml"}
    version = str(_registry(project).register(run_id, card, tags).number)
    print(f"register: version {version} of {params.promotion.model} is the candidate")
    return version


def promote(project: Project, wanted: str, force: str | None = None) -> "Verdict":
    """Judge a version (a number or an alias) and carry the verdict out; the first line says what was decided."""
    from facegan.promotion.gate import Verdict
    from facegan.tracking.registry import CHAMPION, Decision

    registry = _registry(project)
    for _ in range(_ATTEMPTS):
        candidate, champion = registry.version(wanted), registry.version(CHAMPION)
        if candidate is None:
            raise FaceganError(f"promote: {registry.name} has no version {wanted!r}; `facegan register` makes one")
        if champion is not None and champion.number == candidate.number:
            return Verdict(True, (f"version {candidate.number} is in service already",))
        if force is not None:
            verdict = Verdict(True, (f"forced: {force}",))
        else:
            verdict = _judged(project, registry, candidate, champion)
        action = "promote" if verdict.promoted else "refuse"
        before = champion.number if champion else None
        if registry.decide(Decision(action, candidate.number, before, verdict.reasons), before):
            return replace(
                verdict,
                reasons=(
                    f"version {candidate.number} is {'promoted' if verdict.promoted else 'refused'}",
                    *verdict.reasons,
                ),
            )
        print("promote: the champion has changed meanwhile; judging again", file=sys.stderr)
    raise FaceganError("promote: the champion keeps changing; nothing was decided")


def _judged(project: Project, registry: "Registry", candidate: "Version", champion: "Version | None") -> "Verdict":
    from facegan.promotion.gate import Standing, Verdict, judge, unfit, unlike
    from facegan.tracking.registry import Missing

    rules = project.params().promotion
    if (reason := registry.rolled_back(candidate)) is not None:
        return Verdict(False, (f"it was in service and rolled back: {reason}",))
    with TemporaryDirectory() as folder:
        try:
            files = registry.files(candidate, Path(folder, "candidate"))
            parity = read_json(files / "parity.json")["max_difference"] if (files / "parity.json").is_file() else None
            ours = Standing(candidate.number, registry.report(candidate), parity)
            if champion is None or unfit(rules, ours):
                return judge(rules, ours, None)
            theirs = Standing(champion.number, registry.report(champion))
            if (reason := unlike(rules, ours, theirs)) is None:
                return judge(rules, ours, theirs)
            print(f"promote: they cannot be compared ({reason}): scoring both on the held-out pictures of today")
            held_out = registry.param(champion, "preprocess.held_out")
            if held_out is None or float(held_out) < project.params().preprocess.held_out:
                seen = f"version {champion.number} was trained when fewer pictures were held out ({held_out})"
                return Verdict(False, (f"{seen}, and has seen some of those that would judge it",))
            champions = registry.files(champion, Path(folder, "champion"))
        except Missing as error:  # what is known to be gone: told, and kept as a decision
            return Verdict(False, (str(error),))
        return _rescored(project, (ours, files), (theirs, champions))


def _rescored(project: Project, ours: "tuple[Standing, Path]", theirs: "tuple[Standing, Path]") -> "Verdict":
    """A verdict by the pictures that neither has been trained on."""
    import torch

    from facegan.evaluation.features import build_extractor
    from facegan.promotion.gate import Verdict, judge, unlike
    from facegan.promotion.rescore import Unscorable, held_out_report

    params = project.params()
    extractor = build_extractor(params.evaluate, project.home, torch.device("cpu"))
    standings = []
    for standing, files in (ours, theirs):
        try:
            found = held_out_report(
                files, project.root / SHARDS, extractor, params.evaluate.generated, project.state / "cache"
            )
        except (Unscorable, ValueError) as error:
            return Verdict(False, (f"version {standing.version} cannot be scored on today's pictures: {error}",))
        kept = {"memorization": standing.report["memorization"]} if "memorization" in standing.report else {}
        standings.append(replace(standing, report={**found, **kept}))
    if (reason := unlike(params.promotion, *standings)) is not None:
        return Verdict(False, (f"it cannot be compared with version {theirs[0].version}: {reason}",))
    return judge(params.promotion, *standings)


def _register() -> None:
    register(Project.find())


def _promote(options: argparse.Namespace) -> None:
    from facegan.tracking.registry import CANDIDATE

    verdict = promote(Project.find(), options.version or CANDIDATE, options.force)
    print("promote: " + "\n  ".join(verdict.reasons))
    if not verdict.promoted:
        sys.exit(REFUSED)


def _rollback(options: argparse.Namespace) -> None:
    from facegan.tracking.registry import CHAMPION, REPLACED, Decision

    registry = _registry(Project.find())
    champion = registry.version(CHAMPION)
    if champion is None:
        raise FaceganError(f"rollback: no version of {registry.name} is in service")
    before = registry.version(champion.tags[REPLACED]) if champion.tags.get(REPLACED) else None
    if before is None:
        raise FaceganError(f"rollback: version {champion.number} is the first; there is nothing to go back to")
    if not registry.decide(Decision("roll back", before.number, champion.number, (options.reason,)), champion.number):
        raise FaceganError("rollback: the champion has changed meanwhile; nothing was done")
    print(f"rollback: version {before.number} is in service again, and {champion.number} is not")


def _models() -> None:
    from facegan.tracking.registry import CANDIDATE, CHAMPION

    registry = _registry(Project.find())
    for alias in (CHAMPION, CANDIDATE):
        version = registry.version(alias)
        print(f"{alias}: {f'version {version.number}' if version else 'none'}")
    for decision in registry.decisions():
        reasons = decision["reasons"].replace("\n", "; ")
        broken = "" if decision["status"] == "FINISHED" else "not carried out, or not whole: "
        what = f"{decision['action']} version {decision['version']} (champion was {decision['champion']})"
        print(f"{broken}{what}: {reasons}")


def _registry(project: Project) -> "Registry":
    name = project.params().promotion.model
    server = project.server()  # first: it quiets MLflow before the import
    from facegan.tracking.registry import Registry

    return Registry(server, name)


def _guarded(work: Callable[..., None], *arguments: Any) -> None:
    from facegan.tracking.errors import mlflow_guarded

    with mlflow_guarded():
        work(*arguments)
