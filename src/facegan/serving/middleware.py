"""Around every request: its size and the time of its body are bounded, and what it took is counted."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client import Info as Fact

from facegan.serving.model import Source


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may take."""

    count: int = 64  # pictures
    body: int = 2**20  # bytes
    seconds: float = 10.0
    waiting: int = 64  # requests
    threads: int = 2  # that draw


class Metrics:
    """Of one service; what Prometheus reads."""

    def __init__(self, source: Source) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "facegan_request_seconds", "How long a request took.", ["path", "status"], registry=self.registry
        )
        self.pictures = Counter("facegan_pictures", "Pictures drawn.", registry=self.registry)
        self._failures = Counter("facegan_reload_failures", "Looks at the alias that failed.", registry=self.registry)
        stale = Gauge("facegan_stale", "1 while the last look at the alias failed.", registry=self.registry)
        stale.set_function(lambda: source.stale is not None)
        self._counted = 0  # failures
        self._source, self._model = source, Fact("facegan_model", "The model in service.", registry=self.registry)

    def page(self) -> bytes:
        self._model.info({"name": self._source.model.name})
        self._failures.inc(self._source.failures - self._counted)
        self._counted = self._source.failures
        return generate_latest(self.registry)


class Measured:
    """Takes the time of every request, also of one that failed."""

    def __init__(self, app: Any, told: Metrics) -> None:
        self._app, self._told = app, told

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            path = getattr(scope.get("route"), "path", "none")
            self._told.seconds.labels(path, str(status)).observe(time.perf_counter() - began)


class BodyLimit:
    """Answers 413 to a body that is too large, without reading the rest of it, and 408 to one that does not come."""

    def __init__(self, app: Any, limits: Limits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._limits.body
        told = dict(scope["headers"]).get(b"content-length", b"0")
        try:
            if not told.isdigit() or int(told) > most:
                raise ValueError
            body = await asyncio.wait_for(self._read(receive, most), self._limits.seconds)
        except ValueError:
            problem = {"error": f"the body should be at most {most:,} bytes"}
            await JSONResponse(problem, 413, {"Connection": "close"})(scope, receive, send)
            return
        except TimeoutError:
            problem = {"error": f"the body did not come within {self._limits.seconds:g} seconds"}
            await JSONResponse(problem, 408, {"Connection": "close"})(scope, receive, send)
            return
        if body is None:  # the client went away
            return
        given = False

        async def again() -> Any:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    async def _read(self, receive: Any, most: int) -> bytes | None:
        """The whole body, as what follows it is small. Raises ValueError for more than ``most`` bytes."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > most:
                raise ValueError
            if not message.get("more_body", False):
                return bytes(body)
