"""Real servers for tests, on free ports of this machine."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int, log: Path, env: dict[str, str] | None = None) -> Iterator[None]:
    """A server's process group, from when it accepts connections until the block ends."""
    env = {**(os.environ if env is None else env), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # nine processes less
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=env, start_new_session=True)
    try:
        until = time.monotonic() + 180
        while process.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def mlflow_server(folder: Path, port: int, store: str | None = None) -> list[str]:
    """The command of a tracking server that keeps everything in ``folder``."""
    return [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", store or f"sqlite:///{folder}/server.db",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip


@contextmanager
def postgresql(folder: Path, *databases: str) -> Iterator[str]:
    """A server of its own with empty databases, started and stopped here; gives the URI of mlflow, the first.

    PostgreSQL does not run as root: as root it runs as the user that Debian's package makes. So its data lie outside of
    pytest's folders, which every start of pytest closes to other users; its log is in ``folder``.
    """
    found = shutil.which("pg_ctl") or next(iter(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")))), "")
    assert found, "these tests need PostgreSQL: `apt-get install postgresql`"
    binaries = Path(found).resolve().parent
    root = os.geteuid() == 0
    folder.mkdir(parents=True)
    place = Path(tempfile.mkdtemp(prefix="facegan-postgresql-"))
    if root:
        shutil.chown(place, "postgres", "postgres")
    data, port = place / "data", free_port()

    def run(name: str, *arguments: object) -> None:
        command = [str(binaries / name), *map(str, arguments)]
        user = {"user": "postgres", "group": "postgres"} if root else {}
        with (folder / "postgresql.log").open("ab") as log:
            subprocess.run(command, check=True, cwd=place, stdout=log, stderr=log, timeout=120, **user)

    run("initdb", "--pgdata", data, "--username", "mlflow", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
    options = f"-p {port} -h 127.0.0.1 -k {place} -F"
    run("pg_ctl", "--pgdata", data, "--wait", "--log", place / "server.log", "--options", options, "start")
    try:
        for name in databases or ("mlflow",):
            run("createdb", "--host", "127.0.0.1", "--port", port, "--username", "mlflow", name)
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/mlflow"
    finally:
        run("pg_ctl", "--pgdata", data, "--mode", "immediate", "stop")
        shutil.rmtree(place, ignore_errors=True)
