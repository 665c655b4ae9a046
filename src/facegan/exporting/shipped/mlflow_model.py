"""The generator as an MLflow model, loaded from this code and from ONNX: no pickle.

Input: rows with ``n`` (pictures) and ``seed``, or rows with a ``latent`` each; and ``label``, texts such as
"hair=pink" ([] for any, where other rows ask), for a generator that knows labels. Output: one PNG a picture, in base64.
"""

import base64
import importlib.util
import io
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel
from PIL import Image

MAX_PICTURES = 1024


class FaceGenerator(PythonModel):
    """Pictures as PNG for MLflow's scoring server and ``mlflow.pyfunc.load_model``."""

    def load_context(self, context: Any) -> None:
        folder = Path(context.artifacts["model"])
        # By its path: another module, or another version of the model, may be loaded under the same name.
        spec = importlib.util.spec_from_file_location("facegan_generate", folder / "generate.py")
        assert spec is not None and spec.loader is not None
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        self.generator, self.image = script.Generator(folder / "generator.onnx"), script.image

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        rows = model_input.to_dict("records")
        asked = sum(
            1 if _given(row.get("latent")) else min(max(1, _whole(row.get("n"), 1)), MAX_PICTURES) for row in rows
        )
        if asked > MAX_PICTURES:
            raise mlflow.exceptions.MlflowException.invalid_parameter_value(
                f"{asked} pictures in one request; at most {MAX_PICTURES} are drawn"
            )
        latents = [self._latents(row) for row in rows]
        labels = [np.repeat(self._labels(row)[None], len(drawn), 0) for row, drawn in zip(rows, latents, strict=True)]
        pictures = self.generator.pictures(np.concatenate(latents), np.concatenate(labels))
        return pd.DataFrame({"png": [_png(self.image(picture)) for picture in pictures]})

    def _labels(self, row: dict[str, Any]) -> np.ndarray:
        wanted: Any = row.get("label")
        try:
            labels: np.ndarray = self.generator.labels(list(wanted) if _given(wanted) else [])
        except ValueError as error:
            raise mlflow.exceptions.MlflowException.invalid_parameter_value(str(error)) from None
        return labels

    def _latents(self, row: dict[str, Any]) -> np.ndarray:
        given = row.get("latent")
        if _given(given):
            latent = np.asarray(given, np.float32)
            if latent.shape != (self.generator.latent,) or not np.isfinite(latent).all():
                raise mlflow.exceptions.MlflowException.invalid_parameter_value(
                    f"a latent holds {self.generator.latent} finite numbers, this one has shape {latent.shape}"
                )
            return latent[None]
        count, seed = (_whole(row.get(name), default) for name, default in (("n", 1), ("seed", 0)))
        if not 1 <= count <= MAX_PICTURES or seed < 0:
            raise mlflow.exceptions.MlflowException.invalid_parameter_value(
                f"n should be 1 to {MAX_PICTURES} and seed not negative; got n={count}, seed={seed}"
            )
        drawn: np.ndarray = self.generator.latents(count, seed)
        return drawn


def _given(value: Any) -> bool:
    """A column that a row leaves out arrives as None or as nan."""
    return value is not None and not (isinstance(value, float) and np.isnan(value))


def _whole(value: Any, default: int) -> int:
    return default if value is None or value != value else int(value)


def _png(image: Image.Image) -> str:
    content = io.BytesIO()
    image.save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


mlflow.models.set_model(FaceGenerator())
