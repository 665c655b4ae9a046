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
from dataclasses import dataclass, field, replace
from pathlib import Path

from facegan.cli.promote import REFUSED
from facegan.errors import FaceganError
from facegan.files import sha256, write_atomic
from facegan.notify import notify
from facegan.repository.preflight import RUN, SKIP, branch_to_push, reach_mlflow, write_to_remote
from facegan.repository.project import REPORTS, Project
from facegan.repository.running import add_json, alone, as_json
from facegan.repository.tools import committed, dvc, git, try_git
from facegan.tracking.errors import mlflow_guarded, one_line

NOTHING_NEW = 4  # the exit code
OUTCOMES = {0: "trained", REFUSED: "refused", NOTHING_NEW: "nothing new"}
CODE = ("dvc.yaml", "pipeline", "src", "recipes")  # what a run depends on beside params.yaml


@dataclass
class Story:
    """What has happened so far, for the report."""

    base: str  # a commit, which stays when HEAD moves; empty for none
    base_name: str
    steps: list[str] = field(default_factory=list)
    verdict: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    failure: str | None = None

    def tell(self, text: str) -> None:
        print(f"retrain: {text}", flush=True)
        self.steps.append(text)


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
            _report(project, options.out, story)
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
    began = _place(root)
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
        if _place(root) != began:
            raise FaceganError("retrain: HEAD has moved while it trained; nothing was committed: rerun the command")
        story.tell(_commit_and_push(root, branch))
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


def _place(root: Path) -> tuple[str, str]:
    """The commit and the branch that HEAD is."""
    return try_git(root, "rev-parse", "HEAD"), try_git(root, "symbolic-ref", "-q", "HEAD")


def _try_all(project: Project, options: argparse.Namespace, remote: bool) -> str | None:
    """Whatever will be written to at the end, before hours of training; gives the branch to push to, if any."""
    try:
        branch = branch_to_push(project.root) if options.push else None
        if remote and options.push:  # else it is a help to others, and no must
            write_to_remote(project.home)
    except FaceganError as error:
        raise FaceganError(f"retrain: {error}; nothing was started") from error
    if options.promote:
        with mlflow_guarded("nothing was started"):
            reach_mlflow(project)
    return branch


def _commit_and_push(root: Path, branch: str) -> str:
    """The files of the run alone, whatever else is staged."""
    there = [name for name in RUN if (root / name).is_file()]
    git(root, "add", "--", *there)
    changed = bool(git(root, "diff", "--cached", "--name-only", "--", *there))
    if changed:
        message = f"Retrained: {git(root, 'rev-parse', '--short', 'HEAD')} {SKIP}"
        git(root, "commit", "--quiet", "-m", message, "--only", "--", *there)
    head = git(root, "rev-parse", "HEAD")
    if git(root, "ls-remote", "origin", f"refs/heads/{branch}").startswith(head):
        return f"the run is on {branch} already"
    try:
        git(root, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    except FaceganError as error:
        if changed:
            git(root, "reset", "--quiet", "--soft", "HEAD~1")
            _put_back(root, there)
        raise FaceganError(
            f"retrain: {error}; {branch} may have moved while it trained. Nothing was committed or promoted, and what "
            "was trained is in DVC's cache: `git pull --rebase`, and rerun the command"
        ) from error
    return f"committed the run and pushed it to {branch}"


def _put_back(root: Path, names: list[str]) -> None:
    """As the commit has them: the same command makes them again, from DVC's cache."""
    for name in names:
        git(root, "reset", "--quiet", "--", name)
        if committed(root, "HEAD", name):
            git(root, "checkout", "--quiet", "HEAD", "--", name)
        else:
            (root / name).unlink()


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


def _report(project: Project, folder: Path, story: Story) -> None:
    """Write the report; one that cannot be written whole changes nothing of how the retraining ended."""
    try:
        print(_write(project, folder, story, compared=True))
    except Exception as error:
        print(f"retrain: the runs could not be compared: {one_line(error)}", file=sys.stderr)
        try:
            print(_write(project, folder, story, compared=False))
        except OSError as failed:  # a full disk
            print(f"retrain: the report cannot be written: {one_line(failed)}", file=sys.stderr)


def _write(project: Project, folder: Path, story: Story, compared: bool) -> Path:
    """``report.md``, with the pictures of before and after beside it; without them unless ``compared``."""
    from facegan.runs.formats import markdown
    from facegan.runs.revisions import read_revision, read_workspace

    commit = try_git(project.root, "rev-parse", "--short", "HEAD") or "no commit"
    lines = [f"# Retraining of {commit}", ""]
    if story.failure:
        lines += [f"**Failed.** {story.failure}", ""]
    elif story.verdict:
        lines += [f"**{story.verdict[0].capitalize()}.** " + " ".join(f"{reason}." for reason in story.verdict[1:]), ""]
    lines += [f"- {step}" for step in story.steps]
    lines += [f"- [{title}]({link})" for title, link in story.links.items()] + [""]
    runs = []
    try:
        if story.failure is None and compared:
            runs = [read_workspace(project, "this run")]
        base = read_revision(project, story.base) if story.base and compared else None
        if base is not None and runs:
            runs.insert(0, replace(base, name=story.base_name))
        elif runs:
            lines += [f"There is no revision {story.base_name} to compare with.", ""]
    except FaceganError as error:
        lines += [f"{story.base_name} has no run to compare with: {str(error).removeprefix('compare: ')}.", ""]
    if runs:
        lines.append(markdown(runs))
    for run in runs:
        if run.grid:
            name = "this-run.png" if run.id == "workspace" else "base.png"
            write_atomic(folder / name, run.grid)
            lines += [f"![generated by {run.name}]({name})", ""]
    write_atomic(folder / "report.md", "\n".join(lines))
    return folder / "report.md"
