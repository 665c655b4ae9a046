"""One writer at a time: others wait, and an orphan is ended. Real processes, joined by pipes."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from facegan.errors import FaceganError
from facegan.processes import began
from facegan.training import working
from facegan.training.working import Holder, WorkingFolder, hold, unfinished

SECONDS = 60  # a test that waits longer has failed

# Holds the folder until a line comes on its input; says "held" once it does, "stopped" when SIGTERM ends it.
HOLDER = """
import signal, sys
from pathlib import Path
from facegan.training.working import hold

def stop(*_):
    print("stopped", flush=True)
    sys.exit(143)

signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in sys.argv else stop)
with hold(Path(sys.argv[1]), "key") as folder:
    print("held", folder.path, flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""

# Starts a holder, waits until it holds, and leaves it behind.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), end="", flush=True)
"""


class Processes:
    def __init__(self, state: Path) -> None:
        self.state = state
        self.started: list[subprocess.Popen[str]] = []
        self.left_behind: list[int] = []

    def holder(self, *arguments: str) -> "subprocess.Popen[str]":
        return self.start("-c", HOLDER, str(self.state), *arguments)

    def orphan(self, *arguments: str) -> int:
        """The number of a process that holds the folder and whose parent is gone."""
        parent = self.start("-c", PARENT, "-c", HOLDER, str(self.state), *arguments)
        number, said = read_line(parent).split()[:2]
        self.left_behind.append(int(number))
        assert said == "held"
        parent.wait(SECONDS)
        return int(number)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.wait(SECONDS)
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        for number in self.left_behind:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


def read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], SECONDS)[0], "nothing is said"
    return process.stdout.readline()


def gone(number: int) -> bool:
    """Ended: no process, or one that only waits to be collected."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path / "state")
    yield processes
    processes.end()


def test_the_folder_is_made_and_named_by_the_key(tmp_path: Path) -> None:
    with hold(tmp_path / "state", "abc") as folder:
        assert folder == WorkingFolder(tmp_path / "state/abc")
        assert folder.path.is_dir()
        assert folder.checkpoint == folder.path / "checkpoint.safetensors"
        assert folder.samples == folder.path / "samples"
    with hold(tmp_path / "state", "abc"):  # and may be held again
        pass


def test_trainings_of_other_parameters_hold_their_own(tmp_path: Path) -> None:
    with hold(tmp_path, "a") as first, hold(tmp_path, "b") as second:
        assert first.path != second.path


def test_the_lock_outlives_the_folder_it_guards(tmp_path: Path, processes: Processes) -> None:
    # A finished training removes its folder while it still holds it: no second one may slip in.
    with hold(processes.state, "key") as folder:
        folder.path.rmdir()
        waiting = processes.holder()
        assert "waiting" in read_line(waiting)
        assert not folder.path.exists()
    assert read_line(waiting).startswith("held")


def test_a_second_training_waits_and_says_for_whom(processes: Processes) -> None:
    first = processes.holder()
    assert read_line(first).split() == ["held", str(processes.state / "key")]
    second = processes.holder()
    assert read_line(second) == f"train: another process ({first.pid}) trains the same parameters; waiting\n"
    assert first.poll() is None  # its parent lives: it is nobody's to end
    assert first.stdin is not None
    first.stdin.write("\n")
    assert read_line(first) == "released\n"
    assert read_line(second).startswith("held")  # and says it only once


def test_a_training_that_was_killed_holds_nothing(processes: Processes) -> None:
    first = processes.holder()
    read_line(first)
    first.kill()
    first.wait(SECONDS)
    assert read_line(processes.holder()).startswith("held")


def test_an_orphan_is_asked_to_stop_and_its_folder_taken(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    orphan = processes.orphan()
    assert not gone(orphan)
    with hold(processes.state, "key"):
        assert gone(orphan)
    assert capsys.readouterr().out == f"train: an orphaned training ({orphan}) holds this run; ending it\n"


def test_an_orphan_that_does_not_listen_is_killed(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "PATIENCE", 0.2)
    orphan = processes.orphan("deaf")
    with hold(processes.state, "key"):
        assert gone(orphan)


def test_an_orphan_gets_time_to_save(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    clock = iter(range(1000))  # a second passes whenever someone looks

    def send(pid: int, number: int) -> None:
        sent.append((next(clock), number))
        if number == signal.SIGKILL:
            os.kill(pid, number)

    monkeypatch.setattr(working, "_send", send)
    monkeypatch.setattr(working.time, "monotonic", lambda: float(next(clock)))
    processes.orphan("deaf")
    with hold(processes.state, "key"):
        pass
    assert [number for _, number in sent][:2] == [signal.SIGTERM, signal.SIGKILL]
    assert sent[1][0] - sent[0][0] > working.PATIENCE >= 10


def test_an_orphan_of_another_user_is_one_clear_line(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = processes.orphan()
    real = os.kill

    def kill(pid: int, number: int) -> None:
        if number:
            raise PermissionError
        real(pid, number)

    monkeypatch.setattr(working.os, "kill", kill)
    said = f"process {orphan} holds this run and belongs to another user"
    with pytest.raises(FaceganError, match=said), hold(processes.state, "key"):
        pass
    monkeypatch.undo()
    assert not gone(orphan)


@pytest.mark.parametrize(
    "changes",
    [
        {"machine": "another-host 1f0e 0"},  # over NFS, or in a container beside this one
        {"began": "1"},  # the number was given to another process meanwhile
        {"began": None},
    ],
    ids=["another machine", "another process", "unknown"],
)
def test_a_process_that_only_has_the_number_of_the_holder_is_left_alone(
    processes: Processes, changes: dict[str, Any]
) -> None:
    bystander = processes.start("-c", "import sys; sys.stdin.readline()")
    lock = processes.state / "locks/key"
    lock.parent.mkdir(parents=True)
    signed = {**asdict(Holder.this()), "pid": bystander.pid, "began": began(bystander.pid), "parent": 2**22 + 1}
    with lock.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lock.write_text(json.dumps({**signed, **changes}))
        waiting = processes.holder()
        assert "trains the same parameters; waiting" in read_line(waiting)
        time.sleep(0.5)
        assert bystander.poll() is None
    assert read_line(waiting).startswith("held")
    assert bystander.poll() is None


def test_a_lock_that_an_earlier_version_signed_is_waited_for(processes: Processes) -> None:
    lock = processes.state / "locks/key"
    lock.parent.mkdir(parents=True)
    with lock.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lock.write_text(f"{os.getpid()} {2**22 + 1}")
        waiting = processes.holder()
        assert read_line(waiting) == "train: another process (unknown) trains the same parameters; waiting\n"
    assert read_line(waiting).startswith("held")


def test_a_holder_that_has_not_signed_yet_is_waited_for(processes: Processes) -> None:
    lock = processes.state / "locks/key"
    lock.parent.mkdir(parents=True)
    with lock.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = processes.holder()
        assert read_line(waiting) == "train: another process (unknown) trains the same parameters; waiting\n"
    assert read_line(waiting).startswith("held")


def test_the_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), hold(tmp_path, "key"):
        raise RuntimeError
    with (tmp_path / "locks/key").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_child_of_the_training_does_not_hold_its_lock(tmp_path: Path) -> None:
    """The feeder outlives a killed training: it must not keep the next one waiting."""
    with hold(tmp_path, "key"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with (tmp_path / "locks/key").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()


def test_unfinished_trainings_are_those_with_a_checkpoint(tmp_path: Path) -> None:
    for key in ("b", "a", "mine"):
        (tmp_path / key).mkdir()
        (tmp_path / key / "checkpoint.safetensors").write_bytes(b"")
    (tmp_path / "no-checkpoint").mkdir()
    (tmp_path / "locks").mkdir()
    assert unfinished(tmp_path, "mine") == ["a", "b"]
    assert unfinished(tmp_path / "not there", "mine") == []


def test_a_training_has_one_name_until_it_is_done_and_what_it_leaves_is_not_taken_up(tmp_path: Path) -> None:
    with hold(tmp_path, "key") as folder:
        name = folder.begin(done=None)
        assert folder.begin(done="another") == folder.begin(done=None) == name
        (folder.path / "samples").mkdir()
        (folder.path / "journal.jsonl").write_text("rows")
        folder.checkpoint.write_text("weights")
        assert folder.begin(done=name) == name  # it ends once more, from its checkpoint
        folder.checkpoint.unlink()  # done, and killed before the rest was removed
        assert folder.begin(done=name) != name
        assert [path.name for path in folder.path.iterdir()] == ["attempt"]
