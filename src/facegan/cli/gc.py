"""`facegan gc`: remove what nothing needs any more.

Lists what would go, with sizes; --yes removes it. What the workspace, a commit, branch, tag or experiment, a registered
version or unsent rows need stays. Nothing is removed while a training runs here, or from a cache that may be shared.
"""

import argparse
from collections.abc import Iterator

from facegan.errors import FaceganError
from facegan.garbage import Item
from facegan.repository.project import Project
from facegan.repository.running import add_json, as_json
from facegan.tracking.errors import mlflow_guarded


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "gc",
        help="remove what nothing needs any more",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--yes", action="store_true", help="remove it")
    parser.add_argument(
        "--older-than",
        type=_days,
        default=30.0,
        metavar="DAYS",
        help="of unfinished trainings, runs and cached features; default 30",
    )
    add_json(parser)
    parser.set_defaults(run=_collect)


def _days(text: str) -> float:
    try:
        if (days := float(text)) >= 0:
            return days
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} should be a number of days from 0")


def _collect(options: argparse.Namespace) -> None:
    from facegan.garbage.working import busy

    project = Project.find()
    if (what := busy(project)) is not None:
        raise FaceganError(f"gc: {what} is at work in {project.home}; rerun the command when it is done")
    with as_json(options.json) as found:
        items = list(_garbage(project, options.older_than))
        for item in items:
            print(f"{_size(item.size):>10}  {item.what}")
        total = sum(item.size for item in items)
        if not items:
            print("there is nothing to remove")
        elif options.yes:
            with mlflow_guarded("rerun the command"):
                for item in items:
                    item.remove()
            print(f"removed {_size(total)}")
        else:
            print(f"{_size(total)} in all; nothing was removed: `facegan gc --yes` does it")
        found |= {"removed": options.yes, "bytes": total}
        found["items"] = [{"what": item.what, "bytes": item.size} for item in items]


def _garbage(project: Project, days: float) -> Iterator[Item]:
    """By what costs most to find again, last."""
    from facegan.garbage import outputs, working

    try:
        yield from working.find(project, days)
        yield from outputs.find(project)
    except FaceganError as error:
        raise FaceganError(f"gc: {error}") from error
    with mlflow_guarded("nothing was removed"):
        server = project.server()  # first: it quiets MLflow before the import
        if server.local and not (project.home / server.uri.removeprefix("sqlite:///")).is_file():
            return  # it would be made
        from facegan.garbage import runs

        yield from runs.find(project, days)


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
