"""A run rebuilt in MLflow from the stages' outputs alone."""

import csv
import json
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from facegan.cli.project import EXPORTED, RAW, REPORTS, SHARDS, TRAINED, Project
from facegan.files import read_json
from facegan.tracking.lineage import RunSpec
from facegan.tracking.record import Outputs, record
from facegan.tracking.view import MlflowClient, Server
from tracking.made import artifacts, held, history, pictures


def outputs(root: Path) -> Outputs:
    return Outputs(*(root / folder for folder in (RAW, SHARDS, TRAINED, EXPORTED, REPORTS)))


@pytest.fixture
def run_spec(project_root: Path) -> RunSpec:
    config = read_json(project_root / TRAINED / "config.json")
    return RunSpec.of(Project(project_root, project_root).params(), config["training_key"], 32, {})


def recorded(server: Server, spec: RunSpec, root: Path, changes: str = "") -> str:
    return record(server, spec, outputs(root), (root / "params.yaml").read_text(), changes)


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
        f"facegan.sha256.{name}" for name in ("raw", "shards", "generator", "onnx", "evaluation")
    }


def test_again_it_adds_nothing(server: Server, run_spec: RunSpec, project_root: Path) -> None:
    client = MlflowClient(server.uri)
    run_id = recorded(server, run_spec, project_root)
    before = held(client, run_id)
    assert recorded(server, run_spec, project_root) == run_id
    assert held(client, run_id) == before


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
