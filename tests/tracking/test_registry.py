"""The registry on a real MLflow: one champion, whoever decides at the same time, and every decision kept."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from facegan.errors import FaceganError
from facegan.tracking import registry as module
from facegan.tracking.record import MODEL
from facegan.tracking.registry import CANDIDATE, CHAMPION, REPLACED, ROLLED_BACK, Decision, Missing, Registry
from facegan.tracking.view import MlflowClient, Server, prepare
from tracking.made import own_environment


class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return model_input


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with own_environment():
        found = Server(f"sqlite:///{tmp_path}/mlflow.db", "faces", tmp_path / "artifacts", tmp_path / "lock")
        prepare(found)
        yield found


def a_run(server: Server, folder: Path) -> str:
    """A run with a model, and scores."""
    (folder / "exported").mkdir(exist_ok=True)
    (folder / "exported/generator.onnx").write_bytes(b"a network")
    mlflow.set_tracking_uri(server.uri)
    mlflow.set_experiment(server.experiment)
    with mlflow.start_run() as run:
        artifacts = {"model": str(folder / "exported")}
        mlflow.pyfunc.log_model(name=MODEL, python_model=Echo(), artifacts=artifacts, pip_requirements=["mlflow"])
        mlflow.log_dict({"fd_random": {"value": 1.0}}, "metrics/evaluate.json")
    return str(run.info.run_id)


@pytest.fixture
def two(server: Server, tmp_path: Path) -> Registry:
    """A registry with versions 1 and 2, and 1 in service."""
    registry = Registry(server, "faces")
    for _ in range(2):
        registry.register(a_run(server, tmp_path), "a card", {"score.fd_random": "1"})
    assert registry.decide(Decision("promote", "1", None, ("first",)), None)
    return registry


def champion(registry: Registry) -> str | None:
    found = registry.version(CHAMPION)
    return found.number if found else None


def test_a_version_holds_the_card_the_tags_and_the_files(server: Server, tmp_path: Path) -> None:
    registry = Registry(server, "faces")
    assert registry.version(CANDIDATE) is None and registry.version("1") is None and registry.decisions() == []
    run = a_run(server, tmp_path)
    card = "# A card\n\n![samples](samples.png)\n\nIts text"
    version = registry.register(run, card, {"score.fd_random": "1.5"})
    again = registry.register(run, card, {"score.fd_random": "1.5"})
    assert version.number == again.number == "1"  # the same run is the same version
    found = registry.version(CANDIDATE)
    assert found is not None and (found.number, found.run_id, found.card) == ("1", run, "# A card\n\nIts text")
    assert found.tags["score.fd_random"] == "1.5"
    assert (registry.files(found, tmp_path / "got") / "generator.onnx").read_bytes() == b"a network"
    assert registry.report(found) == {"fd_random": {"value": 1.0}}


def test_a_run_with_two_models_is_registered_all_the_same(server: Server, tmp_path: Path) -> None:
    """A request to make one that is repeated on the way makes two, of which the run names one."""
    run_id = a_run(server, tmp_path)
    client = MlflowClient(server.uri)
    experiment = client.get_run(run_id).info.experiment_id
    second = client.create_logged_model(experiment, name=MODEL, source_run_id=run_id)
    client.finalize_logged_model(second.model_id, "READY")
    first, _ = sorted(client.search_logged_models([experiment]), key=lambda model: model.creation_timestamp)
    registry = Registry(server, "faces")
    version = registry.register(run_id, "a card", {"score.fd_random": "1"})
    assert version.run_id == run_id and registry.register(run_id, "a card", {}).number == version.number
    assert client.get_model_version("faces", version.number).source == f"models:/{first.model_id}"
    assert (registry.files(version, tmp_path / "fetched") / "generator.onnx").read_bytes() == b"a network"


def test_a_decision_moves_the_alias_and_is_kept(two: Registry) -> None:
    assert champion(two) == "1"
    assert two.decide(Decision("refuse", "2", "1", ("worse", "and dark")), "1")
    assert champion(two) == "1"
    assert two.decide(Decision("promote", "2", "1", ("better",)), "1")
    found = two.version(CHAMPION)
    assert found is not None and found.number == "2" and found.tags[REPLACED] == "1"
    assert two.decide(Decision("roll back", "1", "2", ("eyes",)), "2")
    assert champion(two) == "1"
    rolled_back = two.version("2")
    assert rolled_back is not None and rolled_back.tags[ROLLED_BACK] == "eyes"
    kept = [(entry["action"], entry["version"], entry["champion"], entry["reasons"]) for entry in two.decisions()]
    assert kept == [
        ("roll back", "1", "2", "eyes"),
        ("promote", "2", "1", "better"),
        ("refuse", "2", "1", "worse\nand dark"),
        ("promote", "1", "none", "first"),
    ]


def test_a_decision_about_a_champion_that_is_gone_does_nothing(two: Registry) -> None:
    before = two.decisions()
    assert not two.decide(Decision("promote", "2", None, ("better",)), None)
    assert champion(two) == "1" and two.decisions() == before


def test_of_two_promotions_at_once_one_wins(two: Registry, tmp_path: Path) -> None:
    two.register(a_run(two.server, tmp_path), "a card", {})
    gate, won = threading.Barrier(2), []

    def promote(version: str) -> None:
        gate.wait()
        if two.decide(Decision("promote", version, "1", ("better than 1",)), "1"):
            won.append(version)

    threads = [threading.Thread(target=promote, args=(version,)) for version in ("2", "3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and champion(two) == won[0]
    assert [entry["version"] for entry in two.decisions() if entry["champion"] == "1"] == won


def test_a_decision_that_was_killed_in_the_middle_blocks_for_a_while_only(
    two: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(two.server.uri)
    client.create_registered_model("faces.deciding")
    monkeypatch.setattr(module, "_PATIENCE", 1.0)
    began = time.monotonic()
    assert two.decide(Decision("promote", "2", "1", ("better",)), "1")
    assert champion(two) == "2" and time.monotonic() - began > 1.0
    names = {model.name for model in client.search_registered_models()}
    assert "faces.deciding" not in names and any(name.startswith("faces.deciding.") for name in names)


def test_one_that_is_alive_is_waited_for_however_long_the_queue(two: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds the lock for less than the patience, all of them together for longer."""
    monkeypatch.setattr(module, "_PATIENCE", 3.0)
    inside: list[int] = []
    most: list[int] = []

    def hold(number: int) -> None:
        with two._alone() as still_alone:
            inside.append(number)
            most.append(len(inside))
            time.sleep(1.2)
            assert still_alone()
            inside.remove(number)

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4


def test_those_that_wait_for_one_that_was_killed_go_one_after_the_other(
    two: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    MlflowClient(two.server.uri).create_registered_model("faces.deciding")
    monkeypatch.setattr(module, "_PATIENCE", 2.0)
    gate, won = threading.Barrier(3), []

    def promote(reason: str) -> None:
        gate.wait()
        if two.decide(Decision("promote", "2", "1", (reason,)), "1"):
            won.append(reason)

    threads = [threading.Thread(target=promote, args=(str(number),)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and champion(two) == "2"


def test_one_that_lost_its_lock_moves_nothing(two: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop that slept in the middle."""
    begin = two._begin

    def sleep(decision: Decision) -> str:
        client = MlflowClient(two.server.uri)
        client.rename_registered_model("faces.deciding", "faces.deciding.1")
        return begin(decision)

    monkeypatch.setattr(two, "_begin", sleep)
    with pytest.raises(FaceganError, match="another one went ahead; nothing was done"):
        two.decide(Decision("promote", "2", "1", ("better",)), "1")
    assert champion(two) == "1"
    assert [entry["status"] for entry in two.decisions()] == ["RUNNING", "FINISHED"]


def test_when_the_answer_gets_lost_what_counts_is_the_alias(two: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    move = two._client.set_registered_model_alias

    def lost(name: str, alias: str, version: str) -> None:
        move(name, alias, version)
        raise ConnectionError("timed out")

    monkeypatch.setattr(two._client, "set_registered_model_alias", lost)
    assert two.decide(Decision("promote", "2", "1", ("better",)), "1") and champion(two) == "2"


def test_a_log_that_fails_behind_the_alias_says_what_is_in_service(
    two: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(two._client, "set_terminated", fail)
    with pytest.raises(FaceganError, match="version 2 is in service now, but that was not logged whole: gone"):
        two.decide(Decision("promote", "2", "1", ("better",)), "1")


def test_a_log_of_decisions_that_was_deleted_comes_back(two: Registry) -> None:
    client = MlflowClient(two.server.uri)
    experiment = client.get_experiment_by_name("faces decisions")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    assert two.decide(Decision("refuse", "2", "1", ("worse",)), "1")
    assert two.decisions()[0]["action"] == "refuse"


def test_a_card_is_as_long_as_a_database_takes_it(server: Server, tmp_path: Path) -> None:
    registry = Registry(server, "faces")
    registry.register(a_run(server, tmp_path), "a line of the card\n" * 1000, {})
    found = registry.version("1")
    assert found is not None and 4900 < len(found.card) <= 5000
    assert found.card.endswith("a line of the card\n\nThe rest is in MODEL_CARD.md among the files.")


def test_files_and_scores_that_are_gone_are_one_line(two: Registry, tmp_path: Path) -> None:
    found = two.version("1")
    assert found is not None
    for path in (tmp_path / "artifacts").rglob("*"):
        if path.name in ("generator.onnx", "evaluate.json"):
            path.unlink()
    with pytest.raises(Missing, match=r"the files of version 1 hold no generator\.onnx"):
        two.files(found, tmp_path / "got")
    with pytest.raises(Missing, match="the scores of version 1 are gone"):
        two.report(found)


def test_a_store_that_shows_nothing_at_all_says_nothing_of_what_is_missing(two: Registry, tmp_path: Path) -> None:
    """A folder that is not mounted is empty too."""
    found = two.version("1")
    assert found is not None
    (tmp_path / "artifacts").rename(tmp_path / "not mounted")
    for fetch in (two.report, lambda version: two.files(version, tmp_path / "got")):
        with pytest.raises(FaceganError, match="of version 1 cannot be fetched") as caught:
            fetch(found)
        assert not isinstance(caught.value, Missing)
