"""What a finished training leaves: weights, their configuration, history and sample grids; no time, no path."""

import csv
import io
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save

from facegan.files import new_folder, write_atomic, write_json
from facegan.tracking.journal import read_rows
from facegan.training.loop import Training
from facegan.training.state import TrainingState
from facegan.training.working import WorkingFolder


def write_models(training: Training, state: TrainingState, key: str, folder: Path) -> None:
    """``generator`` (the best average), ``generator-last`` and ``discriminator`` .safetensors, and ``config.json``."""
    assert state.best is not None and state.last is not None  # the last tick always scores
    with new_folder(folder) as partial:
        for name, tensors in training.final_weights(state).items():
            write_atomic(partial / f"{name}.safetensors", save(tensors))
        config = {
            "model": training.model.model_dump(),
            "size": training.size,
            "channels": training.channels,
            "labels": training.labels.names,
            "images": state.step * training.per_step,
            "judge": training.train.model_dump()["judge"],
            "best": {"images": state.best_images, **asdict(state.best)},
            "last": {"images": state.step * training.per_step, **asdict(state.last)},
            "latent": "standard normal",
            "range": [-1, 1],
            "seed": training.seed,
            "training_key": key,
        }
        write_json(partial / "config.json", config)


def write_history(working: WorkingFolder, folder: Path) -> None:
    """``history.csv`` (a row a tick), ``losses.csv`` (a row a step) and ``samples/``, from the journal."""
    ticks: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for row in read_rows(working.path):
        if row["kind"] == "metrics":
            ticks.append({"images": row["step"], **row["values"]})
        elif row["kind"] == "losses":
            columns = {"images": row["steps"], **row["values"]}
            steps += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    with new_folder(folder) as partial:
        write_atomic(partial / "history.csv", _table(ticks))
        write_atomic(partial / "losses.csv", _table(steps))
        shutil.copytree(working.samples, partial / "samples", ignore=shutil.ignore_patterns(".*"))


def _table(rows: list[dict[str, Any]]) -> str:
    """CSV with every column that any row has; floats so that they read back exactly."""
    rows = sorted(rows, key=lambda row: row["images"])
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()
