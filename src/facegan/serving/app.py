"""Faces over HTTP: PNG by count, seed, label, truncation or latent, within bounds."""

import asyncio
import base64
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from PIL import Image
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from starlette.exceptions import HTTPException as StarletteHTTPException

from facegan.exporting.shipped.generate import grid, image
from facegan.serving.middleware import BodyLimit, Limits, Measured, Metrics
from facegan.serving.model import Model, Source, new_seed

MOST_LATENT = 4096  # numbers of one


class Problem(BaseModel):
    """What was wrong with a request, and what would be right."""

    error: str


class Info(BaseModel):
    """What is in service."""

    model: str
    height: int = Field(description="of a picture, in pixels")
    width: int = Field(description="of a picture, in pixels")
    channels: int = Field(description="1 is gray, 3 RGB, 4 RGBA")
    latent: int = Field(description="numbers of a latent")
    labels: dict[str, list[str]] = Field(description="the classes of every label that it knows")


class Ready(BaseModel):
    """What is in service, and why it may not be the champion."""

    model: str
    stale: str | None = Field(description="what the last look at the alias failed of")


class Drawn(BaseModel):
    """Pictures, PNG in base64, and what they were drawn with."""

    model: str
    seed: int | None
    pictures: list[str]


Seed = Annotated[int, Field(ge=0, lt=2**53, description="the same seed draws the same pictures; a random one if none")]
Label = Annotated[str, Field(max_length=200, pattern="^[^=]+=.+$", description="such as hair=pink")]
Truncation = Annotated[FiniteFloat, Field(ge=0, le=2, description="scale of the latents")]
Number = Annotated[FiniteFloat, Field(ge=-100, le=100)]  # of a latent, which is standard normal
Latent = Annotated[list[Number], Field(min_length=1, max_length=MOST_LATENT)]


def create_app(source: Source, limits: Limits) -> FastAPI:
    """The service, with its OpenAPI description at /openapi.json."""
    Count = Annotated[int, Field(ge=1, le=limits.count)]

    class Wanted(BaseModel):
        """Pictures by seed, or by latents."""

        model_config = ConfigDict(extra="forbid")

        count: Count = 1
        seed: Seed | None = None
        truncation: Truncation = 1.0
        label: Annotated[list[Label], Field(max_length=32)] = []
        latent: Annotated[list[Latent], Field(min_length=1, max_length=limits.count)] | None = Field(
            None, description="one for each picture, in place of count, seed and truncation"
        )

    Wanted.model_rebuild(_types_namespace=locals() | globals())
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": text}
        for status, text in {
            400: "The body cannot be read.",
            409: "The model in service knows no such label, or latents of another length.",
            408: "The body did not come in time.",
            413: "The body is too large.",
            422: "A value is not what it should be.",
            503: "Too many requests are waiting.",
            504: "It took too long.",
        }.items()
    }
    app = FastAPI(title="facegan", description="Faces of one generator.", docs_url=None, redoc_url=None)
    pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="draw")
    told = Metrics(source)
    waiting = 0

    async def work(draw: Callable[[], Any]) -> Any:
        """In a thread, when there is room, within the time."""
        nonlocal waiting
        if waiting >= limits.waiting:
            raise HTTPException(503, "too many requests are waiting; try again in a moment", {"Retry-After": "1"})
        waiting += 1
        future = asyncio.get_running_loop().run_in_executor(pool, draw)

        def done(_: Any) -> None:
            nonlocal waiting
            waiting -= 1  # when it is, also where nobody waits any more

        future.add_done_callback(done)
        try:
            return await asyncio.wait_for(asyncio.shield(future), limits.seconds)
        except TimeoutError:
            future.cancel()
            raise HTTPException(504, f"it took more than {limits.seconds:g} seconds; ask for fewer pictures") from None

    @app.get("/pictures.png", response_class=Response, responses={**problems, 200: {"content": {"image/png": {}}}})
    async def picture(
        request: Request,
        count: Annotated[int, Query(ge=1, le=limits.count)] = 1,
        seed: Annotated[Seed | None, Query()] = None,
        truncation: Annotated[Truncation, Query()] = 1.0,
        label: Annotated[list[Label], Query(max_length=32)] = [],  # noqa: B006  # FastAPI copies it
    ) -> Response:
        """One PNG: a picture, or several in a grid."""
        if unknown := sorted(set(request.query_params) - {"count", "seed", "truncation", "label"}):
            raise HTTPException(422, f"{unknown[0]}: unknown parameter; there are count, seed, truncation and label")
        model, seed = source.model, new_seed() if seed is None else seed
        columns = int(np.ceil(np.sqrt(count)))
        labels = _labels(model, label)

        def draw() -> bytes:
            pictures = model.generator.pictures(model.generator.latents(count, seed, truncation), labels)
            return _png(image(pictures[0]) if count == 1 else grid(pictures, columns))

        content = await work(draw)
        told.pictures.inc(count)
        headers = {"X-Facegan-Seed": str(seed), "X-Facegan-Model": quote(model.name, safe=":/")}
        return Response(content, media_type="image/png", headers=headers)

    @app.post("/pictures", responses=problems)
    async def pictures(wanted: Wanted) -> Drawn:
        """Pictures one by one, PNG in base64."""
        model, seed = source.model, new_seed() if wanted.seed is None else wanted.seed
        labels = _labels(model, wanted.label)
        if wanted.latent is not None:
            _check_latents(model, wanted.latent)

        def draw() -> list[str]:
            if wanted.latent is not None:
                latents = np.asarray(wanted.latent, np.float32)
            else:
                latents = model.generator.latents(wanted.count, seed, wanted.truncation)
            drawn = model.generator.pictures(latents, labels)
            return [base64.b64encode(_png(image(each))).decode() for each in drawn]

        content = await work(draw)
        told.pictures.inc(len(content))
        return Drawn(model=model.name, seed=None if wanted.latent is not None else seed, pictures=content)

    @app.get("/model")
    async def model() -> Info:
        """What is in service, and what it may be asked for."""
        now = source.model
        return Info(
            model=now.name,
            height=now.height,
            width=now.width,
            channels=now.channels,
            latent=now.generator.latent,
            labels=now.generator.names,
        )

    @app.get("/health")
    async def health() -> dict[str, str]:
        """200 once a model is loaded."""
        return {"model": source.model.name}

    @app.get("/ready")
    async def ready() -> Ready:
        """200 once a model is loaded, and whether it may be an old one."""
        return Ready(model=source.model.name, stale=source.stale)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(told.page(), media_type=CONTENT_TYPE_LATEST)

    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(BodyLimit, limits=limits)
    app.add_middleware(Measured, told=told)  # outside of all, so that it sees every answer
    return app


def _labels(model: Model, wanted: list[str]) -> np.ndarray:
    try:
        return model.generator.labels(wanted)
    except ValueError as error:
        raise HTTPException(409, str(error)) from None


def _check_latents(model: Model, latents: list[list[float]]) -> None:
    for number, latent in enumerate(latents):
        if len(latent) != model.generator.latent:
            raise HTTPException(
                409, f"latent.{number}: holds {len(latent)} numbers; those of this model hold {model.generator.latent}"
            )


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=1)  # four times as fast, a tenth larger
    return content.getvalue()


async def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong, and where; never what was sent, which may be no JSON."""
    assert isinstance(error, RequestValidationError)
    said = [f"{'.'.join(map(str, part['loc'][1:])) or 'body'}: {part['msg']}" for part in error.errors()[:5]]
    return JSONResponse({"error": "; ".join(said)}, 422)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the service failed; its log says why"}, 500)
