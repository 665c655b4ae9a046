"""The stage that exports: the best weights, and the last too where the judge cannot tell them apart."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from facegan.files import write_json
from facegan.repository.project import EXPORTED, TRAINED, Project
from pipeline.export import export


@pytest.fixture
def project(project_root: Path, tmp_path: Path) -> Project:
    root = Path(shutil.copytree(project_root, tmp_path / "project"))
    return Project(root, root)


def exported(project: Project, last_score: float) -> set[str]:
    """Names of what is exported when the judge said so of the last weights, and 1 of the best with an error of 0.5."""
    config = json.loads((project.root / TRAINED / "config.json").read_text())
    assert (config["best"]["score"], config["best"]["error"]) == (1.0, 0.5)
    config["last"]["score"] = last_score
    write_json(project.root / TRAINED / "config.json", config)
    export(project)
    return {path.name for path in (project.root / EXPORTED).iterdir()}


BOTH = {"generator-last.safetensors", "generator-last.onnx", "samples-last.png"}


def test_the_last_weights_are_exported_when_they_are_as_good(
    project: Project, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    worse = exported(project, 1.6)
    assert not worse & BOTH
    assert "generator-last" not in (project.root / EXPORTED / "MODEL_CARD.md").read_text()
    assert exported(project, 1.4) == worse | BOTH
    folder = project.root / EXPORTED
    assert "generator-last.onnx" in capsys.readouterr().out
    card = (folder / "MODEL_CARD.md").read_text()
    assert "(1.4 against 1 ± 0.5, lower is better)" in card and "(fd_face)" in card
    assert (folder / "generator-last.safetensors").read_bytes() == (
        project.root / TRAINED / "generator-last.safetensors"
    ).read_bytes()
    drawn = {}
    for name in ("generator.onnx", "generator-last.onnx"):
        out = tmp_path / f"{name}.png"
        command = [sys.executable, "generate.py", "--model", name, "--count", "4", "--out", str(out)]
        subprocess.run(command, cwd=folder, check=True)
        drawn[name] = out.read_bytes()
    assert drawn["generator.onnx"] != drawn["generator-last.onnx"]
    assert exported(project, 1.6) == worse  # and gone again


def test_a_model_that_is_not_there_is_one_line(project: Project) -> None:
    folder = project.root / EXPORTED
    done = subprocess.run(
        [sys.executable, "generate.py", "--model", "no.onnx"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "error: --model: no.onnx does not exist\n")
