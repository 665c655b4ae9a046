"""A run rebuilt in MLflow from the stages' outputs alone."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from facegan.files import read_json, sha256
from facegan.repository.project import EXPORTED, RAW, REPORTS, SHARDS, TRAINED, Project
from facegan.sizes import size_of
from facegan.tracking import record as module
from facegan.tracking.lineage import RunSpec
from facegan.tracking.record import Outputs, record
from facegan.tracking.view import MlflowClient, RunView, Server, find_attempt, find_run, find_same
from tracking.made import artifacts, held, history, pictures


def outputs(root: Path) -> Outputs:
    return Outputs(*(root / folder for folder in (RAW, SHARDS, TRAINED, EXPORTED, REPORTS)))


@pytest.fixture
def run_spec(project_root: Path) -> RunSpec:
    config = read_json(project_root / TRAINED / "config.json")
    return RunSpec.of(
        Project(project_root, project_root).params(), config["training_key"], size_of(config), "made here", {}
    )


def recorded(server: Server, spec: RunSpec, root: Path, changes: str = "") -> str:
    return record(server, [spec], outputs(root), (root / "params.yaml").read_text(), changes)


def test_everything_that_the_outputs_hold_is_there(server: Server, run_spec: RunSpec, project_root: Path) -> None:
    run_id = recorded(server, run_spec, project_root, "a diff")
    client = MlflowClient(server.uri)
    rows = history(client, run_id)
    for name in ("history.csv", "losses.csv"):
        with (project_root / REPORTS / "train" / name).open() as file:
            table = list(csv.DictReader(file))
        for key in set(table[0]) - {"images"}:
            expected = [(int(row["images"]), float(row[key])) for row in table if row[key]]
            assert [(step, value) for step, value, _ in rows[key]] == expected
    report = json.loads((project_root / REPORTS / "evaluate.json").read_text())
    assert [value for _, value, _ in rows["fd_face"]] == [report["fd_face"]["value"]]
    assert [value for _, value, _ in rows["fd_face_floor"]] == [report["fd_face"]["floor"]]
    assert rows["data/pictures_train"]
    files = set(artifacts(client, run_id))
    assert {
        "weights/generator.safetensors", "weights/discriminator.safetensors", "report/index.html",
        "metrics/evaluate.json", "data/manifest.json", "params.yaml", "uncommitted.diff",
    } <= files  # fmt: skip
    grids = {int(path.stem) for path in (project_root / REPORTS / "train/samples").glob("*.png")}
    assert {step for key, step, _ in pictures(client, run_id) if key == "samples"} == grids
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.batch"] == "8"
    assert run.inputs.dataset_inputs[0].dataset.name == "synthetic"
    assert {name for name in run.data.tags if name.startswith("facegan.sha256.")} == {
        f"facegan.sha256.{name}" for name in ("raw", "shards", "generator", "onnx", "evaluation", "trained", "exported")
    }


def test_again_it_adds_nothing(server: Server, run_spec: RunSpec, project_root: Path) -> None:
    client = MlflowClient(server.uri)
    run_id = recorded(server, run_spec, project_root)
    before = held(client, run_id)
    assert recorded(server, run_spec, project_root) == run_id
    assert held(client, run_id) == before


def test_another_attempt_that_came_to_the_same_is_not_another_run(
    server: Server, run_spec: RunSpec, project_root: Path
) -> None:
    client = MlflowClient(server.uri)
    run_id = recorded(server, run_spec, project_root)
    before = held(client, run_id)
    elsewhere = replace(
        run_spec, attempt="made elsewhere", tags={**run_spec.tags, "mlflow.source.git.commit": "f" * 40}
    )
    trained = RunView(server, elsewhere)  # as a training opens it
    assert recorded(server, elsewhere, project_root, "their diff") == run_id
    assert held(client, run_id) == before
    assert client.get_run(trained.run_id).data.metrics == {}


def test_of_two_machines_that_record_the_same_at_once_the_first_stands(
    server: Server, run_spec: RunSpec, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(server.uri)
    first = recorded(server, run_spec, project_root)
    before = held(client, first)
    looked: list[Any] = []

    def find(*given: Any) -> Any:
        looked.append(given)
        return find_same(*given) if len(looked) > 1 else None  # before the other was whole

    monkeypatch.setattr(module, "find_same", find)
    assert recorded(server, replace(run_spec, attempt="made elsewhere"), project_root) == first
    assert held(client, first) == before
    other = find_attempt(client, looked[0][1], "made elsewhere")
    assert other is not None and other.info.status == "FINISHED"
    assert other.data.tags["facegan.same_as"] == first and f"(same as {first[:8]})" in other.info.run_name
    found = find_run(server, run_spec.lineage)
    assert found is not None and found.info.run_id == first


def test_a_kill_before_the_digests_mixes_no_two_outputs(
    local: Server, run_spec: RunSpec, project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there by then is A's: weights of the same size, and scores under the same keys."""
    root = Path(shutil.copytree(project_root, tmp_path / "project"))
    with monkeypatch.context() as patch:
        patch.setattr(module, "_log_model", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            recorded(local, run_spec, root)
    weights, report = root / TRAINED / "generator.safetensors", root / REPORTS / "evaluate.json"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\1\2\3")
    scores = read_json(report)
    scores["fd_face"]["value"] = 12.5
    report.write_text(json.dumps(scores))
    derived = replace(run_spec, attempt="of these outputs")
    run_id = record(local, [run_spec, derived], outputs(root), "", "")
    client = MlflowClient(local.uri)
    there = Path(client.download_artifacts(run_id, "weights/generator.safetensors", str(tmp_path)))
    assert there.read_bytes() == weights.read_bytes()
    run = client.get_run(run_id)
    assert run.data.metrics["fd_face"] == 12.5
    assert run.data.tags["facegan.sha256.generator"] == sha256(weights)
    assert [entry.status for entry in client.search_logged_models([run.info.experiment_id])] == ["READY"]


def test_a_kill_while_the_model_is_sent_leaves_one_model(
    local: Server, run_spec: RunSpec, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*given: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "finalize_logged_model", killed)
        with pytest.raises(KeyboardInterrupt):
            recorded(local, run_spec, project_root)
    run_id = recorded(local, run_spec, project_root)
    client = MlflowClient(local.uri)
    models = client.search_logged_models([client.get_run(run_id).info.experiment_id])
    assert [(entry.source_run_id, entry.name, entry.status) for entry in models] == [(run_id, "generator", "READY")]


def test_a_training_that_was_followed_keeps_its_rows_and_takes_the_rest(
    local: Server, run_spec: RunSpec, project_root: Path
) -> None:
    followed = RunView(local, run_spec)
    followed.metrics([("loss_generator", 24, 0.25, 1000)])
    run_id = recorded(local, run_spec, project_root)
    assert run_id == followed.run_id
    rows = history(MlflowClient(local.uri), run_id)
    assert rows["loss_generator"][0] == (24, 0.25, 1000)
    started = {time for _, _, time in rows["loss_generator"][1:]} | {time for _, _, time in rows["fd_face"]}
    assert started == {followed.started}  # a request that is repeated stores the same row


def test_what_was_lost_is_filled_in(local: Server, run_spec: RunSpec, project_root: Path) -> None:
    client = MlflowClient(local.uri)
    run_id = recorded(local, run_spec, project_root)
    before = held(client, run_id)
    shutil.rmtree(local.artifacts / run_id / "artifacts/images")
    shutil.rmtree(local.artifacts / run_id / "artifacts/weights")
    recorded(local, run_spec, project_root)
    after = held(client, run_id)
    assert after["metrics"] == before["metrics"]
    assert pictures(client, run_id).total() == 2 * sum(
        "images/" in n and n.endswith(".png") for n in before["artifacts"]
    )
    assert {name for name in after["artifacts"] if name.startswith("weights/")} == {
        name for name in before["artifacts"] if name.startswith("weights/")
    }


def test_the_model_is_loaded_from_mlflow_and_draws(server: Server, run_spec: RunSpec, project_root: Path) -> None:
    run_id = recorded(server, run_spec, project_root)
    mlflow.set_tracking_uri(server.uri)
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/generator")
    assert len(model.predict(pd.DataFrame([{"n": 3, "seed": 7}]))) == 3
    assert not [name for name in artifacts(MlflowClient(server.uri), run_id) if name.endswith((".pkl", ".pt", ".pth"))]


def test_a_data_set_that_another_run_brings_at_the_same_time_is_taken(
    local: Server, run_spec: RunSpec, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's server looks, then inserts: of two at once, one fails."""
    real, calls = MlflowClient.log_inputs, []

    def raced(client: MlflowClient, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise MlflowException("UNIQUE constraint failed: datasets.experiment_id, datasets.name, datasets.digest")
        return real(client, *arguments)

    monkeypatch.setattr(MlflowClient, "log_inputs", raced)
    run_id = recorded(local, run_spec, project_root)
    assert len(calls) == 2 and len(MlflowClient(local.uri).get_run(run_id).inputs.dataset_inputs) == 1
