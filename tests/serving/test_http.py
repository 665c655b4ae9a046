"""`facegan serve` as it is started, over real HTTP: fuzzed by its own description, and ended."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking.made import ROOT, free_port

from facegan.repository.project import EXPORTED

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def port(project_root: Path) -> Iterator[int]:
    found = free_port()
    serve = [BIN / "facegan", "serve", "--model", project_root / EXPORTED, "--port", str(found), "--max-count", "8"]
    process = subprocess.Popen(serve, cwd=project_root, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert f"on http://127.0.0.1:{found}" in process.stderr.readline()
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{found}/health", timeout=10)
            break
        except urllib.error.URLError:
            assert process.poll() is None
    yield found
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) in (0, -signal.SIGTERM)
    assert "Traceback" not in process.stderr.read()


def test_whatever_its_description_allows_or_forbids_it_answers_as_described(port: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "schemathesis", "run", f"http://127.0.0.1:{port}/openapi.json", "--max-examples", "80", "--seed", "1"],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "6/6" in done.stdout  # every operation was tried


def test_clients_that_go_away_do_no_harm(port: int) -> None:
    for _ in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.putrequest("POST", "/pictures")
        connection.putheader("Content-Length", "1000")
        connection.endheaders()
        connection.send(b"{")
        connection.close()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/model", timeout=10) as answer:
        found = json.load(answer)
        assert (found["height"], found["width"]) == (40, 32)


def test_connections_that_say_nothing_keep_nobody_out_and_are_closed(port: int) -> None:
    """More than are allowed, each with half a request."""
    silent = []
    try:
        for _ in range(1001):
            silent.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            silent[-1].sendall(b"GET /pictures.png HTTP/1.1\r\nHost: x\r\n")
        for path in ("health", "pictures.png"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=4) as answer:
                assert answer.status == 200
        with contextlib.suppress(ConnectionResetError):
            assert silent[-1].recv(1) == b""  # when its time is over
    finally:
        for each in silent:
            each.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "nowhere"), "nowhere: no generator.onnx there"),
        (("--model", "models/export", "--timeout", "0"), "--timeout and --reload should be seconds above 0"),
        (("--model", "models/export", "--port", "99999"), "--port 99999: should be 1 to 65535"),
        (("--model", "models/export", "--max-count", "0"), "--max-count: should be at least 1"),
        (("--model", "models/export", "--host", "300.1.1.1"), "--host 300.1.1.1"),
    ],
)
def test_what_cannot_be_served_ends_at_once(project_root: Path, arguments: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [BIN / "facegan", "serve", "--port", str(free_port()), *arguments],
        cwd=project_root, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr


def test_a_port_that_is_taken_ends_at_once(project_root: Path, port: int) -> None:
    serve = [BIN / "facegan", "serve", "--model", EXPORTED, "--port", str(port)]
    done = subprocess.run(serve, cwd=project_root, capture_output=True, text=True, timeout=60)
    assert (
        done.returncode != 0
        and "cannot be listened on: address already in use" in done.stderr
        and "Traceback" not in done.stderr
    )
