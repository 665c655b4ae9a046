"""The first half: pictures, parameters and the pipeline, from a commit to outputs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from facegan.files import sha256, write_atomic
from facegan.repository.project import Project
from facegan.repository.publish import place
from facegan.repository.running import NOTHING_NEW
from facegan.repository.tools import dvc, git
from facegan.retraining.bundle import INDEX, pack
from facegan.retraining.releasing import finish
from facegan.retraining.steps import StepFailed, check_clean, step, try_all
from facegan.retraining.story import Story
from facegan.tracking.errors import mlflow_guarded


@dataclass(frozen=True)
class Wanted:
    """What a retraining is asked for, as its options say it."""

    recipe: str | None
    new_data: bool
    push: bool
    promote: bool
    bundle: Path | None


def retrain(project: Project, wanted: Wanted, story: Story) -> int:
    """All steps; gives the exit code. Raises FaceganError."""
    root = project.root
    own = project.state / "retrain-params.yaml"  # what an earlier start, that was stopped, made of params.yaml
    check_clean(root, own)
    remote = bool(dvc(root, "remote", "list"))
    branch = try_all(project, remote, wanted.push, wanted.promote)
    began = place(root)
    if wanted.recipe:
        from facegan.repository.recipes import use_recipe

        use_recipe(project, wanted.recipe, with_data=False)
        story.tell(f"params.yaml is the recipe {wanted.recipe}")
    if wanted.new_data and not _new_pictures(project, wanted, story):
        return NOTHING_NEW
    write_atomic(own, (root / "params.yaml").read_bytes())
    if remote:
        step(root, "`facegan doctor` looks at the remote; nothing was changed", *_PULL)
        story.tell("pulled what DVC's remote has")
    else:
        story.tell("DVC has no remote: what is made stays on this machine")
    try:
        again = "what is trained is kept: rerun the command to resume"
        step(root, again, "dvc", "repro", *(["--pull"] if remote else []))  # what the run cache names, too
    except StepFailed as error:
        if remote and not error.stopped and wanted.bundle is None:  # what is done need not be done on another machine
            subprocess.run(["dvc", "push", "--quiet", "--run-cache"], cwd=root)
        raise
    story.tell("the pipeline is up to date")
    if wanted.bundle is None:
        return finish(project, story, began, branch, remote, wanted.promote)
    digest = pack(root, wanted.bundle, story.base, shared=remote)
    story.tell(f"the run is in {wanted.bundle}; the SHA-256 of its {INDEX} is {digest}")
    return 0


_PULL = ("dvc", "pull", "--run-cache", "--allow-missing")


def _new_pictures(project: Project, wanted: Wanted, story: Story) -> bool:
    """Whether there is something to do; params.yaml names the pictures of today."""
    from facegan.repository.pinning import pin_pictures

    if project.params().data.source == "synthetic":
        story.tell("drawn pictures follow from params.yaml, so there are no new ones: nothing to do")
        return False
    pinned = pin_pictures(project, newest=True)
    if pinned or git(project.root, "status", "--porcelain", "--", "params.yaml"):
        story.tell("there are new pictures, and params.yaml names them")
        return True
    if wanted.promote and not judged(project):
        story.tell("no new pictures, and the last run was not judged yet")
        return True
    story.tell("no new pictures: nothing to do")
    return False


def judged(project: Project) -> bool:
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
