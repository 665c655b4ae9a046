"""A proxy before a real server, which spoils the requests that it is told to: what networks and gateways do."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("refused", "reset", "slow", "cut", "403", "404", "500")
_DROPPED = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


class FaultyProxy:
    """``fault(number, route)`` names the fault of a request, or None; ``routes`` are those that were asked for.

    "refused" closes the connection before the request is read, "reset" after the server has carried it out, "slow"
    answers after ``patience`` seconds, "cut" sends half of the answer, a number answers with that status in HTML.
    """

    def __init__(self, target: str, patience: float = 3.0) -> None:
        self.fault: Callable[[int, str], str | None] = lambda number, route: None
        self.routes: list[str] = []
        self.patience = patience
        place = urlsplit(target)
        self._target = (place.hostname or "", place.port or 80)
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

            def __getattr__(self, name: str) -> Callable[[], None]:
                if name.startswith("do_"):
                    return lambda: proxy._answer(self)
                raise AttributeError(name)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["FaultyProxy"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def begin(self, fault: str | None, place: int = -1) -> None:
        """Count from zero again; the request number ``place`` has the fault."""
        with self._lock:
            self.routes = []
            self.fault = lambda number, route: fault if number == place else None

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        route = f"{request.command} {urlsplit(request.path).path}"
        with self._lock:
            number = len(self.routes)
            self.routes.append(route)
            fault = self.fault(number, route)
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        if fault == "refused":
            _reset(request)
            return
        if fault is not None and fault.isdecimal():
            _send(request, int(fault), [("content-type", "text/html")], b"<html>a gateway says no</html>")
            return
        if fault == "slow":
            time.sleep(self.patience)
        status, headers, content = self._forward(request, body)
        if fault == "reset":
            _reset(request)
            return
        _send(request, status, headers, content, half=fault == "cut")

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self._target, timeout=60)
        try:
            headers = {key: value for key, value in request.headers.items() if key.lower() not in _DROPPED}
            connection.request(request.command, request.path, body or None, headers)
            answer = connection.getresponse()
            kept = [(key, value) for key, value in answer.getheaders() if key.lower() not in _DROPPED]
            return answer.status, kept, answer.read()
        finally:
            connection.close()


def _send(
    request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes, half: bool = False
) -> None:
    request.send_response_only(status)
    for key, value in headers:
        request.send_header(key, value)
    request.send_header("content-length", str(len(content)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content[: len(content) // 2] if half else content)
    if half:
        request.wfile.flush()
        request.close_connection = True


def _reset(request: BaseHTTPRequestHandler) -> None:
    """Close with RST, as a machine does that has lost the connection."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.close_connection = True
    request.connection.close()
