"""How stages and commands end: one line for a mistake, a code for a signal, no orphan."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tracking.made import alive, wait_for

from facegan.errors import FaceganError
from facegan.repository.running import guarded

STAGE = """
import signal, sys, time
from pathlib import Path
from facegan.repository.running import Stop, run_stage
stop = Stop if sys.argv.pop(1) == "stop" else lambda: lambda: False

def sleepy(project):
    asked = stop()
    Path("started").write_text(str(__import__("os").getpid()))
    while not asked():
        time.sleep(0.05)
    Path("saved").write_text("")
    sys.exit(128 + asked.signal)

run_stage(sleepy)
"""


def raising(error: BaseException) -> object:
    def work() -> None:
        raise error

    return work


def test_work_that_is_done_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: None, debug=False) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (FaceganError("params.yaml: no"), 1, "error: params.yaml: no\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "models/x"),
            1,
            "error: models/x: No space left on device; no partial file was left\n",
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            1,
            "error: writing: Read-only file system; no partial file was left\n",
        ),
    ],
)
def test_what_a_person_can_put_right_is_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error), debug=False) == code  # type: ignore[arg-type]
    assert capsys.readouterr().err == line


def test_what_is_used_up_is_named_with_the_parameter_that_helps(capsys: pytest.CaptureFixture[str]) -> None:
    def fill_the_disk() -> None:
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")

    def fill_the_memory() -> None:
        torch.empty(2**60, dtype=torch.uint8)

    for work in (fill_the_memory, raising(MemoryError())):
        assert guarded(work, False, memory="a lower train.microbatch") == 1  # type: ignore[arg-type]
        assert capsys.readouterr().err == "error: there is not enough memory; a lower train.microbatch helps\n"
    assert guarded(fill_the_disk, False, disk="lower data.limit") == 1
    assert capsys.readouterr().err == (
        "error: writing: No space left on device; no partial file was left; free some space, or lower data.limit\n"
    )
    for work in (fill_the_memory, fill_the_disk):
        assert guarded(work, False) == 1
        assert "helps" not in (line := capsys.readouterr().err) and "or lower" not in line


@pytest.mark.parametrize("error", [FaceganError("no"), OSError(errno.ENOSPC, "full"), MemoryError()])
def test_debug_shows_the_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        guarded(raising(error), debug=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ValueError("a bug"), RuntimeError("a bug"), OSError(errno.EIO, "a broken disk")])
def test_a_bug_is_not_dressed_up(error: Exception) -> None:
    with pytest.raises(type(error)):
        guarded(raising(error), debug=False)  # type: ignore[arg-type]


@pytest.fixture
def stage(tmp_path: Path) -> "list[str]":
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    return [sys.executable, "-c", STAGE]


def started(folder: Path) -> int:
    wait_for(lambda: (folder / "started").is_file() and (folder / "started").read_text(), 60, "the stage's start")
    return int((folder / "started").read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["stop", "plain"])
def test_a_signal_ends_a_stage_with_its_own_code(
    stage: "list[str]", tmp_path: Path, number: signal.Signals, kind: str
) -> None:
    process = subprocess.Popen([*stage, kind], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    started(tmp_path)
    process.send_signal(number)
    told = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number
    assert "Traceback" not in told
    assert (tmp_path / "saved").exists() == (kind == "stop")


def test_the_second_signal_ends_a_stage_that_does_not_come_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    stuck = STAGE.replace("while not asked():", "while True:")
    process = subprocess.Popen([sys.executable, "-c", stuck, "stop"], cwd=tmp_path)
    started(tmp_path)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM


def test_a_stage_stops_when_its_parent_is_gone(stage: "list[str]", tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    parent = subprocess.Popen([sys.executable, "-c", code, *stage, "stop"], cwd=tmp_path)
    child = started(tmp_path)
    parent.kill()
    parent.wait()
    try:
        wait_for(lambda: not alive(child), 30, "the orphan's end")
        assert (tmp_path / "saved").exists()
    finally:
        if alive(child):
            os.kill(child, signal.SIGKILL)
