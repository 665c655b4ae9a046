"""A small Kaggle on the loopback interface, for the real client.

The client is pointed at it by environment variables alone, so child processes find it too: the environment
LOCALHOST makes `http://localhost` of `https://api.kaggle.com`, and this server is its HTTP proxy, on any free
port. (TEST means `http://localhost:7777`, and makes kagglehub's own client print whole answers and the
token.) As on the real Kaggle, DownloadDataset redirects to a signed URL of another host.
"""

import base64
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

SIGNATURE = "0123456789abcdef-signed-url"


@dataclass(frozen=True)
class Request:
    """What the client asked: an API call by its name, or "storage" for the archive itself."""

    call: str
    host: str
    range: str | None = None
    authorization: str | None = None
    user_agent: str | None = None
    body: dict[str, Any] = field(default_factory=dict)


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A ZIP of these names, kept as they are: also `../evil`."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, compress_type=method)
    return content.getvalue()


class KaggleServer:
    """Serves one archive for every handle; a test changes the attributes to make it misbehave."""

    def __init__(self, archive: bytes = b"") -> None:
        self.archive = archive
        self.dataset: dict[str, Any] = {"title": "Drawn  Faces\n", "licenseName": "CC0-1.0"}
        self.status: dict[str, int] = {}  # answer this call ("storage", "storage-range", ...) with a status
        self.json: dict[str, Any] = {}  # or with this JSON and status 200
        self.storage = "http://storage.example"  # where DownloadDataset redirects to
        self.headers: dict[str, str] = {}  # more headers of every answer
        self.cut_at: int | None = None  # close the connection after so many bytes of the archive, once
        self.when_cut: Callable[[], None] = lambda: None  # called before it is closed
        self.honours_range = True  # else it answers 200 and everything, though it announces ranges
        self.announces = True  # Content-Length and Accept-Ranges
        self.sends_md5 = False
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead the real client here. `no_proxy` must not be set."""
        return {"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "http_proxy": self.url, "https_proxy": self.url}

    @property
    def calls(self) -> list[str]:
        return [request.call for request in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(kaggle: KaggleServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # an API call
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            call = self._note(urlsplit(self.path).path.rsplit("/", 1)[-1], body)
            if call in kaggle.status or call in kaggle.json:
                self._refuse(call)
            elif call == "DownloadDataset":
                self._answer(302, {"Location": f"{kaggle.storage}/bundle?X-Goog-Signature={SIGNATURE}"})
            else:
                self._answer(200, {"Content-Type": "application/json"}, json.dumps(kaggle.dataset).encode())

        def do_GET(self) -> None:  # the archive
            wanted = self.headers["Range"]
            call = self._note("storage", {})
            if wanted and f"{call}-range" in kaggle.status:
                self._refuse(f"{call}-range")
                return
            if call in kaggle.status:
                self._refuse(call)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and kaggle.honours_range else 0
            headers = {"Content-Type": "application/zip"}
            if kaggle.announces:
                headers["Accept-Ranges"] = "bytes"
            if kaggle.sends_md5:
                md5 = base64.b64encode(hashlib.md5(kaggle.archive).digest()).decode()
                headers["x-goog-hash"] = f"crc32c=AAAAAA==,md5={md5}"
            self._answer(206 if start else 200, headers, kaggle.archive[start:], cuttable=True)

        def _note(self, call: str, body: dict[str, Any]) -> str:
            host, get = urlsplit(self.path).netloc, self.headers.get
            kaggle.requests.append(Request(call, host, get("Range"), get("Authorization"), get("User-Agent"), body))
            return call

        def _refuse(self, call: str) -> None:
            if call in kaggle.json:
                content, kind = json.dumps(kaggle.json[call]).encode(), "application/json"
            else:
                content, kind = b"<Error>no, you there</Error>", "application/xml"
            self._answer(kaggle.status.get(call, 200), {"Content-Type": kind}, content)

        def _answer(self, status: int, headers: dict[str, str], body: bytes = b"", *, cuttable: bool = False) -> None:
            self.send_response(status)
            if kaggle.announces or not cuttable:
                self.send_header("Content-Length", str(len(body)))
            for name, value in {**headers, **kaggle.headers}.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            with suppress(ConnectionError):  # the client may leave when it has seen the headers
                if cuttable and kaggle.cut_at is not None:
                    self.wfile.write(body[: kaggle.cut_at])
                    kaggle.cut_at = None
                    kaggle.when_cut()
                else:
                    self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
