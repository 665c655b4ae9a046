"""The `facegan` command: what it offers, and how it refuses."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.running import Command
from facegan.errors import FaceganError
from facegan.repository.project import Project

ROOT = Path(__file__).parents[2]
COMMANDS = ("recipe", "data", "generate", "compare", "doctor", "record")
IN_A_PROJECT = (("recipe", "list"), ("recipe", "use", "base"), ("data", "pin"), ("compare",), ("record",))


def test_help_names_every_command(facegan: Command) -> None:
    ended = facegan("--help")
    assert ended.code == 0
    assert all(f"\n    {name} " in ended.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help(facegan: Command, name: str) -> None:
    ended = facegan(name, "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"usage: facegan {name}")


@pytest.mark.parametrize(
    "arguments", [(), ("nope",), ("recipe",), ("recipe", "nope"), ("data",), ("generate", "--nope")]
)
def test_a_command_that_is_none_exits_with_2_and_shows_the_usage(facegan: Command, arguments: tuple[str, ...]) -> None:
    ended = facegan(*arguments)
    assert ended.code == 2
    assert ended.err.startswith("usage: facegan")


@pytest.mark.parametrize("arguments", IN_A_PROJECT)
def test_outside_of_a_project_every_command_says_so(
    facegan: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert facegan(*arguments).error.startswith(f"{tmp_path} is not inside a facegan project")


def test_tools_are_found_beside_the_interpreter(
    project: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started by its path, from a shell in which no environment is active."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert facegan("recipe", "list").code == 0
    assert shutil.which("dvc") == str(Path(sys.executable).parent / "dvc")
    before = os.environ["PATH"]
    facegan("recipe", "list")
    assert os.environ["PATH"] == before


def test_make_ui_opens_a_server_that_runs_are_on(tmp_path: Path) -> None:
    """`mlflow ui` over an HTTP address ends with a traceback."""
    (tmp_path / "browser").write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    (tmp_path / "browser").chmod(0o755)
    uri = "http://127.0.0.1:9/runs"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "BROWSER": str(tmp_path / "browser")}
    rule = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "ui"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    script = rule[rule.index("case ") :]
    subprocess.run(["sh", "-c", script], env=environment, check=True, timeout=60)
    assert (tmp_path / "opened").read_text() == f"{uri}\n"


@pytest.mark.usefixtures("project")
def test_debug_lets_the_error_through(monkeypatch: pytest.MonkeyPatch) -> None:
    from facegan.cli import main

    monkeypatch.setattr(sys, "argv", ["facegan", "--debug", "recipe", "show", "nope"])
    with pytest.raises(FaceganError):
        main.main()


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["plain", "debug"])
def test_the_installed_command_prints_one_line_or_the_traceback(project: Project, debug: list[str]) -> None:
    command = Path(sys.executable).with_name("facegan")
    ended = subprocess.run(
        [command, *debug, "recipe", "use", "nope"], cwd=project.root, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    line = "unknown recipe 'nope'; the recipes are base, conditional-64, conv-128, conv-64"
    if debug:
        assert ended.stderr.startswith("Traceback")
        assert line in ended.stderr.splitlines()[-1]
    else:
        assert ended.stderr.startswith(f"error: {line}") and ended.stderr.count("\n") == 1


def test_what_most_commands_need_is_imported_fast() -> None:
    # `facegan recipe` and the start of a stage should not wait for MLflow or torch.
    code = "import sys, facegan.cli.main; print({'torch', 'mlflow', 'matplotlib'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "set()\n"


def test_a_params_file_that_is_not_text_is_one_line(project: Project, facegan: Command) -> None:
    (project.root / "params.yaml").write_bytes(b"seed: \xff\xfe\n")
    assert "params.yaml" in facegan("data", "pin").error
