"""The `facegan` command."""

import argparse
import sys

from facegan.cli import compare, data, demo, doctor, gc, generate, promote, recipe, retrain, serve, study, upgrade
from facegan.repository.running import guarded
from facegan.startup import find_tools, leave, start_quickly


def command() -> None:
    """What `facegan` is in a shell."""
    start_quickly()
    try:
        main()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            leave(ended.code or 0)
        raise


def main() -> None:
    find_tools()
    parser = argparse.ArgumentParser(
        prog="facegan", description="Versioned parameters in, a comparable, reproducible, shippable face generator out."
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="command")
    for module in (recipe, upgrade, data, generate, compare, study, promote, retrain, serve, demo, doctor, gc):
        module.add(commands)
    record = commands.add_parser(
        "record",
        help="make MLflow hold the run of the current outputs",
        description="Send what MLflow lacks: rows that earlier trainings could not, and the run of the outputs, whole.",
    )
    record.set_defaults(run=_record)
    options = parser.parse_args()
    sys.exit(guarded(lambda: options.run(options), options.debug))


def _record(options: argparse.Namespace) -> None:
    from facegan.repository.project import Project
    from facegan.repository.recording import record_run

    record_run(Project.find())
