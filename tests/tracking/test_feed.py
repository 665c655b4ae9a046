"""From the journal to MLflow: beside the training, after it, after a failure; each row once."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from facegan.tracking import feed
from facegan.tracking.feed import Feed, send, send_backlog, set_aside, unsent
from facegan.tracking.journal import Journal
from facegan.tracking.view import MlflowClient, RunView, Server, find_run
from tracking.made import (
    DAMAGES,
    MlflowServer,
    damaged_folder,
    free_port,
    held,
    history,
    pictures,
    spec,
    wait_for,
    write_journal,
)

EVERY = {"loss_generator", "d_real", "score", "images_per_second", "step_loss_generator", "step_loss_discriminator"}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / ".facegan"


@pytest.fixture
def working(state: Path) -> Path:
    """The folder of a training, as it begins."""
    folder = state / ("b" * 64)
    folder.mkdir(parents=True)
    spec().write(folder)
    return folder


@pytest.fixture
def own_server(tmp_path: Path, empty_database: Path) -> Iterator[MlflowServer]:
    """A server to stop and start, not running yet."""
    server = MlflowServer(tmp_path / "server", empty_database)
    yield server
    server.kill()


def started(folder: Path, server: Server) -> Feed:
    return Feed(folder, server.uri, server.experiment, server.artifacts, server.lock)


def run_of(server: Server, lineage: str = "a" * 64) -> str:
    run = find_run(server, lineage)
    assert run is not None
    return str(run.info.run_id)


def assert_complete(server: Server, run_id: str, ticks: int = 3) -> None:
    """Every row and picture of ``write_journal`` once, at the journal's own times."""
    client = MlflowClient(server.uri)
    rows = history(client, run_id)
    assert set(rows) == EVERY
    assert [step for step, _, _ in rows["loss_generator"]] == [1000 * tick for tick in range(1, ticks + 1)]
    assert [step for step, _, _ in rows["step_loss_generator"]] == [200 * k for k in range(1, 5 * ticks + 1)]
    assert pictures(client, run_id) == {
        ("samples", 1000 * tick, ending): 1 for tick in range(ticks + 1) for ending in ("png", "webp")
    }


def test_a_training_is_shown_while_it_runs(working: Path, server: Server) -> None:
    client = MlflowClient(server.uri)
    write_journal(working, range(1, 3), end=None)
    feeder = started(working, server)
    wait_for(lambda: find_run(server, "a" * 64), 60, "the run")
    run_id = run_of(server)
    wait_for(lambda: len(history(client, run_id).get("d_real", [])) == 2, 30, "two ticks")
    assert client.get_run(run_id).info.status == "RUNNING"
    write_journal(working, range(3, 4))
    assert feeder.finish()
    assert_complete(server, run_id)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED" and run.data.tags["facegan.bits"] == "one environment"


def test_a_training_that_was_killed_is_said_so_and_goes_on_as_the_same_run(working: Path, local: Server) -> None:
    code = """
import os, sys, time; from pathlib import Path
from facegan.tracking.feed import Feed
from tracking.made import write_journal
folder, uri, artifacts, lock = sys.argv[1:]
write_journal(Path(folder), range(1, 3), end=None)
Feed(Path(folder), uri, "facegan", Path(artifacts), Path(lock))
time.sleep(600)
"""
    places = [str(working), local.uri, str(local.artifacts), str(local.lock)]
    training = subprocess.Popen([sys.executable, "-c", code, *places], cwd=Path(__file__).parents[1])
    client = MlflowClient(local.uri)
    wait_for(lambda: find_run(local, "a" * 64), 60, "the run")
    training.kill()
    training.wait()
    run_id = run_of(local)
    wait_for(lambda: client.get_run(run_id).info.status == "KILLED", 30, "KILLED")
    feeder = started(working, local)
    write_journal(working, range(2, 4))  # the tick after the checkpoint again, and one more
    assert feeder.finish()
    assert run_of(local) == run_id
    assert_complete(local, run_id)
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_resume_on_another_machine_is_tagged(working: Path, local: Server) -> None:
    write_journal(working, range(1, 2), end=None)
    with Journal(working) as journal:
        journal.write("start", environment={"device": "CPU", "threads": 1})
        journal.write("end", status="FINISHED")
    send(working, local)
    assert MlflowClient(local.uri).get_run(run_of(local)).data.tags["facegan.bits"] == "mixed"


def test_an_alarm_is_a_tag(working: Path, local: Server) -> None:
    with Journal(working) as journal:
        journal.write("alarm", 4000, alarm="discriminator has won")
    send(working, local)
    tags = MlflowClient(local.uri).get_run(run_of(local)).data.tags
    assert tags["facegan.alarm"] == "discriminator has won at 4000 images"


def test_what_a_dead_server_could_not_take_is_sent_once_when_it_is_back(
    working: Path, state: Path, own_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PATIENCE", 1.0)  # of this process: how long it waits for the feeder
    server = Server(own_server.uri, "facegan", tmp_path / "unused", tmp_path / "lock")
    began = time.monotonic()
    feeder = started(working, server)
    write_journal(working)
    assert not feeder.finish()
    assert time.monotonic() - began < 30  # a dead server costs no minutes
    set_aside(working, state)
    assert len(unsent(state)) == 1
    with pytest.raises(Exception, match=r"(?i)connection|retries"):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        send_backlog(state, server)
    assert len(unsent(state)) == 1
    own_server.start()
    send_backlog(state, server)
    assert_complete(server, run_of(server))
    assert unsent(state) == [] and not list((state / "outbox").iterdir())


def test_a_server_that_goes_and_comes_back_has_every_row_once(
    working: Path, own_server: MlflowServer, tmp_path: Path
) -> None:
    server = Server(own_server.uri, "facegan", tmp_path / "unused", tmp_path / "lock")
    own_server.start()
    feeder = started(working, server)
    write_journal(working, range(1, 2), end=None)
    wait_for(lambda: find_run(server, "a" * 64), 60, "the run")
    own_server.kill()
    write_journal(working, range(2, 3), end=None)
    time.sleep(3)  # it tries in vain
    own_server.start()
    write_journal(working, range(3, 4))
    assert feeder.finish()
    assert_complete(server, run_of(server))


def test_the_next_training_sends_what_another_left(working: Path, state: Path, local: Server) -> None:
    other = state / ("c" * 64)
    other.mkdir()
    spec("c" * 64).write(other)
    write_journal(other)
    set_aside(other, state)
    feeder = started(working, local)
    write_journal(working)
    assert feeder.finish()
    for lineage in ("a" * 64, "c" * 64):
        assert_complete(local, run_of(local, lineage))
    assert not list((state / "outbox").iterdir())


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_costs_only_what_is_damaged(
    working: Path, state: Path, local: Server, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged_folder(state / "outbox/other-1", damage)
    write_journal(working)
    send_backlog(state, local)
    assert_complete(local, run_of(local))
    if damage == "another version's run":
        assert "other-1 is left as it is" in capsys.readouterr().err
        assert (state / "outbox/other-1").is_dir()
    else:
        steps = [step for step, _, _ in history(MlflowClient(local.uri), run_of(local, "d" * 64))["d_real"]]
        assert steps == [1000, 2000, 3000]
        assert not (state / "outbox/other-1").exists()


def test_a_folder_that_its_own_training_removes_meanwhile_is_passed_over(
    working: Path, state: Path, local: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = state / "outbox/gone-1"
    monkeypatch.setattr(feed, "unsent", lambda state: [gone, working])  # as listed a moment ago
    write_journal(working)
    send_backlog(state, local)
    assert_complete(local, run_of(local))


def test_a_database_that_is_deleted_under_it_is_made_anew(working: Path, local: Server) -> None:
    write_journal(working, range(1, 3), end=None)
    feeder = started(working, local)
    wait_for(lambda: find_run(local, "a" * 64), 60, "the run")
    for path in Path(local.uri.removeprefix("sqlite:///")).parent.glob("mlflow.db*"):
        path.unlink()
    write_journal(working, range(3, 4))
    code = """
import sys; from mlflow import MlflowClient
client = MlflowClient(sys.argv[1]); (run,) = client.search_runs(["1"])
print(len(client.get_metric_history(run.info.run_id, "d_real")))"""
    command = [sys.executable, "-c", code, local.uri]  # this process still holds the deleted one

    def told() -> str:
        if not Path(local.uri.removeprefix("sqlite:///")).is_file():
            return ""
        return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True).stdout.strip()

    wait_for(lambda: told() == "3", 120, "all rows in the new one")
    assert feeder.finish()


def test_signals_are_for_the_training(working: Path, local: Server) -> None:
    feeder = started(working, local)
    write_journal(working)
    wait_for(lambda: find_run(local, "a" * 64), 60, "the run")
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(feeder._process.pid, number)
    assert feeder.finish()
    assert_complete(local, run_of(local))


def test_a_password_in_the_address_is_seen_nowhere(
    working: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    address = f"http://ann:s3cret@127.0.0.1:{free_port()}"
    feeder = Feed(working, address, "facegan", tmp_path / "unused", tmp_path / "lock")
    command = Path(f"/proc/{feeder._process.pid}/cmdline")
    assert not command.exists() or b"s3cret" not in command.read_bytes()
    write_journal(working)
    assert not feeder.finish()
    told = capfd.readouterr()
    assert "the training continues" in told.err
    assert "s3cret" not in told.out + told.err
    assert not any(b"s3cret" in path.read_bytes() for path in working.rglob("*") if path.is_file())


def test_an_mlflow_that_lost_a_run_gets_it_whole(working: Path, local: Server) -> None:
    write_journal(working)
    send(working, local)
    MlflowClient(local.uri).delete_run(RunView(local, spec()).run_id)
    shutil.rmtree(local.artifacts)
    send(working, local)
    assert_complete(local, run_of(local))


DIGESTS = {f"facegan.sha256.{name}": name for name in ("generator", "evaluation")}


def whole(server: Server, attempt: str) -> RunView:
    """The run of a training that is done, scored and recorded."""
    view = RunView(server, spec(attempt=attempt))
    view.set_tags(DIGESTS)
    view.set_status("FINISHED")
    return view


def test_rows_that_come_when_the_run_is_whole_change_nothing(state: Path, working: Path, local: Server) -> None:
    write_journal(working, end="KILLED")
    client = MlflowClient(local.uri)
    run_id = whole(local, spec().attempt).run_id
    before = held(client, run_id)
    send(working, local)
    assert held(client, run_id) == before and unsent(state) == []


@pytest.mark.parametrize(("generator", "same"), [("generator", True), ("another", False)])
def test_a_training_that_came_to_the_weights_of_a_run_that_is_there_says_so(
    working: Path, local: Server, generator: str, same: bool
) -> None:
    client = MlflowClient(local.uri)
    first = whole(local, "of another time").run_id
    before = held(client, first)
    write_journal(working, end=None)
    send(working, local)
    own = RunView(local, spec())
    assert client.get_run(own.run_id).info.status == "KILLED" and own.run_id != first
    with Journal(working) as journal:
        journal.write("end", status="FINISHED", generator=generator)
    send(working, local)
    run = client.get_run(own.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags.get("facegan.same_as") == (first if same else None)
    assert held(client, first) == before
    assert run_of(local) == first
