"""The second half: outputs to DVC's remote, the run to git, the model to the registry and the gate, in this order."""

from facegan.errors import FaceganError
from facegan.repository.agreement import disagreement
from facegan.repository.project import Project
from facegan.repository.publish import commit_and_push, place
from facegan.repository.running import REFUSED
from facegan.repository.tools import dvc
from facegan.retraining.bundle import Bundle
from facegan.retraining.steps import StepFailed, check_clean, step, try_all
from facegan.retraining.story import Story
from facegan.tracking.errors import mlflow_guarded


def release(project: Project, bundle: Bundle, story: Story, promote: bool) -> int:
    """Publish the run of a bundle in a checkout of the commit that it was trained from; gives the exit code.

    Raises FaceganError.
    """
    root = project.root
    own = bundle.folder / "project" / "params.yaml"  # as an earlier start left it
    check_clean(root, own)
    remote = bool(dvc(root, "remote", "list"))
    branch = try_all(project, remote, True, promote)
    began = place(root)
    bundle.install(root)
    hint = "rerun the command; nothing was pushed"
    step(root, hint, "dvc", "pull", "--run-cache") if remote else step(root, hint, "dvc", "checkout")
    if (found := disagreement(project)) is not None:
        raise FaceganError(found)
    bundle.remember(root)
    story.tell("the outputs are those that were trained")
    return finish(project, story, began, branch, remote, promote)


def finish(
    project: Project, story: Story, began: tuple[str, str], branch: str | None, remote: bool, promote: bool
) -> int:
    """Push the outputs and, to ``branch``, the run; with ``promote``, judge the model. Gives the exit code."""
    root = project.root
    if remote:  # before git, so that no commit names what is nowhere
        try:
            hint = "the run is whole on this machine: the same command pushes it, and trains nothing again"
            step(root, hint, "dvc", "push", "--run-cache")
            story.tell("pushed what it made to DVC's remote")
        except StepFailed as error:
            if branch is not None or error.stopped:
                raise
            story.tell("DVC's remote cannot be written to: what was made stays here")
    if branch is not None:
        if place(root) != began:
            raise FaceganError("HEAD has moved meanwhile; nothing was committed: rerun the command")
        story.tell(commit_and_push(root, branch))
    if not promote:
        return 0
    return 0 if _promoted(project, story) else REFUSED


def _promoted(project: Project, story: Story) -> bool:
    from facegan.promotion.judging import promote, register

    with mlflow_guarded("the version in service is as it was"):
        version = register(project)
        story.links |= _links(project, version)
        verdict = promote(project, version)
    story.verdict = list(verdict.reasons)
    print(f"{story.command}: " + "\n  ".join(verdict.reasons))
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
