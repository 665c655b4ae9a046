"""The model in service: from a folder or a real registry, replaced whole, kept when its successor is broken."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from tracking.made import free_port, own_environment
from tracking.test_registry import Echo

from facegan.errors import FaceganError
from facegan.repository.project import EXPORTED
from facegan.serving.model import Source
from facegan.tracking.provenance import TAG, statement


@pytest.fixture
def registry(tmp_path: Path, project_root: Path) -> Iterator[mlflow.MlflowClient]:
    """Three versions, of which the third is broken; the first is in service."""
    with own_environment():
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
        experiment = mlflow.create_experiment("e", (tmp_path / "artifacts").as_uri())
        for name in ("first", "second", "broken"):
            folder = Path(shutil.copytree(project_root / EXPORTED, tmp_path / name))
            if name == "broken":
                (folder / "generator.onnx").write_bytes(b"cut")
            with mlflow.start_run(experiment_id=experiment):
                mlflow.pyfunc.log_model(
                    name="generator",
                    python_model=Echo(),
                    artifacts={"model": str(folder)},
                    pip_requirements=["mlflow"],
                    registered_model_name="faces",
                )
        client = mlflow.MlflowClient()
        client.set_registered_model_alias("faces", "champion", "1")
        yield client


def test_an_alias_is_followed_and_a_broken_successor_is_not(registry: mlflow.MlflowClient) -> None:
    told: list[str] = []
    source = Source("models:/faces@champion", told.append)
    first = source.model
    assert source.refreshes and first.name == "models:/faces/1" and (first.height, first.width) == (40, 32)
    assert not source.refresh() and source.model is first and told == []

    registry.set_registered_model_alias("faces", "champion", "2")
    assert source.refresh() and source.model.name == "models:/faces/2"

    registry.set_registered_model_alias("faces", "champion", "3")
    assert not source.refresh() and source.model.name == "models:/faces/2" and source.failures == 1
    registry.delete_registered_model_alias("faces", "champion")
    assert not source.refresh() and source.failures == 2
    assert told[0] == "models:/faces/2 is in service"
    assert "models:/faces/3 cannot be loaded" in told[1] and "still serving models:/faces/2" in told[1]

    registry.set_registered_model_alias("faces", "champion", "1")
    assert source.refresh() and source.model.name == "models:/faces/1"


def test_whatever_goes_wrong_with_a_successor_the_next_look_is_to_come(
    registry: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    source = Source("models:/faces@champion", told.append)
    registry.set_registered_model_alias("faces", "champion", "2")

    def fail(name: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(source, "_load", fail)
        assert not source.refresh() and source.failures == 1
    assert told == ["[Errno 28] No space left on device; still serving models:/faces/1"]
    assert source.stale == "[Errno 28] No space left on device"
    assert not source.refresh() and source.failures == 1  # not yet
    monkeypatch.setattr("time.monotonic", lambda: float("inf"))
    assert source.refresh() and source.model.name == "models:/faces/2"


def test_a_version_that_cannot_be_loaded_is_fetched_after_longer_and_longer_pauses(
    registry: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    source = Source("models:/faces@champion", told.append)
    registry.set_registered_model_alias("faces", "champion", "3")
    now, fetched = 0.0, []
    monkeypatch.setattr("time.monotonic", lambda: now)
    for now in range(0, 3600, 10):
        before = source.failures
        assert not source.refresh()
        fetched += [now] * (source.failures - before)
    assert fetched == [0, 20, 60, 140, 300, 620, 1220, 1820, 2420, 3020]
    assert len(told) == 1 and source.stale is not None  # said once
    registry.set_registered_model_alias("faces", "champion", "2")
    assert source.refresh() and source.stale is None  # another one is tried at once


def test_what_was_served_starts_without_mlflow(
    registry: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, told = tmp_path / "keep", []
    served = Source("models:/faces@champion", told.append, keep).model

    def refuse(*given: object, **named: object) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr(mlflow.MlflowClient, "get_model_version_by_alias", refuse)
    with pytest.raises(FaceganError):
        Source("models:/faces@another", told.append, keep)
    source = Source("models:/faces@champion", told.append, keep)
    assert source.model.name == served.name == "models:/faces/1" and source.model.card == served.card
    assert source.stale is not None and "serving the copy of models:/faces/1 that was kept" in told[-1]
    with monkeypatch.context() as elsewhere, pytest.raises(FaceganError, match="refused"):
        elsewhere.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")  # its champion is another
        Source("models:/faces@champion", told.append, keep)
    (network,) = keep.rglob("generator.onnx")
    network.write_bytes(network.read_bytes()[:-1])
    with pytest.raises(FaceganError, match="the copy of models:/faces/1 was changed; it is not used"):
        Source("models:/faces@champion", told.append, keep)


def test_files_that_are_not_those_that_were_registered_are_not_served(
    registry: mlflow.MlflowClient, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (second / "config.json").write_text("{}")
    for number, folder in (("1", first), ("2", second)):
        registry.set_model_version_tag("faces", number, TAG, statement(folder, {}, "key", "run"))
    assert Source("models:/faces@champion", print).model.name == "models:/faces/1"
    with pytest.raises(FaceganError, match=r"models:/faces/2: config\.json is not the file that was registered"):
        Source("models:/faces/2", print)
    registry.set_model_version_tag("faces", "1", TAG, "{}")
    with pytest.raises(FaceganError, match="cannot be read"):
        Source("models:/faces/1", print)


def test_a_version_by_number_stays(registry: mlflow.MlflowClient) -> None:
    source = Source("models:/faces/2", print)
    assert not source.refreshes and source.model.name == "models:/faces/2"


@pytest.mark.parametrize("where", ["models:/faces@nobody", "models:/nothing/1", "models:/faces/3"])
def test_what_cannot_be_served_is_one_line(registry: mlflow.MlflowClient, where: str) -> None:
    with pytest.raises(FaceganError) as error:
        Source(where, print)
    assert ("\n" not in str(error.value) and "faces" in str(error.value)) or "nothing" in str(error.value)


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FaceganError, match=r"no generator\.onnx there"):
        Source(str(tmp_path), print)


def test_no_training_framework_is_loaded_to_serve(project_root: Path) -> None:
    """A container that serves has no PyTorch."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from facegan.cli.main import main; from facegan.serving.app import create_app\n"
        "from facegan.serving.middleware import Limits; from facegan.serving.model import Source\n"
        "create_app(Source(sys.argv[1], print), Limits()); print('served')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, project_root / EXPORTED], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "served\n", done.stderr
