"""The service's answers: the pictures that the model draws, and a reason for what it does not."""

import asyncio
import base64
import io
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from exporting.conftest import labelled  # noqa: F401  # a fixture
from fastapi.testclient import TestClient
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from facegan.exporting.shipped.generate import Generator, grid
from facegan.repository.project import EXPORTED
from facegan.serving.app import create_app
from facegan.serving.middleware import Limits
from facegan.serving.model import Source


def client(folder: Path, **limits: Any) -> TestClient:
    return TestClient(create_app(Source(str(folder), print), Limits(**limits)), raise_server_exceptions=False)


@pytest.fixture
def service(project_root: Path) -> Iterator[TestClient]:
    with client(project_root / EXPORTED, count=16) as found:
        yield found


@pytest.fixture(scope="module")
def generator(project_root: Path) -> Generator:
    return Generator(project_root / EXPORTED / "generator.onnx")


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def test_a_seed_is_a_face_the_one_that_generate_draws(service: TestClient, generator: Generator) -> None:
    answer = service.get("/pictures.png", params={"seed": 3})
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    assert np.array_equal(pixels(answer.content), generator.pictures(generator.latents(1, 3))[0])
    assert service.get("/pictures.png", params={"seed": 4}).content != answer.content


def test_several_are_a_grid(service: TestClient, generator: Generator) -> None:
    answer = service.get("/pictures.png", params={"seed": 3, "count": 5, "truncation": 0.5})
    expected = grid(generator.pictures(generator.latents(5, 3, 0.5)), 3)
    assert np.array_equal(pixels(answer.content), np.asarray(expected))


def test_without_a_seed_every_answer_is_new_and_can_be_had_again(service: TestClient) -> None:
    first, second = (service.get("/pictures.png") for _ in range(2))
    assert first.content != second.content
    again = service.get("/pictures.png", params={"seed": first.headers["x-facegan-seed"]})
    assert again.content == first.content


def test_pictures_one_by_one(service: TestClient, generator: Generator) -> None:
    answer = service.post("/pictures", json={"count": 3, "seed": 7, "truncation": 0.7}).json()
    drawn = [pixels(base64.b64decode(each)) for each in answer["pictures"]]
    assert np.array_equal(np.stack(drawn), generator.pictures(generator.latents(3, 7, 0.7)))
    assert answer["seed"] == 7 and answer["model"] == "export"


def test_latents_are_drawn_as_they_are(service: TestClient, generator: Generator) -> None:
    latents = generator.latents(2, 9)
    answer = service.post("/pictures", json={"latent": latents.tolist()}).json()
    drawn = [pixels(base64.b64decode(each)) for each in answer["pictures"]]
    assert np.array_equal(np.stack(drawn), generator.pictures(latents)) and answer["seed"] is None


def test_labels_are_asked_for_as_everywhere(labelled: Path) -> None:  # noqa: F811
    generator = Generator(labelled / "generator.onnx")
    with client(labelled) as service:
        assert service.get("/model").json()["labels"] == generator.names
        asked = ["hair=short", "eyes=green"]
        expected = generator.pictures(generator.latents(1, 3), generator.labels(asked))[0]
        answer = service.get("/pictures.png", params={"seed": 3, "label": asked})
        assert np.array_equal(pixels(answer.content), expected)
        answer = service.post("/pictures", json={"seed": 3, "label": asked})
        assert np.array_equal(pixels(base64.b64decode(answer.json()["pictures"][0])), expected)
        answer = service.get("/pictures.png", params={"label": "hair=pink"})
        assert (answer.status_code, answer.json()) == (409, {"error": "hair=pink: the classes of hair are long, short"})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("count=0", "count: Input should be greater than or equal to 1"),
        ("count=17", "count: Input should be less than or equal to 16"),
        ("count=1e9", "count: Input should be a valid integer"),
        ("seed=-1", "seed: Input should be greater than or equal to 0"),
        ("seed=99999999999999999999", "seed: Input should be less than 9007199254740992"),
        ("truncation=nan", "truncation: Input should be a finite number"),
        ("truncation=9", "truncation: Input should be less than or equal to 2"),
        ("label=pink", "label.0: String should match pattern"),
        ("sede=3", "sede: unknown parameter; there are count, seed, truncation and label"),
    ],
)
def test_a_bad_query_is_told_what_and_where(service: TestClient, query: str, said: str) -> None:
    answer = service.get(f"/pictures.png?{query}")
    assert answer.status_code == 422 and said in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"latent": [[NaN, 1]]}', 422, "latent.0.0: Input should be a finite number"),
        (b'{"latent": [[1e400]]}', 422, "latent.0.0: Input should be a finite number"),
        (b'{"latent": [[1e39]]}', 422, "latent.0.0: Input should be less than or equal to 100"),
        (b'{"latent": [[1, 2]]}', 409, "latent.0: holds 2 numbers; those of this model hold 8"),
        (b'{"latent": [[[1]]]}', 422, "latent.0.0: Input should be a valid number"),
        (b'{"latent": []}', 422, "latent: List should have at least 1 item"),
        (b'{"count": 1000000000}', 422, "count: Input should be less than or equal to 16"),
        (b'{"cuont": 3}', 422, "cuont: Extra inputs are not permitted"),
        (b'{"label": ["hair=pink"]}', 409, "this generator knows no label 'hair'; it knows none"),
        (b"[1]", 422, "body: Input should be"),
        (b"{", 422, "JSON decode error"),
        (b"\xff\xfe", 422, "JSON decode error"),
        (b"[" * 100_000, 400, "error"),
        (b"", 422, "body: Field required"),
    ],
)
def test_a_bad_body_is_told_what_and_where(service: TestClient, body: bytes, status: int, said: str) -> None:
    answer = service.post("/pictures", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"] and "Traceback" not in answer.text


def test_a_large_body_is_refused_told_or_not(service: TestClient) -> None:
    def drops() -> Iterator[bytes]:
        for _ in range(160):
            yield bytes(2**16)

    for content in (bytes(10 * 2**20), drops()):
        answer = service.post("/pictures", content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()) == (413, {"error": "the body should be at most 1,048,576 bytes"})
    assert service.get("/health").status_code == 200


def test_an_old_model_is_ready_and_says_why_it_may_be_one(project_root: Path) -> None:
    source = Source(str(project_root / EXPORTED), print)
    with TestClient(create_app(source, Limits())) as service:
        assert service.get("/ready").json() == {"model": "export", "stale": None}
        assert metrics(service)["facegan_stale",] == metrics(service)["facegan_reload_failures_total",] == 0
        source.stale, source.failures = "MLflow is away", 3
        answer = service.get("/ready")
        assert (answer.status_code, answer.json()) == (200, {"model": "export", "stale": "MLflow is away"})
        for failures in (3, 3, 5):
            source.failures = failures
            found = metrics(service)
            assert (found["facegan_stale",], found["facegan_reload_failures_total",]) == (1, failures)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/pictures", 405)])
def test_what_is_not_there_is_a_reason_too(service: TestClient, method: str, path: str, status: int) -> None:
    answer = service.request(method, path)
    assert answer.status_code == status and set(answer.json()) == {"error"}


class Slow:
    """Stands in for a generator's drawing: waits to be let go."""

    def __init__(self, generator: Generator) -> None:
        self.drawing, self.go, self.draw = threading.Semaphore(0), threading.Event(), generator.pictures

    def __call__(self, *arguments: Any) -> np.ndarray:
        self.drawing.release()
        assert self.go.wait(30)
        return self.draw(*arguments)


@pytest.fixture
def slow(project_root: Path) -> Iterator[tuple[TestClient, Slow]]:
    source = Source(str(project_root / EXPORTED), print)
    waits = Slow(source.model.generator)
    source.model.generator.pictures = waits  # type: ignore[method-assign]
    with TestClient(create_app(source, Limits(waiting=2, threads=1, seconds=20))) as service:
        yield service, waits
        waits.go.set()


def test_more_requests_than_may_wait_are_sent_away(slow: tuple[TestClient, Slow]) -> None:
    service, waits = slow
    with ThreadPoolExecutor(3) as callers:
        asked = [callers.submit(service.get, "/pictures.png?seed=1") for _ in range(3)]
        (sent_away,), waiting = wait(asked, 15, FIRST_COMPLETED)  # whichever came last
        answer = sent_away.result()
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert "too many requests are waiting" in answer.json()["error"]
        assert service.get("/health").status_code == 200  # not by drawing
        waits.go.set()
        assert [each.result().status_code for each in waiting] == [200, 200]
    assert service.get("/pictures.png?seed=1").status_code == 200


def test_what_takes_too_long_is_given_up(project_root: Path) -> None:
    source = Source(str(project_root / EXPORTED), print)
    waits = Slow(source.model.generator)
    source.model.generator.pictures = waits  # type: ignore[method-assign]
    with TestClient(create_app(source, Limits(seconds=0.2))) as service:
        answer = service.get("/pictures.png")
        assert answer.status_code == 504 and "more than 0.2 seconds" in answer.json()["error"]
        waits.go.set()
        assert service.get("/pictures.png").status_code == 200


def test_a_fault_shows_nothing_of_the_inside(project_root: Path) -> None:
    source = Source(str(project_root / EXPORTED), print)

    def fail(*arguments: Any) -> np.ndarray:
        raise RuntimeError("secret")

    source.model.generator.pictures = fail  # type: ignore[method-assign]
    with TestClient(create_app(source, Limits()), raise_server_exceptions=False) as service:
        answer = service.get("/pictures.png")
        assert (answer.status_code, answer.json()) == (500, {"error": "the service failed; its log says why"})
        assert metrics(service)["facegan_request_seconds_count", "/pictures.png", "500"] == 1


def metrics(service: TestClient) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(service.get("/metrics").text)
        for sample in family.samples
    }


def test_a_body_that_drips_is_not_waited_for(project_root: Path) -> None:
    app = create_app(Source(str(project_root / EXPORTED), print), Limits(seconds=0.3))
    sent: list[Any] = []

    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.1)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/pictures", "raw_path": b"/pictures", "query_string": b"",
        "headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http", "root_path": "",
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(app(scope, drip, send), 10))
    assert sent[0]["status"] == 408 and b"within 0.3 seconds" in sent[1]["body"]


def test_a_folder_may_have_any_name(project_root: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(project_root / EXPORTED, tmp_path / "модель 1"))
    with client(folder) as service:
        assert service.get("/model").json()["model"] == "модель 1"
        answer = service.get("/pictures.png")
        assert answer.status_code == 200 and unquote(answer.headers["x-facegan-model"]) == "модель 1"


def test_metrics_count_what_was_asked_and_drawn(service: TestClient) -> None:
    service.get("/pictures.png", params={"count": 4})
    service.get("/pictures.png", params={"count": 0})
    service.post("/pictures", content=bytes(2 * 2**20))
    found = metrics(service)
    assert found["facegan_request_seconds_count", "none", "413"] == 1
    assert found["facegan_pictures_total",] == 4
    assert found["facegan_request_seconds_count", "/pictures.png", "200"] == 1
    assert found["facegan_request_seconds_count", "/pictures.png", "422"] == 1
    assert found["facegan_reload_failures_total",] == 0 == found["facegan_stale",]
