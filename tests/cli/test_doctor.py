"""`facegan doctor`: a line for each thing that a run needs, and what to do about what lacks."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from tracking.made import free_port, spec, write_journal, write_params

from cli.running import Command, Ended
from facegan.repository.project import Project

SECRET = "s3cret-pass"
LINE = re.compile(r"^(ok   |note |fail ) (\S+) +(\S.*)$")


def findings(ended: Ended) -> dict[str, tuple[str, str]]:
    """What was looked at: the last level and text of each."""
    matches = [LINE.match(line) for line in ended.out.splitlines()]
    assert all(matches), ended.out
    return {match[2]: (match[1].strip(), match[3]) for match in matches if match}


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC on the path, as in an environment that is active."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def test_a_machine_that_has_all_is_ok(project: Project, facegan: Command) -> None:
    ended = facegan("doctor")
    assert ended.code == 0, ended
    found = findings(ended)
    assert {"python", "torch", "device", "disk", "project", "tools", "params.yaml", "mlflow"} <= set(found)
    assert not [name for name, (level, _) in found.items() if level == "fail"]
    assert found["project"] == ("ok", str(project.root))
    assert "synthetic pictures, 40x32" in found["params.yaml"][1]
    assert not (project.root / "mlflow.db").exists()  # looking makes nothing


def test_a_database_that_is_there_is_opened(project: Project, facegan: Command, empty_database: Path) -> None:
    shutil.copyfile(empty_database, project.root / "mlflow.db")
    level, text = findings(facegan("doctor"))["mlflow"]
    assert level == "ok" and str(project.root / "mlflow.db") in text


def test_outside_of_a_project_it_looks_at_the_machine_all_the_same(
    facegan: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = facegan("doctor")
    found = findings(ended)
    assert found["python"][0] == "ok" and found["project"][0] == "fail"
    assert re.fullmatch(r"doctor: \d of these must be fixed first", ended.error)


def test_bad_parameters_are_a_failure_that_names_the_key(project: Project, facegan: Command) -> None:
    write_params(project.root, {"seed": "one"})
    ended = facegan("doctor")
    assert [text for level, text in findings(ended).values() if level == "fail" and "seed" in text]
    assert ended.code == 1


def test_a_folder_of_pictures_is_looked_at(project: Project, facegan: Command) -> None:
    def found() -> tuple[str, str]:
        return findings(facegan("doctor"))["pictures"]

    values = project.params().model_dump()
    values["data"] |= {"source": "folder", "folder": {"path": "faces", "digest": None}}
    write_params(project.root, json.loads(json.dumps(values)))
    level, text = found()
    assert level == "fail" and "faces" in text
    (project.root / "faces").mkdir()
    (project.root / "faces/1.png").write_bytes(b"x")
    assert found() == ("ok", "1 in faces, not pinned: `facegan data pin` does")
    assert facegan("data", "pin").code == 0
    assert found() == ("ok", "1 in faces, as pinned")
    (project.root / "faces/2.png").write_bytes(b"y")
    level, text = found()
    assert level == "fail" and "faces changed" in text


def test_tools_that_lack_are_named(project: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dvc` is found beside the interpreter."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert findings(facegan("doctor"))["tools"] == ("fail", "not installed: git")


def test_a_device_that_is_not_there_is_a_failure(
    project: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGAN_DEVICE", "cuda:77")
    ended = facegan("doctor")
    assert ended.code == 1
    assert findings(ended)["device"][0] == "fail"


def test_rows_that_wait_for_mlflow_are_told(project: Project, facegan: Command) -> None:
    folder = project.state / "training"
    folder.mkdir(parents=True)
    spec().write(folder)
    write_journal(folder)
    level, text = findings(facegan("doctor"))["mlflow"]
    assert level == "note" and "1 training" in text and "facegan record" in text


def test_a_dead_server_is_a_failure_without_its_password(
    project: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{SECRET}@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ended = facegan("doctor")
    assert ended.code == 1
    assert SECRET not in ended.out + ended.err
    assert [text for level, text in findings(ended).values() if level == "fail" and "***@" in text]


@pytest.mark.parametrize("name", ["KAGGLE_API_TOKEN", "KAGGLE_KEY"])
def test_a_token_is_noticed_and_not_shown(
    project: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for other in ("KAGGLE_API_TOKEN", "KAGGLE_KEY"):
        monkeypatch.delenv(other, raising=False)
    assert findings(facegan("doctor"))["kaggle"][0] == "note"
    monkeypatch.setenv(name, SECRET)
    ended = facegan("doctor")
    assert findings(ended)["kaggle"][0] == "ok"
    assert SECRET not in ended.out + ended.err


def test_json_holds_every_finding(project: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ended = facegan("doctor", "--json")
    assert ended.code == 1 and "of these must be fixed first" in ended.err
    found = {finding["what"]: (finding["level"], finding["found"]) for finding in json.loads(ended.out)["findings"]}
    assert found["tools"] == ("fail", "not installed: git") and found["python"][0] == "ok"
