"""MLflow for the tests: a local database, and a real server over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from facegan.tracking.view import MlflowClient, Server
from tracking import made


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Nothing of the caller's MLflow, DVC or facegan; what a test sets does not reach the next."""
    with made.own_environment():
        yield


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made.once("database", tmp_path_factory.mktemp("database"), lambda to: made.make_database(to / "mlflow.db"))
    return folder / "mlflow.db"


@pytest.fixture
def local(tmp_path: Path, empty_database: Path) -> Server:
    """A database of the test's own."""
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    return Server(f"sqlite:///{path}", "facegan", tmp_path / "mlartifacts", tmp_path / "mlflow.lock")


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[made.MlflowServer]:
    server = made.MlflowServer(tmp_path_factory.mktemp("server"), empty_database)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def remote(mlflow_server: made.MlflowServer, tmp_path: Path, request: pytest.FixtureRequest) -> Server:
    """The real server, with an experiment of the test's own."""
    return Server(mlflow_server.uri, request.node.name, tmp_path / "unused", tmp_path / "mlflow.lock")


@pytest.fixture(params=["local", "remote"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each kind of MLflow in turn: a SQLite database, and a server over HTTP."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Server)
    return found


@pytest.fixture
def client(server: Server) -> MlflowClient:
    return MlflowClient(server.uri)
