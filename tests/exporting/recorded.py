"""A generator on disk as MLflow keeps it, and the pictures that it answers."""

import base64
import io
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from facegan.tracking import record  # before mlflow: it switches telemetry off

import mlflow  # isort: skip
import mlflow.pyfunc  # isort: skip - itself: the lazy one would lose what is patched


def save_as_recorded(exported: Path, path: Path) -> Path:
    """Save with the very arguments that ``record`` logs an exported folder with."""
    asked: list[dict[str, Any]] = []
    client = SimpleNamespace(search_logged_models=lambda *_: [])
    view = SimpleNamespace(client=client, run_id="run", experiment_id="experiment")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow, "set_tracking_uri", lambda _: None)
        patch.setattr(mlflow, "start_run", lambda **_: nullcontext())
        patch.setattr(mlflow.pyfunc, "log_model", lambda **settings: asked.append(settings))
        record._log_model(SimpleNamespace(uri="nowhere"), view, exported, "digest")
    (settings,) = asked
    assert settings.pop("name") == "generator"
    assert settings.pop("tags") == {"facegan.sha256.onnx": "digest"}
    mlflow.pyfunc.save_model(path=path, **settings)
    return path


def pictures(answer: pd.DataFrame) -> np.ndarray:
    assert list(answer.columns) == ["png"]
    drawn = [Image.open(io.BytesIO(base64.b64decode(text, validate=True))) for text in answer["png"]]
    assert {picture.format for picture in drawn} == {"PNG"}
    return np.stack([np.asarray(picture) for picture in drawn])
