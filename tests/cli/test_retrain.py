"""The report of a retraining: never an earlier one's, and never a reason to end otherwise."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.running import Command
from facegan.repository.project import Project
from facegan.retraining import releasing, story, training
from facegan.retraining.steps import StepFailed
from facegan.retraining.story import Story

REPORT = Path("reports/retrain/report.md")


@pytest.fixture
def stale(finished: Project) -> Path:
    """The report of an earlier retraining."""
    path = finished.root / REPORT
    path.parent.mkdir(parents=True)
    path.write_text("**Promoted.** an earlier one")
    return path


def refused(project: Project, wanted: Any, story: Story) -> int:
    story.verdict = ["version 3 is refused", "it is worse"]
    return 3


@pytest.mark.parametrize("broken", ["facegan.runs.revisions.read_workspace", "facegan.runs.formats.markdown"])
def test_a_report_that_cannot_compare_tells_the_verdict_and_changes_no_exit_code(
    stale: Path, facegan: Command, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*arguments: Any) -> Any:
        raise KeyError("protocol")

    monkeypatch.setattr(training, "retrain", refused)
    monkeypatch.setattr(broken, fail)
    ended = facegan("retrain")
    assert ended.code == 3 and "the runs could not be compared: 'protocol'" in ended.err
    assert "**Version 3 is refused.** it is worse." in stale.read_text() and "earlier" not in stale.read_text()


@pytest.mark.parametrize(
    ("code", "options", "outcome"),
    [(0, (), "trained"), (0, ("--promote",), "promoted"), (3, ("--promote",), "refused"), (4, (), "nothing new")],
)
def test_json_tells_how_it_ended_and_everything_else_goes_to_stderr(
    finished: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch, code: int, options: Any, outcome: str
) -> None:
    def work(project: Project, wanted: Any, story: Story) -> int:
        story.tell("worked")
        subprocess.run(["echo", "a command's words"], check=True)
        story.verdict = ["a reason"]
        return code

    monkeypatch.setattr(training, "retrain", work)
    ended = facegan("retrain", "--json", *options)
    assert ended.code == code
    said = json.loads(ended.out)
    assert said == {"outcome": outcome, "steps": ["worked"], "reasons": ["a reason"], "links": {}}
    assert "retrain: worked" in ended.err and "a command's words" in ended.err


@pytest.fixture
def steps(finished: Project, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A repository whose commands take no time: what was asked for, in order."""
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run(["git", *IDENTITY, *command], cwd=finished.root, check=True)
    asked: list[str] = []
    for half in (training, releasing):
        monkeypatch.setattr(half, "step", lambda root, hint, *command: asked.append(command[1]))
        monkeypatch.setattr(half, "try_all", lambda project, remote, push, promote: "main" if push else None)
        monkeypatch.setattr(half, "dvc", lambda root, *arguments: "team")
    monkeypatch.setattr(releasing, "commit_and_push", lambda root, branch: asked.append("git") or "pushed")
    return asked


IDENTITY = ["-c", "user.name=t", "-c", "user.email=t@example.org"]


def test_a_commit_that_came_while_it_trained_is_not_pushed_with_the_run(
    finished: Project, steps: list[str], facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(root: Path, hint: str, *command: str) -> None:
        if command[1] == "repro":
            subprocess.run(["git", *IDENTITY, "commit", "-qm", "mine", "--allow-empty"], cwd=root, check=True)

    assert facegan("retrain", "--push").code == 0 and steps == ["pull", "repro", "push", "git"]
    steps.clear()
    monkeypatch.setattr(training, "step", meanwhile)
    assert "HEAD has moved meanwhile; nothing was committed" in facegan("retrain", "--push").error
    assert steps == ["push"]


def test_a_remote_that_may_only_be_read_is_enough_to_train_and_report(
    finished: Project, steps: list[str], facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pull request has it."""

    def step(root: Path, hint: str, *command: str) -> None:
        if command[1] == "push":
            raise StepFailed("403")

    for half in (training, releasing):
        monkeypatch.setattr(half, "step", step)
    ended = facegan("retrain")
    assert ended.code == 0 and "DVC's remote cannot be written to" in ended.out
    assert facegan("retrain", "--push").error == "retrain: 403" and steps == []


def test_a_report_is_never_that_of_an_earlier_retraining(
    stale: Path, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(project: Project, wanted: Any, story: Story) -> bool:
        raise RuntimeError("the power went")

    monkeypatch.setattr(training, "retrain", fails)
    monkeypatch.setattr(story, "_write", lambda *arguments, **more: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(RuntimeError, match="the power went"):
        facegan("retrain")
    assert not stale.exists()


def test_a_bundle_is_not_pushed_and_what_failed_half_way_neither(
    finished: Project, steps: list[str], facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "pack", lambda root, folder, base, shared: steps.append(f"pack {folder}") or "ab12")
    ended = facegan("retrain", "--bundle", "bundle")
    assert ended.code == 0 and steps == ["pull", "repro", "pack bundle"] and "bundle.json is ab12" in ended.out
    for more in ("--push", "--promote"):
        assert "--bundle leaves the rest to `facegan release`" in facegan("retrain", "--bundle", "bundle", more).error


def test_a_release_says_which_bundle_it_cannot_take(finished: Project, facegan: Command) -> None:
    assert facegan("release", "nowhere").error == (
        "release: nowhere is not a bundle: it has no bundle.json; `facegan retrain --bundle` writes one"
    )
