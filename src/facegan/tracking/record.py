"""Rebuild a run in MLflow from the stages' outputs alone: what is there stays, what is missing is filled in."""

import csv
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, LoggedModelStatus
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

from facegan.exporting import shipped
from facegan.files import folder_digest, json_digest, read_json, sha256
from facegan.params_yaml import flatten
from facegan.tracking.lineage import RunSpec
from facegan.tracking.patience import again, patient
from facegan.tracking.view import (
    DIGEST,
    LINEAGE,
    RunView,
    Server,
    experiment_id,
    find_attempt,
    find_same,
    is_whole,
)

MODEL = "generator"
TRIES = 5  # of a request that the connection cuts short: there are a hundred, and a network may lose one in five
FILLING = "facegan.filling"  # tag: the outputs that a run is being filled with
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
        """SHA-256 of what decides the rest, and of the folders of weights and of what is exported, as tags."""
        files = {
            "raw": self.raw / "manifest.json",
            "shards": self.shards / "manifest.json",
            "generator": self.trained / "generator.safetensors",
            "onnx": self.exported / "generator.onnx",
            "evaluation": self.reports / "evaluate.json",
        }
        digests = {name: sha256(path) for name, path in files.items()}
        digests |= {"trained": folder_digest(self.trained), "exported": folder_digest(self.exported)}
        return {DIGEST + name: digest for name, digest in digests.items()}


def record(server: Server, specs: Sequence[RunSpec], outputs: Outputs, params_yaml: str, changes: str) -> str:
    """Make MLflow hold the run of ``outputs`` whole; gives its id. Raises whatever MLflow raises.

    That is the run that holds these outputs already, else that of the first attempt of ``specs`` that is free to take
    them: they differ in nothing but the attempt.
    """
    digests = outputs.digests()
    client, lineage = patient(MlflowClient(server.uri), TRIES), specs[0].lineage
    with server.locked():
        experiment = experiment_id(client, server)
    if (same := find_same(client, experiment, lineage, digests)) is not None:
        _fill(
            server, RunView.of(server, same, TRIES), specs[0], outputs, digests, params_yaml, changes
        )  # what was lost
        return str(same.info.run_id)
    spec = next((spec for spec in specs if _free(client, experiment, spec, digests)), specs[-1])
    view = RunView(server, spec, TRIES)
    view.unlike_others(spec.name)
    _fill(server, view, spec, outputs, digests, params_yaml, changes)
    best = read_json(outputs.trained / "config.json")["best"]["images"]
    first = find_same(client, experiment, lineage, digests)  # whole meanwhile
    if first is None:
        view.set_tags({**digests, "facegan.best_images": str(best)})
        first = find_same(client, experiment, lineage, digests)
    view.set_status("FINISHED")
    if first is None or first.info.run_id == view.run_id:
        return str(view.run_id)
    view.same_as(first)  # another machine recorded the same meanwhile
    return str(first.info.run_id)


def _free(client: MlflowClient, experiment: str, spec: RunSpec, digests: dict[str, str]) -> bool:
    """Whether the run of an attempt is there for these outputs: new, or of this lineage and not whole."""
    run = find_attempt(client, experiment, spec.attempt)
    if run is None:
        return True
    held = run.data.tags
    if held.get(LINEAGE) != spec.lineage or is_whole(run):
        return False
    return held.get(FILLING, json_digest(digests)) == json_digest(digests)  # of other outputs, and was killed


def _fill(
    server: Server,
    view: RunView,
    spec: RunSpec,
    outputs: Outputs,
    digests: dict[str, str],
    params_yaml: str,
    changes: str,
) -> None:
    """All that the outputs hold, at one time for all, so that a request that is repeated stores nothing twice."""
    config = read_json(outputs.trained / "config.json")
    if not view.whole:
        view.set_tags({**spec.tags, FILLING: json_digest(digests)})  # the commit is the one that these outputs are of
    now = view.started
    view.metrics((key, step, value, now) for key, step, value in _metrics(outputs, config))
    for path in sorted((outputs.reports / "train/samples").glob("*.png")):
        view.image("samples", int(path.stem), path, now)
    view.image("real", 0, outputs.reports / "evaluate/real.png", now)
    view.image("generated", config["images"], outputs.reports / "evaluate/generated.png", now)
    for folder, below in ((outputs.trained, "weights"), (outputs.reports / "evaluate", "report")):
        view.artifacts(folder, sorted(path.name for path in folder.iterdir()), below)
    view.artifacts(outputs.reports, ["data.json", "evaluate.json"], "metrics")
    view.artifacts(outputs.shards, ["manifest.json"], "data")
    _log_data_set(view, outputs)
    if not view.whole:  # else they may be another's who came to the same outputs
        view.text(params_yaml, "params.yaml")
        if changes:
            view.text(changes, "uncommitted.diff")
        again(3 * TRIES, _log_model, server, view, outputs.exported, digests[DIGEST + "onnx"])


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
    if _has_data_set(view):
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
    for number in range(TRIES):
        try:
            view.client.log_inputs(view.run_id, [DatasetInput(data_set)])
            return
        except Exception:
            # The answer may be lost, and a server fails when another run brings a new data set at the same time.
            if _has_data_set(view):
                return
            if number == TRIES - 1:
                raise


def _has_data_set(view: RunView) -> bool:
    inputs = view.client.get_run(view.run_id).inputs
    return inputs is not None and bool(inputs.dataset_inputs)


def _log_model(server: Server, view: RunView, exported: Path, digest: str) -> None:
    """One; what is left of one that was cut short goes."""
    tag = DIGEST + "onnx"
    there = False
    for model in view.client.search_logged_models([view.experiment_id], f"source_run_id = '{view.run_id}'"):
        if not there and model.tags.get(tag) == digest and model.status == LoggedModelStatus.READY:
            there = True
        else:  # also a second one, which a request that was repeated on the way has made
            view.client.delete_logged_model(model.model_id)
    if there:
        return
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
            tags={tag: digest},
            pip_requirements=[f"mlflow=={mlflow.__version__}", *(f"{name}=={version(name)}" for name in _REQUIREMENTS)],
        )
