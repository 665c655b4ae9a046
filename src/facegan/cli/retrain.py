"""`facegan retrain` and `facegan release`: from a commit to a judged model, the same on a laptop and in CI."""

import argparse
import sys
from pathlib import Path

from facegan.errors import FaceganError
from facegan.repository.project import REPORTS, Project
from facegan.repository.running import NOTHING_NEW, REFUSED, add_json, as_json
from facegan.retraining.story import Story, reported, story_of

_RETRAIN = """Pull what DVC's remote has, run the pipeline, push what it made, and write a report against a base
revision. With --push, commit dvc.lock, params.yaml and the scores and push them; with --promote, register the model and
judge it against the champion. With --bundle, push nothing, and leave the run in a folder for `facegan release`: a CI
job with other rights goes on from there. If interrupted, rerun the command to resume. Exits with 0 when the model is
trained and, with --promote, in service; 3 when it was refused; 4 when --new-data found nothing new; 1 after an error.
"""
_RELEASE = """Take the run that `facegan retrain --bundle` left in a folder into a checkout of the same commit: check
every file, push the outputs to DVC's remote, commit and push the run, and with --promote register the model and judge
it against the champion. Nothing is trained. If interrupted, rerun the command to resume. Exits with 0 when the run is
pushed and, with --promote, its model is in service; 3 when it was refused; 1 after an error.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "retrain", "from a commit to a judged model, for CI and by hand", _RETRAIN)
    parser.add_argument("--recipe", help="use the model, training and size of this recipe first")
    parser.add_argument(
        "--new-data", action="store_true", help="look for new pictures, and end here when there are none"
    )
    parser.add_argument("--base", help="the revision to compare with; default the one before this")
    parser.add_argument("--push", action="store_true", help="commit the run and push it to origin")
    parser.add_argument("--promote", action="store_true", help="register the model and judge it against the champion")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="leave the run here, for `facegan release`")
    parser.set_defaults(run=_retrain)
    parser = _command(commands, "release", "push and judge what another job trained", _RELEASE)
    parser.add_argument("bundle", type=Path, metavar="DIR", help="the folder that `facegan retrain --bundle` wrote")
    parser.add_argument("--digest", metavar="SHA256", help="of its bundle.json, as the job that wrote it said")
    parser.add_argument("--promote", action="store_true", help="register the model and judge it against the champion")
    parser.set_defaults(run=_release)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, line: str, description: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=line, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=REPORTS / "retrain",
        help="folder of report.md and its pictures; default reports/retrain",
    )
    add_json(parser)
    return parser


def _retrain(options: argparse.Namespace) -> None:
    from facegan.retraining.training import Wanted, retrain

    if options.bundle is not None and (options.push or options.promote):
        raise FaceganError("retrain: --bundle leaves the rest to `facegan release`: drop --push and --promote")
    project = Project.find()
    story = story_of("retrain", project.root, options.base)
    wanted = Wanted(options.recipe, options.new_data, options.push, options.promote, options.bundle)
    with as_json(options.json) as found:
        with reported(project, options.out, story):
            code = retrain(project, wanted, story)
        _end(found, story, code, "promoted" if options.promote else "trained")


def _release(options: argparse.Namespace) -> None:
    from facegan.retraining.bundle import Bundle
    from facegan.retraining.releasing import release

    project = Project.find()
    try:
        bundle = Bundle.open(options.bundle, options.digest)
    except FaceganError as error:
        raise FaceganError(f"release: {error}") from error
    story = story_of("release", project.root, bundle.base)
    with as_json(options.json) as found:
        with reported(project, options.out, story):
            code = release(project, bundle, story, options.promote)
        _end(found, story, code, "promoted" if options.promote else "pushed")


def _end(found: dict[str, object], story: Story, code: int, whole: str) -> None:
    outcome = {0: whole, REFUSED: "refused", NOTHING_NEW: "nothing new"}[code]
    found |= {"outcome": outcome, "steps": story.steps, "reasons": story.verdict, "links": story.links}
    if code:
        sys.exit(code)
