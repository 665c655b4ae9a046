"""Connections within bounds: one that sends no request in time is closed, and gives way when there are too many.

A client that opens connections and says nothing keeps nobody else out, least of all who asks for /health.
"""

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 1000  # connections at once
SECONDS = 5.0  # for the headers of a request


def allow_files() -> None:
    """As many open files as that many connections take, where the system's soft limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + 256 if hard == resource.RLIM_INFINITY else min(MOST + 256, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol of HTTP/1.1, with a deadline for headers and a bound on connections."""

    most, seconds = MOST, SECONDS
    silent: dict["BoundedProtocol", None] = {}  # noqa: RUF012  # without a request under way, the oldest first
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            next(iter(self.silent), self).close()
        if not transport.is_closing():
            self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._busy:
            self._in_time()
        if self._busy and not self.cycle.more_body:  # one that sends no body gives way, too
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not (self._busy or self.transport.is_closing()):
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def close(self) -> None:
        """At once, whatever was to be sent."""
        self._stop_waiting()
        self.connections.discard(self)  # it counts no more
        self.transport.abort()

    @property
    def _busy(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _wait(self) -> None:
        self._stop_waiting()
        self.silent[self] = None
        self._deadline = self.loop.call_later(self.seconds, self.close)

    def _stop_waiting(self) -> None:
        self.silent.pop(self, None)
        self._in_time()

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
