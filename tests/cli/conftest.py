"""Projects in folders of their own, and the command run in them."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tracking import made

from cli.running import Command, Ended
from facegan.cli import main as main_module
from facegan.repository.project import Project


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Nothing of the caller's MLflow, DVC or facegan; what a test sets does not reach the next."""
    with made.own_environment():
        yield


@pytest.fixture
def facegan(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """``facegan("recipe", "list")`` runs the command in the current folder, in this process."""

    def run(*arguments: Any) -> Ended:
        monkeypatch.setattr(sys, "argv", ["facegan", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main_module.main()
        sys.stdout.flush()
        told = capfd.readouterr()
        code = ended.value.code
        if isinstance(code, str):  # what Python does with it
            return Ended(1, told.out, told.err + code + "\n")
        return Ended(code or 0, told.out, told.err)

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that has run nothing yet, with tiny parameters; the current folder."""
    root = tmp_path / "project"
    made.copy_code(root)
    monkeypatch.chdir(root)
    return Project(root, root)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made.once("database", tmp_path_factory.mktemp("database"), lambda to: made.make_database(to / "mlflow.db"))
    return folder / "mlflow.db"


@pytest.fixture
def finished(project_root: Path, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of that project, with an empty database; the current folder."""
    root = Path(shutil.copytree(project_root, tmp_path / "finished"))
    shutil.copyfile(empty_database, root / "mlflow.db")
    monkeypatch.chdir(root)
    return Project(root, root)
