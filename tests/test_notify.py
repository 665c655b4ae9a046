"""A webhook is told, and never a reason to fail."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tracking.made import free_port

from facegan.notify import VARIABLE, notify


class Hook(BaseHTTPRequestHandler):
    said: list[object] = []  # noqa: RUF012  # of one test
    status = 200

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.said.append((self.path, self.headers["Content-Type"], json.loads(content)))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(Hook, "said", [])
    url = f"http://127.0.0.1:{server.server_port}/services/T0/s3cret"
    monkeypatch.setenv(VARIABLE, url)
    yield url
    server.shutdown()
    server.server_close()


def test_a_line_arrives_as_slack_takes_it(hook: str) -> None:
    text = "faces: version 3 is promoted\nit is better"
    notify(text)
    assert Hook.said == [("/services/T0/s3cret", "application/json", {"text": text})]


@pytest.mark.parametrize("where", ["refused", "down", "no address", "nothing"])
def test_what_goes_wrong_is_one_line_without_the_address(
    hook: str, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Hook, "status", 403)
    urls = {"down": f"http://127.0.0.1:{free_port()}/s3cret", "no address": "s3cret", "nothing": ""}
    monkeypatch.setenv(VARIABLE, urls.get(where, hook))
    notify("faces")
    told = capsys.readouterr().err
    assert "s3cret" not in told and told.count("nobody was told") == told.count("\n") == (where != "nothing")
