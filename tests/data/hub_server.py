"""A hub that the real ``datasets`` client talks to: files of one data set by commit, over HTTP."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """Commits of one data set, the newest one last; files by path."""

    name: str
    commits: dict[str, dict[str, bytes]]
    token: str | None = None  # that a request must bring
    url: str = ""
    status: int | None = None  # that every request is answered with
    cut: bool = False  # content breaks off in the middle, once
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self._posted = self.rfile.read(length).decode()
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.asked.append(f"{self.command} {path}")
        if hub.status:
            return self._send(hub.status, b"{}", body)
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self._send(401, b"{}", body, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "no such thing"})
        if not (match := re.fullmatch(rf"(/api)?/datasets/{hub.name}(?:/(\w[\w-]*)/([^/]+)(?:/(.*))?)?", path)):
            return self._send(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})
        api, verb, revision, inner = match.groups()
        commit = list(hub.commits)[-1] if revision in (None, "main") else revision
        if commit not in hub.commits:
            return self._send(404, b"{}", body, {"X-Error-Code": "RevisionNotFound"})
        files = hub.commits[commit]
        if verb == "resolve":
            return self._file(files.get(inner or ""), commit, body)
        if not api:
            return self._send(404, b"{}", body)
        if verb == "tree":
            entries = _tree(files, f"{inner}/" if inner else "", "recursive=true" in self.path.lower())
            return self._send(200, json.dumps(entries).encode(), body)
        if verb == "paths-info":
            wanted = json.loads(self._posted)["paths"]
            entries = [_entry(name, files[name]) for name in wanted if name in files]
            return self._send(200, json.dumps(entries).encode(), body)
        info: dict[str, object] = {
            "cardData": {"license": "cc0-1.0"},
            "id": hub.name,
            "sha": commit,
            "siblings": [{"rfilename": name} for name in files],
            "tags": [],
        }
        info |= {"private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0}
        info |= {"lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z"}
        return self._send(200, json.dumps(info).encode(), body)

    def _file(self, content: bytes | None, commit: str, body: bool) -> None:
        if content is None:
            return self._send(404, b"", body, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(match[1]), int(match[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return self._send(206, content[first : last + 1], body, headers)
        if body and self.hub.cut and len(content) > 1000:
            self.hub.cut = False
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return None
        return self._send(200, content, body, headers)

    def _send(self, status: int, content: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


def _entry(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _tree(files: dict[str, bytes], folder: str, recursive: bool) -> list[dict[str, object]]:
    entries: dict[str, dict[str, object]] = {}
    for name, content in files.items():
        if not name.startswith(folder):
            continue
        parts = name.removeprefix(folder).split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            inner = folder + "/".join(parts[:depth])
            entries[inner] = {
                "type": "directory",
                "path": inner,
                "size": 0,
                "oid": hashlib.sha1(inner.encode()).hexdigest(),
            }
        if recursive or len(parts) == 1:
            entries[name] = _entry(name, content)
    return list(entries.values())
