"""`facegan register`, `promote`, `rollback` and `models`: which version of the model is in service, and why."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from facegan.errors import FaceganError
from facegan.notify import notify
from facegan.repository.project import Project
from facegan.repository.running import REFUSED, add_json, as_json
from facegan.tracking.errors import one_line


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
    add_json(promote)
    promote.set_defaults(run=lambda options: _guarded(_promote, options))
    rollback = commands.add_parser(
        "rollback",
        help="go back to the model before",
        description="Put the version that the champion replaced back into service. The champion's weights will not "
        "be promoted again.",
    )
    rollback.add_argument("--reason", default="no reason was given", help="is kept with the decision")
    rollback.set_defaults(run=lambda options: _guarded(_rollback, options))
    models = commands.add_parser(
        "models",
        help="versions in service, and the decisions about them",
        description="What was decided, newest first.",
    )
    add_json(models)
    models.set_defaults(run=lambda options: _guarded(_models, options))


def _register() -> None:
    from facegan.promotion.judging import register

    register(Project.find())


def _promote(options: argparse.Namespace) -> None:
    from facegan.promotion.judging import promote
    from facegan.tracking.registry import CANDIDATE

    project = Project.find()
    with as_json(options.json) as found:
        try:
            verdict = promote(project, options.version or CANDIDATE, options.force)
        except Exception as error:
            notify(f"promote failed in {project.root.name}: {one_line(error)}")
            raise
        print("promote: " + "\n  ".join(verdict.reasons))
        found |= {"promoted": verdict.promoted, "reasons": verdict.reasons}
        if not verdict.promoted:
            sys.exit(REFUSED)


def _rollback(options: argparse.Namespace) -> None:
    from facegan.tracking.registry import CHAMPION, REPLACED, Decision

    registry = Project.find().registry()
    champion = registry.version(CHAMPION)
    if champion is None:
        raise FaceganError(f"rollback: no version of {registry.name} is in service")
    before = registry.version(champion.tags[REPLACED]) if champion.tags.get(REPLACED) else None
    if before is None:
        raise FaceganError(f"rollback: version {champion.number} is the first; there is nothing to go back to")
    if not registry.decide(Decision("roll back", before.number, champion.number, (options.reason,)), champion.number):
        raise FaceganError("rollback: the champion has changed meanwhile; nothing was done")
    told = f"version {before.number} is in service again, and {champion.number} is not"
    notify(f"{registry.name}: rolled back: {told} ({options.reason})")
    print(f"rollback: {told}")


def _models(options: argparse.Namespace) -> None:
    from facegan.tracking.registry import CANDIDATE, CHAMPION

    registry = Project.find().registry()
    with as_json(options.json) as found:
        for alias in (CHAMPION, CANDIDATE):
            version = registry.version(alias)
            found[alias] = version.number if version else None
            print(f"{alias}: {f'version {version.number}' if version else 'none'}")
        found["decisions"] = registry.decisions()
        for decision in found["decisions"]:
            reasons = decision["reasons"].replace("\n", "; ")
            broken = "" if decision["status"] == "FINISHED" else "not carried out, or not whole: "
            what = f"{decision['action']} version {decision['version']} (champion was {decision['champion']})"
            print(f"{broken}{what}: {reasons}")


def _guarded(work: Callable[..., None], *arguments: Any) -> None:
    from facegan.tracking.errors import mlflow_guarded

    with mlflow_guarded("the version in service is as it was"):
        work(*arguments)
