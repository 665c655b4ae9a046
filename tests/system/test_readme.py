"""Every command of the README, run as it stands there."""

import re
import shutil
import subprocess
from pathlib import Path

from conftest import REPOSITORY, Clone

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

# What another test runs, and what is not a command of the project.
ELSEWHERE = {
    "make repro": "the setup below, then test_run.py runs dvc repro",
    "make ui": "test_browser.py",
    "make test": "this is it",
    "make test-system": "this is it",
    "make lint": ".ci/run",
    "make bench": "takes an idle machine",
    "facegan data pin": "test_sources.py",
    "dvc repro": "test_run.py",
    "dvc remote add -d team /path/or/s3-or-ssh-url": "test_tracking.py",
    "export MLFLOW_TRACKING_URI=http://your-server:5000": "test_tracking.py",
}


def commands() -> list[str]:
    """Lines of the README's shell blocks, without their comments."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.split("#")[0].strip()]


def test_the_commands_run(finished: Clone, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    ran = 0
    for command in commands():
        if command in ELSEWHERE:
            continue
        if command.startswith("dvc exp run"):  # at the size of a test
            shutil.copy2(finished.root / "params.yaml", clone.root / "params.yaml")
        clone.run("bash", "-c", command)
        ran += 1
    assert ran >= 6
    assert (clone.root / "compare.html").is_file()
    assert (clone.root / "grid.png").is_file()
    assert (clone.root / "walk.png").is_file()


def test_every_target_of_the_makefile_is_told_and_told_truly() -> None:
    told = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in told.splitlines()}
    assert targets >= {"help", "setup", "repro", "test", "ui", "bench", "lint", "lock", "clean", "test-system"}
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=REPOSITORY, capture_output=True, check=True)


def test_files_and_variables_that_it_names_exist() -> None:
    for name in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (REPOSITORY / name).exists(), name
    sources = "".join(path.read_text() for path in (REPOSITORY / "src").rglob("*.py"))
    sources += "".join(path.read_text() for path in (REPOSITORY / "pipeline").glob("*.py"))
    for name in re.findall(r"`(FACEGAN_\w+)`", README):
        assert name in sources, name
