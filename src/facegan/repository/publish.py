"""The run of a retraining, committed and pushed: its own files, and nothing else."""

from collections.abc import Sequence
from pathlib import Path

from facegan.errors import FaceganError
from facegan.repository.tools import committed, git, try_git

RUN = ("params.yaml", "dvc.lock", "reports/data.json", "reports/evaluate.json")  # what is committed of a run
SKIP = "[skip ci]"  # in a commit message: GitHub and GitLab start no retraining for it


def is_run(root: Path) -> bool:
    """Whether the last commit is the run of a retraining, and nothing else."""
    changed = set(try_git(root, "show", "--name-only", "--format=", "--relative", "HEAD").splitlines())
    return try_git(root, "log", "-1", "--format=%s").endswith(SKIP) and changed <= set(RUN)


def place(root: Path) -> tuple[str, str]:
    """The commit and the branch that HEAD is."""
    return try_git(root, "rev-parse", "HEAD"), try_git(root, "symbolic-ref", "-q", "HEAD")


def commit_and_push(root: Path, branch: str) -> str:
    """The files of the run alone, whatever else is staged; gives what was done. Raises FaceganError, all put back."""
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
            put_back(root, there)
        raise FaceganError(
            f"{error}; {branch} may have moved while it trained. Nothing was committed or promoted, and what "
            "was trained is in DVC's cache: `git pull --rebase`, and rerun the command"
        ) from error
    return f"committed the run and pushed it to {branch}"


def put_back(root: Path, names: Sequence[str]) -> None:
    """Files of a run as the commit has them: the same command makes them again, from DVC's cache or a bundle."""
    for name in names:
        git(root, "reset", "--quiet", "--", name)
        if committed(root, "HEAD", name):
            git(root, "checkout", "--quiet", "HEAD", "--", name)
        else:
            (root / name).unlink(missing_ok=True)
