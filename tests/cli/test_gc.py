"""`facegan gc` in a project with a run, a database, and what others left in it."""

import fcntl
import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from cli.running import Command
from facegan.repository.project import Project
from facegan.tracking.view import LINEAGE, SAME


@pytest.fixture
def client(finished: Project) -> MlflowClient:
    """Of the project's own database, where the experiment is."""
    client = MlflowClient(f"sqlite:///{finished.root}/mlflow.db")
    if client.get_experiment_by_name("facegan") is None:
        client.create_experiment("facegan", (finished.root / "mlartifacts").as_uri())
    return client


def make(client: MlflowClient, name: str, status: str = "FINISHED", **tags: str) -> str:
    experiment = client.get_experiment_by_name("facegan")
    assert experiment is not None
    run = client.create_run(experiment.experiment_id, run_name=name, tags=tags)
    client.log_text(run.info.run_id, "12345", "metrics/evaluate.json")
    if status != "RUNNING":
        client.set_terminated(run.info.run_id, status)
    return str(run.info.run_id)


WHOLE = {f"facegan.sha256.{name}": "1" for name in ("generator", "evaluation")}


def test_attempts_that_another_run_stands_for_go_and_results_stay(
    finished: Project, facegan: Command, client: MlflowClient
) -> None:
    lineage = {LINEAGE: "one"}
    whole = make(client, "whole", **lineage, **WHOLE)
    same = make(client, "same", **lineage, **WHOLE, **{SAME: whole})
    killed = make(client, "killed", "KILLED", **lineage)
    stay = [
        whole,
        make(client, "working", "RUNNING", **lineage),
        make(client, "nothing else", "KILLED", **{LINEAGE: "two"}),
        make(client, "a study"),
    ]
    served = make(client, "served", **lineage, **WHOLE, **{SAME: whole})
    client.create_registered_model("faces")
    client.create_model_version("faces", f"{finished.root}/models/export", served)
    for name in ("facegan.deciding.17", "facegan.deciding.18", "facegan.deciding", "facegan"):
        client.create_registered_model(name)
    said = facegan("gc", "--older-than", 0)
    assert said.code == 0 and f"run {same[:8]} (same): the same as run {whole[:8]}" in said.out
    assert f"run {killed[:8]} (killed): another attempt was finished" in said.out
    assert "nothing was removed: `facegan gc --yes` does it" in said.out
    assert client.get_run(same).info.lifecycle_stage == "active"
    assert "the same as" not in facegan("gc").out  # too new by default
    assert facegan("gc", "--older-than", 0, "--yes").code == 0
    assert [client.get_run(run).info.lifecycle_stage for run in (same, killed)] == ["deleted", "deleted"]
    assert {client.get_run(run).info.lifecycle_stage for run in [*stay, served]} == {"active"}
    assert {model.name for model in client.search_registered_models()} == {"faces", "facegan", "facegan.deciding"}


def test_what_was_deleted_goes_for_good_but_not_what_a_version_needs(
    finished: Project, facegan: Command, client: MlflowClient
) -> None:
    gone, served = make(client, "gone"), make(client, "served")
    client.create_registered_model("faces")
    client.create_model_version("faces", f"{finished.root}/models/export", served)
    for run in (gone, served):
        client.delete_run(run)
    said = json.loads(facegan("gc", "--older-than", 0, "--json", "--yes").out)
    assert {"what": "1 run deleted in MLflow", "bytes": 5} in said["items"]
    assert said["removed"] and said["bytes"] == sum(item["bytes"] for item in said["items"])
    experiment = client.get_experiment_by_name("facegan")
    assert experiment is not None
    left = client.search_runs([experiment.experiment_id], run_view_type=2)  # deleted ones
    assert [run.info.run_id for run in left] == [served]
    assert not list(finished.root.glob(f"mlartifacts/**/{gone}/**/evaluate.json"))
    assert list(finished.root.glob(f"mlartifacts/**/{served}/**/evaluate.json"))
    # An experiment that was deleted just now may be wanted back; MLflow's command would take it too.
    client.delete_experiment(client.create_experiment("another"))
    client.delete_run(make(client, "later"))
    assert "deleted in MLflow" not in facegan("gc", "--older-than", 1).out
    assert "1 run and 1 experiment deleted in MLflow" in facegan("gc", "--older-than", 0).out


def test_a_deleted_experiment_with_what_a_version_needs_stays_and_with_it_every_other(
    finished: Project, facegan: Command, client: MlflowClient
) -> None:
    """MLflow's command takes deleted experiments whole, and every deleted run where none is named."""
    another = client.create_experiment("another", (finished.root / "mlartifacts").as_uri())
    runs = [client.create_run(another).info.run_id for _ in range(2)]
    for run in runs:
        client.set_terminated(run)
    client.create_registered_model("faces")
    client.create_model_version("faces", f"{finished.root}/models/export", runs[0])
    client.delete_experiment(another)
    assert "in MLflow" not in facegan("gc", "--older-than", 0).out
    client.restore_experiment(another)
    for run in runs:
        client.delete_run(run)
    assert facegan("gc", "--older-than", 0, "--yes").code == 0
    assert client.get_run(runs[0]).info.lifecycle_stage == "deleted"
    with pytest.raises(MlflowException, match="not found"):
        client.get_run(runs[1])
    # Now a version's run is all that is deleted, beside an experiment: none could be named.
    client.delete_experiment(client.create_experiment("third"))
    assert "in MLflow" not in facegan("gc", "--older-than", 0, "--yes").out
    assert client.get_run(runs[0]).info.lifecycle_stage == "deleted"


def test_a_deleted_model_that_a_version_is_of_is_not_taken_with_the_rest(
    finished: Project, facegan: Command, client: MlflowClient
) -> None:
    assert facegan("register").code == 0
    (version,) = client.search_model_versions()
    assert version.source.startswith("models:/m-")
    client.delete_run(make(client, "gone"))
    assert "1 run deleted in MLflow" in facegan("gc", "--older-than", 0).out
    client.delete_logged_model(version.source.removeprefix("models:/"))
    assert "in MLflow" not in facegan("gc", "--older-than", 0).out


def test_nothing_is_looked_at_while_something_is_at_work(finished: Project, facegan: Command) -> None:
    lock = finished.state / "locks/key"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended = facegan("gc", "--yes")
    assert ended.code == 1 and "gc: a training is at work in" in ended.err


def test_a_project_without_runs_stays_without_a_database(project: Project, facegan: Command) -> None:
    assert facegan("gc").out == "there is nothing to remove\n"
    assert not (project.root / "mlflow.db").exists()
    assert "should be a number of days from 0" in facegan("gc", "--older-than", "-1").err


def test_sizes_add_up(finished: Project, facegan: Command) -> None:
    for number in range(3):
        path = Path(finished.state, f"studies/{number}/file")
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(1500))
    ended = facegan("gc")
    assert ended.code == 0, ended
    said = ended.out
    assert "    1.5 kB  copies of a study that was killed (0)" in said and "4.5 kB in all" in said
    assert facegan("gc", "--yes").out.endswith("removed 4.5 kB\n")
    assert facegan("gc").out.endswith("there is nothing to remove\n")
