"""The MLflow model over HTTP, as `mlflow models serve` serves it."""

import base64
import io
import json
import urllib.error
import urllib.request
from pathlib import Path

from conftest import BIN, Clone
from PIL import Image
from servers import free_port, serving


def ask(port: int, request: object) -> list[bytes]:
    """PNG bytes that the scoring server gives for a request in MLflow's format."""
    message = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(request).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(message, timeout=120) as answer:
        return [base64.b64decode(row["png"]) for row in json.load(answer)["predictions"]]


def test_the_served_model_answers_counts_seeds_and_latents(finished: Clone, tmp_path: Path) -> None:
    (run,) = finished.runs()
    port = free_port()
    env = finished.env() | {"MLFLOW_TRACKING_URI": f"sqlite:///{finished.root}/mlflow.db"}
    serve = [
        str(BIN / "mlflow"),
        "models",
        "serve",
        "-m",
        f"runs:/{run.info.run_id}/generator",
        "--env-manager",
        "local",
    ]
    with serving([*serve, "--port", str(port), "--host", "127.0.0.1"], port, tmp_path / "serve.log", env):
        four = ask(port, {"dataframe_records": [{"n": 4, "seed": 7}]})
        assert len(four) == 4
        assert {Image.open(io.BytesIO(png)).size for png in four} == {(32, 32)}
        assert ask(port, {"inputs": {"n": 4, "seed": 7}}) == four
        assert ask(port, {"inputs": [{"n": 4, "seed": 7}]}) == four
        assert ask(port, {"dataframe_split": {"columns": ["n", "seed"], "data": [[4, 8]]}}) != four
        latents = [[0.1 * k] * 8 for k in range(3)]
        assert len(ask(port, {"dataframe_records": [{"latent": latent} for latent in latents]})) == 3
        for bad in ({"n": 0}, {"n": 100_000}, {"latent": [1.0]}):
            try:
                ask(port, {"dataframe_records": [bad]})
            except urllib.error.HTTPError as error:
                assert error.code == 400
            else:
                raise AssertionError(f"{bad} was taken")
