"""The process that shows a journal in MLflow while a training runs.

A process of its own, so that nothing MLflow does (importing, waiting for a server) takes time from the training. It
reads the journal's new rows every second and ends when its standard input closes, which happens when the training
ends in any way. What cannot be sent stays in the journal: the next start, or ``record``, sends it.
"""

import argparse
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from facegan.errors import FaceganError
from facegan.startup import leave, start_quickly
from facegan.tracking.errors import one_line
from facegan.tracking.journal import NAME, Row, read_rows
from facegan.tracking.lineage import SPEC, RunSpec, environment_tags

if TYPE_CHECKING:  # MLflow takes seconds to import: only the feeder's own process does
    from facegan.tracking.view import Server

SENT, LOCK, OUTBOX = "sent", "feed.lock", "outbox"
PATIENCE = 20.0  # seconds that a finished training waits for a slow server
HTTP = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


class Feed:
    """A running feeder, seen from the training."""

    def __init__(self, folder: Path, uri: str, experiment: str, artifacts: Path, lock: Path) -> None:
        arguments = [str(folder), "--experiment", experiment, "--artifacts", str(artifacts), "--lock", str(lock)]
        environment = {**HTTP, **os.environ, "FACEGAN_FEED_URI": uri}  # not an argument: it may hold a password
        self._process = subprocess.Popen(
            [sys.executable, "-m", "facegan.tracking.feed", *arguments], stdin=subprocess.PIPE, env=environment
        )

    def finish(self) -> bool:
        """Let it send the rest; True when everything arrived."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            return self._process.wait(PATIENCE + 5) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False


@contextmanager
def alone(folder: Path, wait: bool) -> Iterator[bool]:
    """Be the only one who feeds from ``folder``; False when another does and ``wait`` is not wanted."""
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def unsent(state: Path) -> list[Path]:
    """Folders below ``.facegan`` whose journals hold rows that MLflow has not seen."""
    folders = [path.parent for pattern in ("*", f"{OUTBOX}/*") for path in state.glob(f"{pattern}/{NAME}")]
    return sorted(folder for folder in folders if (folder / SPEC).is_file() and _sent(folder) < _size(folder))


def set_aside(folder: Path, state: Path) -> None:
    """Keep the journal and pictures of a finished training until they are sent."""
    target = state / OUTBOX / f"{folder.name}-{time.time_ns()}"
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)


def remove(folder: Path) -> None:
    """Delete a folder of which everything is sent, while nobody feeds from it."""
    with alone(folder, wait=True):
        shutil.rmtree(folder)


def send(folder: Path, server: "Server") -> None:
    """Send all of a folder's journal. Raises whatever MLflow raises."""
    _Sender(folder, server).send(training=False)


def send_backlog(state: Path, server: "Server", wait: bool = False) -> None:
    """Send what earlier trainings could not; raises when the server still cannot be reached.

    Of a training that is done and that another process sends, ``wait`` for the end of that.
    """
    for folder in unsent(state):
        try:
            with alone(folder, wait=wait and folder.parent.name == OUTBOX) as free:
                if not free:
                    continue  # a feeder is at it
                send(folder, server)
                if folder.parent.name == OUTBOX:
                    shutil.rmtree(folder)
        except FaceganError as error:
            print(f"tracking: {error}; {folder} is left as it is", file=sys.stderr)
        except FileNotFoundError:
            if folder.is_dir():
                raise
            # its own training has sent and removed it meanwhile


class _Sender:
    """Sends new rows of one journal; after a failure it starts again, and what arrived is not sent twice."""

    def __init__(self, folder: Path, server: "Server") -> None:
        from facegan.tracking.view import RunView

        self._folder = folder
        self._spec = RunSpec.read(folder)
        self._view = RunView(server, self._spec)
        self._offset = 0
        self._environments: list[dict[str, object]] = []
        self._status = ""
        self._ended: str | None = None

    def send(self, training: bool) -> None:
        """Send what is new. Without a ``training`` that writes on, a journal that has no end is one that was killed.

        A run that is whole holds all of it, and stays as it is.
        """
        rows = list(read_rows(self._folder, self._offset))
        if self._view.whole:
            self._told(rows)
            return
        self._view.metrics(entry for row in rows for entry in _metrics(row))
        for row in rows:
            if row["kind"] == "image" and _readable(self._folder / row["file"]):
                self._view.image(row["key"], row["step"], self._folder / row["file"], row["time"])
            elif row["kind"] == "alarm":
                self._view.set_tags({"facegan.alarm": f"{row['alarm']} at {row['step']} images"})
            elif row["kind"] == "start":
                self._environments.append(row["environment"])
                self._view.set_tags(environment_tags(self._environments))
            self._ended = row.get("status") if row["kind"] == "end" else None
            if self._ended == "FINISHED" and row.get("generator"):
                self._compare(row["generator"])
        status = self._ended or ("RUNNING" if training else "KILLED")
        if status != self._status:
            self._view.set_status(status)
            self._status = status
        self._told(rows)

    def _told(self, rows: list[Row]) -> None:
        if rows:
            self._offset = rows[-1]["end"]
            (self._folder / SENT).write_text(str(self._offset))

    def _compare(self, generator: str) -> None:
        """A training that came to the bytes of a run which is there already is not another result."""
        from facegan.tracking.view import DIGEST, find_same

        view = self._view
        same = find_same(view.client, view.experiment_id, self._spec.lineage, {f"{DIGEST}generator": generator})
        if same is not None and same.info.run_id != view.run_id:
            view.same_as(same)


def _metrics(row: Row) -> Iterator[tuple[str, int, float, int]]:
    match row["kind"]:
        case "metrics" | "system":
            for key, value in row["values"].items():
                yield key, row["step"], value, row["time"]
        case "losses":
            for key, values in row["values"].items():
                for step, value in zip(row["steps"], values, strict=True):
                    yield key, step, value, row["time"]


def _readable(picture: Path) -> bool:
    """False for a sample that was deleted, or cut short by a power cut: the others are sent all the same."""
    try:
        with Image.open(picture) as image:
            image.load()
    except (OSError, SyntaxError):
        return False
    return True


def _sent(folder: Path) -> int:
    try:
        return int((folder / SENT).read_text())
    except (OSError, ValueError):
        return 0


def _size(folder: Path) -> int:
    try:
        return (folder / NAME).stat().st_size
    except FileNotFoundError:  # removed meanwhile: nothing is left to send
        return 0


def main() -> int:
    start_quickly()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--artifacts", type=Path, required=True)
    parser.add_argument("--lock", type=Path, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which then closes our input
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    from facegan.tracking.view import Server

    server = Server(os.environ["FACEGAN_FEED_URI"], arguments.experiment, arguments.artifacts, arguments.lock)
    with alone(arguments.folder, wait=True):
        return _follow(arguments.folder, server)


def _database(server: "Server") -> int | None:
    """Which file a local database is; another one when it was deleted and made anew."""
    try:
        return Path(server.uri.removeprefix("sqlite:///")).stat().st_ino if server.local else None
    except FileNotFoundError:
        return None


def _follow(folder: Path, server: "Server") -> int:
    from facegan.tracking.view import prepare

    sender: _Sender | None = None
    opened: int | None = None
    told = backlog = False
    deadline = float("inf")
    pause = 1.0
    while True:
        try:
            if server.local and opened is None:
                prepare(server)
                opened = _database(server)
            if server.local and (opened is None or _database(server) != opened):
                # Deleted, and MLflow would go on writing into the file that is gone: begin again.
                os.execv(sys.executable, [sys.executable, "-m", "facegan.tracking.feed", *sys.argv[1:]])  # noqa: S606
            sender = sender or _Sender(folder, server)
            sender.send(training=deadline == float("inf"))
            if not backlog:
                send_backlog(folder.parent, server)
                backlog = True
            pause = 1.0
            if deadline < float("inf") and _sent(folder) >= _size(folder):
                return 0
        except Exception as error:
            sender = None
            pause = min(30.0, 2 * pause)
            if not told:
                reason = one_line(error, 200)
                print(f"tracking: MLflow cannot be reached ({reason}); the training continues", file=sys.stderr)
                told = True
        if time.monotonic() > deadline:
            return 1
        if deadline < float("inf"):
            time.sleep(0.5)
        elif select.select([sys.stdin], [], [], pause)[0]:  # nothing is ever written: readable means closed
            deadline = time.monotonic() + PATIENCE


if __name__ == "__main__":
    leave(main())
