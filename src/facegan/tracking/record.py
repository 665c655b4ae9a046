"""Rebuild a run in MLflow from the stages' outputs alone: what is there stays, what is missing is filled in."""

import csv
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

from facegan.exporting import shipped
from facegan.files import read_json, sha256
from facegan.params_yaml import flatten
from facegan.tracking.lineage import RunSpec
from facegan.tracking.view import RunView, Server

MODEL = "generator"
_REQUIREMENTS = ("onnxruntime", "numpy", "pandas", "pillow")


@dataclass(frozen=True)
class Outputs:
    """The folders that the stages wrote."""

    raw: Path
    shards: Path
    trained: Path
    exported: Path
    reports: Path

    def digests(self) -> dict[str, str]:
        """SHA-256 of what decides the rest, as tags."""
        files = {
            "raw": self.raw / "manifest.json",
            "shards": self.shards / "manifest.json",
            "generator": self.trained / "generator.safetensors",
            "onnx": self.exported / "generator.onnx",
            "evaluation": self.reports / "evaluate.json",
        }
        return {f"facegan.sha256.{name}": sha256(path) for name, path in files.items()}


def record(server: Server, spec: RunSpec, outputs: Outputs, params_yaml: str, changes: str) -> str:
    """Make the run of ``spec`` whole; gives its id. Raises whatever MLflow raises."""
    digests = outputs.digests()
    view = RunView(server, spec, digests)
    config = read_json(outputs.trained / "config.json")
    now = time.time_ns() // 1_000_000
    view.metrics((key, step, value, now) for key, step, value in _metrics(outputs, config))
    for path in sorted((outputs.reports / "train/samples").glob("*.png")):
        view.image("samples", int(path.stem), path, now)
    view.image("real", 0, outputs.reports / "evaluate/real.png", now)
    view.image("generated", config["images"], outputs.reports / "evaluate/generated.png", now)
    view.artifacts(outputs.trained, [path.name for path in sorted(outputs.trained.iterdir())], "weights")
    view.artifacts(
        outputs.reports / "evaluate", [path.name for path in (outputs.reports / "evaluate").iterdir()], "report"
    )
    view.artifacts(outputs.reports, ["data.json", "evaluate.json"], "metrics")
    view.artifacts(outputs.shards, ["manifest.json"], "data")
    view.text(params_yaml, "params.yaml")
    if changes:
        view.text(changes, "uncommitted.diff")
    _log_data_set(view, outputs)
    _log_model(server, view, outputs.exported, digests["facegan.sha256.onnx"])
    view.set_tags({**digests, "facegan.best_images": str(config["best"]["images"])})
    view.set_status("FINISHED")
    return str(view.run_id)


def _metrics(outputs: Outputs, config: dict[str, Any]) -> Iterator[tuple[str, int, float]]:
    """(key, step, value) of everything numeric that the outputs hold."""
    for path, prefix in ((outputs.reports / "train/history.csv", ""), (outputs.reports / "train/losses.csv", "")):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                step = int(row.pop("images"))
                yield from ((prefix + key, step, float(value)) for key, value in row.items() if value)
    report = read_json(outputs.reports / "evaluate.json")
    scores = {name: score for name, score in report.items() if name not in ("protocol", "warnings")}
    for key, value in flatten(scores).items():
        yield _allowed(key.removesuffix(".value").replace(".", "_")), config["images"], float(value)
    for key, value in flatten(read_json(outputs.reports / "data.json")).items():
        yield "data/" + _allowed(key), 0, float(value)


def _allowed(key: str) -> str:
    """In the letters that MLflow allows in the name of a metric."""
    return "".join(c if c.isalnum() or c in "-_ /" else "_" for c in key)


def _log_data_set(view: RunView, outputs: Outputs) -> None:
    inputs = view.client.get_run(view.run_id).inputs
    if inputs is not None and inputs.dataset_inputs:
        return
    manifest = read_json(outputs.shards / "manifest.json")
    source = manifest["source"]
    name = str(source.get("handle") or source.get("name") or source["source"])
    data_set = Dataset(
        name=name,
        digest=sha256(outputs.shards / "manifest.json")[:32],
        source_type=source["source"],
        source=str(source),
        profile=str({"pictures": manifest["pictures"], "size": manifest["size"]}),
    )
    view.client.log_inputs(view.run_id, [DatasetInput(data_set)])


def _log_model(server: Server, view: RunView, exported: Path, digest: str) -> None:
    if view.client.get_run(view.run_id).data.tags.get("facegan.sha256.onnx") == digest:
        return  # the tags are written behind the model
    from importlib.metadata import version

    mlflow.set_tracking_uri(server.uri)
    signature = ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.long, "n", required=False),
                ColSpec(DataType.long, "seed", required=False),
                ColSpec(Array(DataType.double), "latent", required=False),
                ColSpec(Array(DataType.string), "label", required=False),
            ]
        ),
        outputs=Schema([ColSpec(DataType.string, "png")]),
    )
    with mlflow.start_run(run_id=view.run_id), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wants an example of the input; the signature says more
        mlflow.pyfunc.log_model(
            name=MODEL,
            python_model=str(Path(shipped.__path__[0], "mlflow_model.py")),
            artifacts={"model": str(exported)},
            signature=signature,
            pip_requirements=[f"mlflow=={mlflow.__version__}", *(f"{name}=={version(name)}" for name in _REQUIREMENTS)],
        )
