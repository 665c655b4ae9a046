"""`facegan record`: the run of the outputs and what waits, in MLflow; one line when it cannot be."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import requests
from tracking.made import DAMAGES, damaged_folder, free_port, history, spec, write_journal
from urllib3.util.retry import Retry

from cli.running import Command
from facegan.files import read_json
from facegan.repository.project import RAW, SHARDS, TRAINED, Project
from facegan.sizes import size_of
from facegan.tracking.feed import set_aside, unsent
from facegan.tracking.lineage import RunSpec
from facegan.tracking.view import MlflowClient, find_run

SECRET = "s3cret-pass"


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging the model takes a second, and is tested with the library."""
    monkeypatch.setattr("mlflow.pyfunc.log_model", lambda **named: None)


def test_the_run_of_the_outputs_is_in_mlflow_and_named(finished: Project, facegan: Command) -> None:
    ended = facegan("record")
    assert ended.code == 0, ended
    config = read_json(finished.root / TRAINED / "config.json")
    expected = RunSpec.of(finished.params(), config["training_key"], size_of(config), "", {})
    run = find_run(finished.server(), expected.lineage)
    assert run is not None
    assert run.info.run_id in ended.out and expected.name in ended.out and "facegan" in ended.out
    assert run.data.params["train.batch"] == "8"
    assert run.data.tags["facegan.params_yaml"] == (finished.root / "params.yaml").read_text()
    assert list((finished.root / "mlartifacts").iterdir())


def test_a_subfolder_will_do(finished: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.root / "models")
    assert facegan("record").code == 0
    assert (finished.root / "mlartifacts").is_dir()
    assert not (finished.root / "models/mlartifacts").exists()


def test_what_earlier_trainings_could_not_send_goes_with_it(finished: Project, facegan: Command) -> None:
    for name in ("stopped", "finished"):
        folder = finished.state / name
        folder.mkdir(parents=True)
        spec(name[0] * 64).write(folder)
        write_journal(folder)
    set_aside(finished.state / "finished", finished.state)
    assert facegan("record").code == 0
    assert unsent(finished.state) == []
    client = MlflowClient(finished.server().uri)
    for name in ("stopped", "finished"):
        run = find_run(finished.server(), name[0] * 64)
        assert run is not None
        assert [step for step, _, _ in history(client, run.info.run_id)["d_real"]] == [1000, 2000, 3000]
    assert (finished.state / "stopped").is_dir()  # it may go on


def test_the_outputs_alone_are_enough_in_another_clone(
    finished: Project, facegan: Command, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After `dvc pull`: neither the database nor `.facegan` nor the folder is the one where it was trained.
    first = facegan("record").out.split()[2]
    before = MlflowClient(finished.server().uri)
    clone = Path(
        shutil.copytree(
            finished.root, tmp_path / "another", ignore=shutil.ignore_patterns(".facegan", "mlflow.db", "mlartifacts")
        )
    )
    shutil.copyfile(empty_database, clone / "mlflow.db")
    monkeypatch.chdir(clone)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it for the rest of the process
    ended = facegan("record")
    assert ended.code == 0, ended
    second = ended.out.split()[2]
    assert second != first
    after = MlflowClient(Project.find().server().uri)
    runs = [client.get_run(run) for client, run in ((before, first), (after, second))]
    assert runs[0].data.tags["facegan.lineage"] == runs[1].data.tags["facegan.lineage"]
    assert runs[0].data.metrics == runs[1].data.metrics
    assert [step for step, _, _ in history(after, second)["d_real"]] == [24, 48, 64]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backlog_does_not_keep_the_run_of_these_outputs_out_of_mlflow(
    finished: Project, facegan: Command, damage: str
) -> None:
    damaged_folder(finished.state / "outbox/other-1", damage)
    ended = facegan("record")
    config = read_json(finished.root / TRAINED / "config.json")
    run = find_run(
        finished.server(), RunSpec.of(finished.params(), config["training_key"], size_of(config), "", {}).lineage
    )
    assert run is not None and run.info.status == "FINISHED"
    assert ended.code == 0 or ended.error


@pytest.mark.parametrize("gone", [TRAINED, RAW / "manifest.json", SHARDS / "manifest.json", Path("reports/data.json")])
def test_outputs_that_lack_are_named_with_what_to_do(finished: Project, facegan: Command, gone: Path) -> None:
    path = finished.root / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    error = facegan("record").error
    output = gone.parent if gone.name == "manifest.json" else gone  # as DVC knows it
    assert str(output) in error and "dvc repro" in error
    assert output != gone or "dvc pull" in error


def test_an_experiment_of_ones_own_takes_the_run(
    finished: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "faces of mine")
    assert "faces of mine" in facegan("record").out
    client = MlflowClient(finished.server().uri)
    assert len(client.search_runs([client.get_experiment_by_name("faces of mine").experiment_id])) == 1


def test_a_dead_server_is_one_line_that_says_what_to_do_without_its_password(
    finished: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{SECRET}@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ended = facegan("record")
    assert SECRET not in ended.out + ended.err
    assert "rerun `facegan record` when it is back" in ended.error


@pytest.mark.parametrize(
    "command",
    [
        ("record",),
        ("compare",),
        ("doctor",),
        ("generate", "--model", "runs:/00000000000000000000000000000000/generator"),
    ],
    ids=lambda command: command[0],
)
def test_no_command_waits_minutes_for_a_dead_server(
    finished: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    # MLflow's own patience is 246 s a request. Its pauses between tries are added up here, not waited for.
    waited: list[float] = []
    monkeypatch.setattr(Retry, "_sleep_backoff", lambda self: waited.append(self.get_backoff_time()))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert facegan(*command).code == 1
    assert waited and sum(waited) < 30


def test_a_store_for_artifacts_that_refuses_is_one_line(
    finished: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What MLflow raises when a server, or the proxy before it, answers an upload with anything but 500.
    def refuse(*arguments: Any, **named: Any) -> None:
        raise requests.HTTPError("413 Client Error: Request Entity Too Large")

    monkeypatch.setattr(MlflowClient, "log_artifact", refuse)
    assert "413 Client Error" in facegan("record").error
