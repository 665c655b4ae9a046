"""`facegan retrain`: from a commit to a judged model, the same on a laptop and in CI.

Pulls what DVC's remote has, runs the pipeline, pushes what it made, and writes a report against a base revision.
With --push it commits dvc.lock, params.yaml and the scores and pushes them; with --promote it registers the model and
judges it against the champion. Stopped at any point, the same command resumes it. Exits with 0 when the model is
trained and, with --promote, in service; 3 when it was refused; 4 when --new-data found nothing new; 1 after an error.
"""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from facegan.cli.promote import REFUSED
from facegan.errors import FaceganError
from facegan.files import sha256, write_atomic
from facegan.notify import notify
from facegan.repository.preflight import branch_to_push, reach_mlflow, reach_remote
from facegan.repository.project import REPORTS, Project
from facegan.repository.publish import SKIP, commit_and_push, place
from facegan.repository.running import add_json, alone, as_json
from facegan.repository.tools import dvc, git, try_git
from facegan.runs.retraining import Story, write_report
from facegan.tracking.errors import mlflow_guarded, one_line

NOTHING_NEW = 4  # the exit code
OUTCOMES = {0: "trained", REFUSED: "refused", NOTHING_NEW: "nothing new"}
CODE = ("dvc.yaml", "pipeline", "src", "recipes")  # what a run depends on beside params.yaml


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "retrain",
        help="from a commit to a judged model, for CI and by hand",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", help="use the model, training and size of this recipe first")
    parser.add_argument(
        "--new-data", action="store_true", help="look for new pictures, and end here when there are none"
    )
    parser.add_argument("--base", help="the revision to compare with; default the one before this")
    parser.add_argument("--push", action="store_true", help="commit the run and push it to origin")
    parser.add_argument("--promote", action="store_true", help="register the model and judge it against the champion")
    parser.add_argument(
        "--out",
        type=Path,
        default=REPORTS / "retrain",
        help="folder of report.md and its pictures; default reports/retrain",
    )
    add_json(parser)
    parser.set_defaults(run=_retrain)


def _retrain(options: argparse.Namespace) -> None:
    with as_json(options.json) as found:
        story, code = _told(options)
        found |= {"outcome": OUTCOMES[code], "steps": story.steps, "reasons": story.verdict, "links": story.links}
        if code == 0 and options.promote:
            found["outcome"] = "promoted"
        if code:
            sys.exit(code)


def _told(options: argparse.Namespace) -> tuple[Story, int]:
    """Work, and write the report, whatever happens; gives the exit code too."""
    project = Project.find()
    story = _story(project.root, options.base)
    with alone(project.state / "retrain.lock", "retrain: another retraining is running here"):
        try:
            (options.out / "report.md").unlink(missing_ok=True)  # an earlier one would be taken for this
            code = _work(project, options, story)
        except BaseException as error:  # Ctrl-C and a full disk too: the report says so
            story.failure = one_line(error)
            if isinstance(error, Exception):
                notify(f"retrain failed in {project.root.name}: {story.failure}")
            raise
        finally:
            write_report(project, options.out, story)
    return story, code


def _story(root: Path, base: str | None) -> Story:
    """With the commit to compare with, which is named as a reader knows it."""
    if base is None:
        own = try_git(root, "log", "-1", "--format=%s").endswith(SKIP)
        base = "HEAD~2" if own else "HEAD~1"
    commit = try_git(root, "rev-parse", "--verify", f"{base}^{{commit}}")
    return Story(commit, f"{base} ({commit[:8]})" if commit else base)


def _work(project: Project, options: argparse.Namespace, story: Story) -> int:
    """All steps; gives the exit code."""
    root = project.root
    own = project.state / "retrain-params.yaml"  # what an earlier start, that was stopped, made of params.yaml
    _check_clean(root, own)
    remote = bool(dvc(root, "remote", "list"))
    branch = _try_all(project, options, remote)
    began = place(root)
    if options.recipe:
        from facegan.cli.recipe import use_recipe

        use_recipe(project, options.recipe, with_data=False)
        story.tell(f"params.yaml is the recipe {options.recipe}")
    if options.new_data:
        from facegan.cli.data import pin_pictures

        if project.params().data.source == "synthetic":
            story.tell("drawn pictures follow from params.yaml, so there are no new ones: nothing to do")
            return NOTHING_NEW
        pinned = pin_pictures(project, newest=True)
        if pinned or git(root, "status", "--porcelain", "--", "params.yaml"):
            story.tell("there are new pictures, and params.yaml names them")
        elif options.promote and not _judged(project):
            story.tell("no new pictures, and the last run was not judged yet")
        else:
            story.tell("no new pictures: nothing to do")
            return NOTHING_NEW
    write_atomic(own, (root / "params.yaml").read_bytes())
    if not remote:
        story.tell("DVC has no remote: what is made stays on this machine")
    if remote:
        _step(root, "pull", "dvc", "pull", "--run-cache", "--allow-missing")
        story.tell("pulled what DVC's remote has")
    try:
        _step(root, "pipeline", "dvc", "repro", *(["--pull"] if remote else []))  # what the run cache names, too
    except StepFailed as error:
        if remote and not error.stopped:  # a stage that is done need not be done again, on any machine
            subprocess.run(["dvc", "push", "--quiet", "--run-cache"], cwd=root)
        raise
    story.tell("the pipeline is up to date")
    if remote:  # before git, so that no commit names what is nowhere
        try:
            _step(root, "push", "dvc", "push", "--run-cache")
            story.tell("pushed what it made to DVC's remote")
        except StepFailed as error:
            if options.push or error.stopped:
                raise
            story.tell("DVC's remote cannot be written to: what was made stays here")
    if branch is not None:
        if place(root) != began:
            raise FaceganError("retrain: HEAD has moved while it trained; nothing was committed: rerun the command")
        story.tell(commit_and_push(root, branch))
    if not options.promote:
        return 0
    return 0 if _promoted(project, story) else REFUSED


def _judged(project: Project) -> bool:
    """Whether the run that `dvc.lock` describes was promoted or refused; true where there is none."""
    from facegan.tracking.provenance import made_of
    from facegan.tracking.registry import CANDIDATE

    lock = project.root / "dvc.lock"
    if not lock.is_file():
        return True
    with mlflow_guarded("nothing was started"):
        registry = project.registry()
        candidate = registry.version(CANDIDATE)
        if candidate is None or made_of(candidate.tags).get("dvc.lock") != {"sha256": sha256(lock)}:
            return False
        return any(decision["version"] == candidate.number for decision in registry.decisions())


def _promoted(project: Project, story: Story) -> bool:
    from facegan.promotion.judging import promote, register

    with mlflow_guarded("the version in service is as it was"):
        version = register(project)
        story.links |= _links(project, version)
        verdict = promote(project, version)
    story.verdict = list(verdict.reasons)
    print("retrain: " + "\n  ".join(verdict.reasons))
    return verdict.promoted


def _links(project: Project, version: str) -> dict[str, str]:
    """To MLflow's pages, where it has a web server."""
    from facegan.tracking.errors import redact

    uri = project.tracking()[0]
    name = project.params().promotion.model
    if not uri.startswith(("http://", "https://")):
        return {}
    page = f"{redact(uri).replace('***@', '').rstrip('/')}/#/models/{name}/versions/{version}"
    return {f"version {version} of {name}": page}


def _check_clean(root: Path, own: Path) -> None:
    """But for what a retraining writes itself, which may have been stopped: its results, and params.yaml as ``own``."""
    lines = git(root, "status", "--porcelain", "--", "params.yaml", *CODE).splitlines()
    others = [line[2:].strip() for line in lines]
    if own.is_file() and own.read_bytes() == (root / "params.yaml").read_bytes():
        others = [name for name in others if not name.endswith("params.yaml")]
    if others:
        names = ", ".join(others[:5])
        raise FaceganError(f"retrain: there are changes that are not committed ({names}); commit them, or `git stash`")


def _try_all(project: Project, options: argparse.Namespace, remote: bool) -> str | None:
    """Whatever will be written to at the end, before hours of training; gives the branch to push to, if any."""
    try:
        branch = branch_to_push(project.root) if options.push else None
        if remote:  # what is made is pushed there in any case, but only --push depends on it
            reach_remote(project.home, write=options.push)
    except FaceganError as error:
        raise FaceganError(f"retrain: {error}; nothing was started") from error
    if options.promote:
        with mlflow_guarded("nothing was started"):
            reach_mlflow(project)
    return branch


class StepFailed(FaceganError):
    """``stopped`` when it was asked to end."""

    stopped = False


def _step(root: Path, what: str, *command: str) -> None:
    """Run a command, its output shown. Raises StepFailed when it fails; a signal is passed on to it."""
    process = subprocess.Popen(command, cwd=root)
    signals: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        signals.append(number)
        process.send_signal(number)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    if code == 0:
        return
    hint = {
        "pull": "`facegan doctor` looks at the remote; nothing was changed",
        "pipeline": "what is trained is kept: rerun the command to resume",
        "push": "the run is whole on this machine: the same command pushes it, and trains nothing again",
    }.get(what, "nothing was promoted")
    error = StepFailed(f"retrain: `{' '.join(command)}` failed with exit code {code}; {hint}")
    error.stopped = bool(signals)
    raise error
