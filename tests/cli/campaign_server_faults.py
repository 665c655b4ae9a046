"""The network fails at some request of `register` or `promote`: an error, no decision, and the next try is whole.

Each kind of request gets one kind of fault, in turn. A quarter of an hour.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_proxy import FAULTS, FaultyProxy
from mlflow import MlflowClient
from tracking.made import MlflowServer, commit

from cli.running import Command
from cli.test_promote import champion, change
from facegan.files import read_json, write_json
from facegan.repository.project import REPORTS, Project
from facegan.tracking import registry

MODEL = "facegan"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[FaultyProxy]:
    server = MlflowServer(tmp_path_factory.mktemp("server"), empty_database)
    try:
        server.start()
        with FaultyProxy(server.uri, patience=1.5).running() as running:
            yield running
    finally:
        server.kill()


@pytest.fixture
def project(
    finished: Project, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Project:
    """With MLflow behind the proxy; few pictures are held out, so copies are not asked for."""
    proxy.begin(None)
    for name, value in {
        "MLFLOW_TRACKING_URI": proxy.uri,
        "MLFLOW_EXPERIMENT_NAME": request.node.name,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(registry, "_PATIENCE", 0.5)  # that a decision whose end got lost holds up the next
    change(finished, promotion__max_memorization=None)
    return finished


def another(project: Project, better: float) -> None:
    """Outputs whose Frechet distance is so much smaller, not registered yet."""
    report = read_json(project.root / REPORTS / "evaluate.json")
    for key in ("value", "at_n"):
        report["fd_face"][key] -= better
    write_json(project.root / REPORTS / "evaluate.json", report)
    commit(project.root)


def tries(proxy: FaultyProxy) -> list[tuple[int, str]]:
    """The first request of each kind, with a fault."""
    first: dict[str, int] = {}
    for number, route in enumerate(proxy.routes):
        first.setdefault(re.sub(r"[0-9a-f]{32}|m-[0-9a-f]+|(?<=artifacts/artifacts/).*", "", route), number)
    return [(number, FAULTS[turn % len(FAULTS)]) for turn, number in enumerate(first.values())]


def test_a_fault_at_any_request_of_register_leaves_one_whole_version(
    project: Project, facegan: Command, proxy: FaultyProxy
) -> None:
    assert facegan("register").code == 0
    proxy.begin(None)
    another(project, 1.0)
    assert facegan("register").code == 0
    places = tries(proxy)
    assert len(places) >= 15
    for count, (place, fault) in enumerate(places, start=3):
        another(project, 1.0)
        proxy.begin(fault, place)
        ended = facegan("register")
        told = (proxy.routes[place], fault, ended)
        assert ended.code == 0 or "MLflow failed" in ended.error, told
        proxy.begin(None)
        assert f"version {count} of {MODEL} is the candidate" in facegan("register").out, told
    client = MlflowClient(proxy.uri)
    assert {version.status for version in client.search_model_versions(f"name = '{MODEL}'")} == {"READY"}


def test_a_fault_at_any_request_of_promote_is_an_error_and_no_refusal(
    project: Project, facegan: Command, proxy: FaultyProxy
) -> None:
    client = MlflowClient(proxy.uri)
    for version in client.search_model_versions(f"name = '{MODEL}'"):
        client.delete_model_version(MODEL, version.version)
    assert facegan("register").code == 0 and facegan("promote").code == 0
    first = champion(project)
    assert first is not None
    another(project, 10.0)
    assert facegan("register").code == 0
    proxy.begin(None)
    assert facegan("promote").code == 0
    second = champion(project)
    places = tries(proxy)
    assert len(places) >= 10
    for place, fault in places:
        client.set_registered_model_alias(MODEL, "champion", first)
        proxy.begin(fault, place)
        ended = facegan("promote")
        told = (proxy.routes[place], fault, ended)
        proxy.begin(None)
        if ended.code:
            assert "MLflow failed" in ended.error or "cannot be fetched" in ended.error or "logged whole" in ended.error
        now = champion(project)
        assert now == second if ended.code == 0 else now in (first, second), told
        assert now == first or ended.code == 0 or f"version {second} is in service now" in ended.error, told
        assert facegan("promote").code == 0 and champion(project) == second, told
    assert "refuse" not in facegan("models").out
