"""`facegan retrain`: from a commit to a judged model, the same on a laptop and in CI.

Pulls what DVC's remote has, runs the pipeline, pushes what it made, and writes a report against a base revision.
With --push it commits dvc.lock, params.yaml and the scores and pushes them; with --promote it registers the model and
judges it against the champion. Stopped at any point, the same command goes on. Exits with 0 when all is done, 3 when
the model was refused, 1 after an error.
"""

import argparse
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from facegan.cli.command import alone
from facegan.cli.project import REPORTS, Project
from facegan.errors import FaceganError
from facegan.files import write_atomic
from facegan.tracking.errors import one_line

RUN = ("params.yaml", "dvc.lock", "reports/data.json", "reports/evaluate.json")  # what is committed of a run
CODE = ("dvc.yaml", "pipeline", "src", "recipes")  # what a run depends on beside params.yaml
SKIP = "[skip ci]"  # in a commit message: GitHub and GitLab start no retraining for it


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
    parser.set_defaults(run=_retrain)


def _retrain(options: argparse.Namespace) -> None:
    from facegan.cli.promote import REFUSED

    project = Project.find()
    story = _story(project.root, options.base)
    with alone(project.state / "retrain.lock", "retrain: another retraining is running here"):
        try:
            (options.out / "report.md").unlink(missing_ok=True)  # an earlier one would be taken for this
            refused = _work(project, options, story)
        except BaseException as error:  # Ctrl-C and a full disk too: the report says so
            story.failure = one_line(error)
            raise
        finally:
            _report(project, options.out, story)
    if refused:
        sys.exit(REFUSED)


def _story(root: Path, base: str | None) -> Story:
    """With the commit to compare with, which is named as a reader knows it."""
    if base is None:
        own = _output(root, "git", "log", "-1", "--format=%s").endswith(SKIP)
        base = "HEAD~2" if own else "HEAD~1"
    commit = _output(root, "git", "rev-parse", "--verify", f"{base}^{{commit}}")
    return Story(commit, f"{base} ({commit[:8]})" if commit else base)


def _work(project: Project, options: argparse.Namespace, story: Story) -> bool:
    """All steps; true when the model was refused."""
    root = project.root
    own = project.state / "retrain-params.yaml"  # what an earlier start, that was stopped, made of params.yaml
    _check_clean(root, own)
    if options.recipe:
        from facegan.cli.recipe import use_recipe

        use_recipe(project, options.recipe, with_data=False)
        story.tell(f"params.yaml is the recipe {options.recipe}")
    if options.new_data:
        from facegan.cli.data import pin_pictures

        pinned = pin_pictures(project, newest=True)
        if not pinned and not _asked(root, "git", "status", "--porcelain", "--", "params.yaml"):
            story.tell("no new pictures: nothing to do")
            return False
        story.tell("there are new pictures, and params.yaml names them")
    write_atomic(own, (root / "params.yaml").read_bytes())
    remote = bool(_asked(root, "dvc", "remote", "list"))
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
        _step(root, "push", "dvc", "push", "--run-cache")
        story.tell("pushed what it made to DVC's remote")
    if options.push:
        story.tell(_commit_and_push(root))
    if not options.promote:
        return False
    return not _promoted(project, story)


def _promoted(project: Project, story: Story) -> bool:
    from facegan.cli.promote import promote, register
    from facegan.tracking.errors import mlflow_guarded

    with mlflow_guarded():
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
    lines = _asked(root, "git", "status", "--porcelain", "--", "params.yaml", *CODE).splitlines()
    others = [line[2:].strip() for line in lines]
    if own.is_file() and own.read_bytes() == (root / "params.yaml").read_bytes():
        others = [name for name in others if not name.endswith("params.yaml")]
    if others:
        names = ", ".join(others[:5])
        raise FaceganError(f"retrain: there are changes that are not committed ({names}); commit them, or `git stash`")


def _commit_and_push(root: Path) -> str:
    branch = _output(root, "git", "symbolic-ref", "--short", "-q", "HEAD") or os.environ.get("FACEGAN_BRANCH", "")
    if not branch:
        raise FaceganError("retrain: --push needs a branch; HEAD is detached, and FACEGAN_BRANCH names none")
    there = [name for name in RUN if (root / name).is_file()]
    _step(root, "git", "git", "add", "--", *there)
    committed = bool(_asked(root, "git", "diff", "--cached", "--name-only"))
    if committed:
        message = f"Retrained: {_asked(root, 'git', 'rev-parse', '--short', 'HEAD')} {SKIP}"
        _step(root, "git", "git", "commit", "--quiet", "-m", message)
    head = _asked(root, "git", "rev-parse", "HEAD")
    if _asked(root, "git", "ls-remote", "origin", f"refs/heads/{branch}").startswith(head):
        return f"the run is on {branch} already"
    done = subprocess.run(
        ["git", "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}"], cwd=root, capture_output=True, text=True
    )
    if done.returncode:
        if committed:
            _step(root, "git", "git", "reset", "--quiet", "--mixed", "HEAD~1")
        reason = next((line for line in done.stderr.splitlines() if "rejected" in line or "fatal" in line), done.stderr)
        raise FaceganError(
            f"retrain: git did not take the run on {branch} ({reason.strip()[:200]}); the branch may have moved while "
            "it trained. Nothing was committed or promoted, and what was trained is in DVC's cache: "
            "`git checkout dvc.lock reports`, `git pull --rebase`, and the same command again"
        )
    return f"committed the run and pushed it to {branch}"


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
        "pipeline": "what is trained is kept: the same command goes on from there",
        "push": "the run is whole on this machine: the same command pushes it, and trains nothing again",
    }.get(what, "nothing was promoted")
    error = StepFailed(f"retrain: `{' '.join(command)}` gave {code}; {hint}")
    error.stopped = bool(signals)
    raise error


def _output(root: Path, *command: str) -> str:
    """What a command says; nothing when it fails."""
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def _asked(root: Path, *command: str) -> str:
    """What a command says. Raises FaceganError when it fails."""
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it gave {done.returncode}"])[0]
        raise FaceganError(f"retrain: `{' '.join(command)}` failed: {reason}")
    return done.stdout.strip()


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
    from facegan.cli.compare_formats import markdown
    from facegan.cli.revisions import read_revision, read_workspace

    commit = _output(project.root, "git", "rev-parse", "--short", "HEAD") or "no commit"
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
