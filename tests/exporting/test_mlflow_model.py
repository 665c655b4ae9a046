"""The generator as MLflow loads and serves it: pictures for a number and a seed or for latents, and nothing absurd."""

import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from exporting.recorded import pictures, save_as_recorded
from facegan.exporting.shipped.generate import Generator

import mlflow  # isort: skip
from mlflow.exceptions import MlflowException  # isort: skip
from mlflow.pyfunc import scoring_server  # isort: skip


@pytest.fixture(scope="module")
def saved(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model on disk, with the very arguments that ``record`` logs it with."""
    return save_as_recorded(exported, tmp_path_factory.mktemp("mlflow") / "model")


@pytest.fixture(scope="module")
def served(saved: Path) -> Any:
    return mlflow.pyfunc.load_model(str(saved))


@pytest.fixture(scope="module")
def generator(exported: Path) -> Generator:
    return Generator(exported / "generator.onnx")


@pytest.fixture(autouse=True)
def no_traces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []  # no mlruns, no mlflow.db


def serve(served: Any, request: object) -> tuple[int, Any]:
    """What MLflow's scoring server answers to a request's body: status and content."""
    body = json.dumps(request).encode()
    try:
        answer = scoring_server.invocations(body, "application/json", served, served.metadata.get_input_schema())
    except MlflowException as error:
        return error.get_http_status_code(), str(error)
    return answer.status, json.loads(answer.response)


def test_a_number_and_a_seed_give_the_pictures_of_the_script(served: Any, generator: Generator) -> None:
    found = pictures(served.predict(pd.DataFrame([{"n": 4, "seed": 7}])))
    assert found.shape == (4, 32, 32, 3)
    assert np.array_equal(found, generator.pictures(generator.latents(4, 7)))


def test_latents_give_their_pictures_in_order(served: Any, generator: Generator) -> None:
    latents = generator.latents(3, 1)
    found = pictures(served.predict(pd.DataFrame({"latent": [row.tolist() for row in latents]})))
    assert np.array_equal(found, generator.pictures(latents))


def test_several_rows_are_answered_one_after_the_other(served: Any, generator: Generator) -> None:
    found = pictures(served.predict(pd.DataFrame([{"n": 2, "seed": 1}, {"n": 3, "seed": 2}])))
    expected = np.concatenate([generator.latents(2, 1), generator.latents(3, 2)])
    assert np.array_equal(found, generator.pictures(expected))


@pytest.mark.parametrize(("row", "same_as"), [({"n": 2}, (2, 0)), ({"seed": 5}, (1, 5))], ids=str)
def test_what_is_left_out_is_one_picture_of_seed_zero(
    served: Any, generator: Generator, row: dict[str, int], same_as: tuple[int, int]
) -> None:
    found = pictures(served.predict(pd.DataFrame([row])))
    assert np.array_equal(found, generator.pictures(generator.latents(*same_as)))


@pytest.mark.parametrize(
    "row", [{"n": 0}, {"n": -1}, {"n": 2000}, {"n": 1025, "seed": 1}, {"n": 1, "seed": -1}], ids=str
)
def test_numbers_that_make_no_sense_are_refused(served: Any, row: dict[str, int]) -> None:
    with pytest.raises(MlflowException, match="n should be 1 to 1024 and seed not negative") as caught:
        served.predict(pd.DataFrame([row]))
    assert caught.value.get_http_status_code() == 400


def test_many_rows_together_may_not_ask_for_more_either(served: Any) -> None:
    with pytest.raises(MlflowException, match="2000 pictures in one request; at most 1024") as caught:
        served.predict(pd.DataFrame([{"n": 1000}, {"n": 1000}]))
    assert caught.value.get_http_status_code() == 400


def test_a_request_too_large_is_refused_before_any_latent_is_drawn(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 rows of 1,024 would be gigabytes of latents for a refusal."""
    drawn = 0
    inside = served.unwrap_python_model().generator
    latents = inside.latents

    def note(count: int, seed: int) -> np.ndarray:
        nonlocal drawn
        drawn += count
        return latents(count, seed)

    monkeypatch.setattr(inside, "latents", note)
    with pytest.raises(MlflowException, match="in one request"):
        served.predict(pd.DataFrame([{"n": 1024}] * 20))
    assert drawn <= 2 * 1024


def test_the_largest_request_is_answered(served: Any) -> None:
    assert len(served.predict(pd.DataFrame([{"n": 1024, "seed": 1}]))) == 1024


@pytest.mark.parametrize(
    "latent",
    [[0.0] * 7, [0.0] * 9, [], [math.nan] + [0.0] * 7, [math.inf] + [0.0] * 7, [1e300] + [0.0] * 7],
    ids=["short", "long", "empty", "NaN", "infinite", "infinite as float32"],
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_latents_that_are_none_are_refused(served: Any, latent: list[float]) -> None:
    with pytest.raises(MlflowException, match="a latent holds 8 finite numbers") as caught:
        served.predict(pd.DataFrame({"latent": [latent]}))
    assert caught.value.get_http_status_code() == 400


def test_one_bad_row_refuses_the_request(served: Any) -> None:
    with pytest.raises(MlflowException):
        served.predict(pd.DataFrame({"latent": [[0.0] * 8, [0.0] * 3]}))


def test_unknown_columns_and_texts_are_refused(served: Any) -> None:
    with pytest.raises(MlflowException):
        served.predict(pd.DataFrame([{"n": "many"}]))


def test_mlflows_own_request_format_is_answered(served: Any, generator: Generator) -> None:
    status, answer = serve(served, {"dataframe_records": [{"n": 4, "seed": 7}]})
    assert status == 200
    found = pictures(pd.DataFrame(answer["predictions"]))
    assert np.array_equal(found, generator.pictures(generator.latents(4, 7)))
    latents = generator.latents(2, 3)
    for request in (
        {"dataframe_records": [{"latent": row} for row in latents.tolist()]},
        {"dataframe_split": {"columns": ["latent"], "data": [[row] for row in latents.tolist()]}},
    ):
        status, answer = serve(served, request)
        assert status == 200
        assert np.array_equal(pictures(pd.DataFrame(answer["predictions"])), generator.pictures(latents))


@pytest.mark.parametrize(
    "rows",
    [[{"n": 0}], [{"n": 2000}], [{"latent": [0.0] * 3}], [{"latent": [0.0] * 8}, {"n": 2}], [{"n": "x"}], []],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_the_clients_mistake(served: Any, rows: list[dict[str, Any]]) -> None:
    status, said = serve(served, {"dataframe_records": rows})
    assert status == 400, said


def test_it_is_loaded_from_code_and_holds_no_pickle(saved: Path) -> None:
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pth", ".pt")]
    assert not [path for path in files if path.read_bytes()[:2] == b"\x80\x04"]
    assert {"generator.onnx", "generate.py", "mlflow_model.py"} <= {path.name for path in files}


def test_its_requirements_are_pinned_and_leave_training_out(saved: Path) -> None:
    lines = (saved / "requirements.txt").read_text().split()
    names = {line.split("==")[0] for line in lines}
    assert names == {"mlflow", "onnxruntime", "numpy", "pandas", "pillow"}
    assert all("==" in line for line in lines)


def test_it_loads_beside_another_module_of_that_name(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``generate`` is a common name: another one that is loaded already must not be taken for it."""
    monkeypatch.setitem(sys.modules, "generate", ModuleType("generate"))
    loaded = mlflow.pyfunc.load_model(str(saved))
    assert len(loaded.predict(pd.DataFrame([{"n": 1}]))) == 1


def test_two_models_in_one_process_each_use_their_own_code(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions are compared side by side: the second must not run the first one's script."""
    monkeypatch.delitem(sys.modules, "generate", raising=False)
    other = tmp_path_factory.mktemp("other") / "model"
    shutil.copytree(saved, other)
    (script,) = other.rglob("generate.py")
    script.write_text(script.read_text().replace("drawn * 127.5 + 127.5", "drawn * 0 + 9"))
    first = pictures(mlflow.pyfunc.load_model(str(saved)).predict(pd.DataFrame([{"n": 1}])))
    second = pictures(mlflow.pyfunc.load_model(str(other)).predict(pd.DataFrame([{"n": 1}])))
    assert (second == 9).all()
    assert first.std() > 1


def test_loading_leaves_the_search_path_as_it_was(saved: Path) -> None:
    before = list(sys.path)
    mlflow.pyfunc.load_model(str(saved))
    assert sys.path == before
