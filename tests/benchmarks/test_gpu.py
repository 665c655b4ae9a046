"""The benchmark for GPUs, tried on the CPU: every part runs, with no more than a bare GPU machine has."""

import importlib.metadata
import io
import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu.bench import Bench, Item, run_items
from benchmarks.gpu.carry import WHEELS, pack_pictures
from benchmarks.gpu.memory import META, estimated_bytes, meta_step, on_meta
from benchmarks.gpu.recipes import all_recipes, load_recipe
from facegan.data.folder import open_pictures
from facegan.params import Params
from facegan.training.objectives import OBJECTIVES
from facegan.training.step import train_step

ROOT = Path(__file__).parents[2]
# What the machine has, and the wheels that are carried there: the packages that the benchmark may import.
THERE = {
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "safetensors",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "tqdm",
    "pyyaml",
}
CARRIED = {"pydantic", "ruamel-yaml"}
REFUSE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"{{name}} is not on the GPU machine", name=name)

sys.meta_path.insert(0, Refuse())
"""


def absent_modules() -> set[str]:
    """Top-level modules of this project's dependencies that a GPU machine lacks."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    absent = {_plain(re.split(r"[\[<>=!~ ]", line)[0]) for line in declared} - THERE - CARRIED
    packages = importlib.metadata.packages_distributions()
    modules = {module for module, owners in packages.items() if set(map(_plain, owners)) & absent}
    return modules - {"scipy", "sklearn", "jinja2"}  # other packages there look for them


def _plain(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the whole benchmark gives on the CPU, as small as it goes."""
    folder = tmp_path_factory.mktemp("gpu")
    modules = absent_modules()
    assert {"dvc", "mlflow", "kagglehub", "optuna"} <= modules
    (folder / "sitecustomize.py").write_text(REFUSE.format(modules=modules))
    command = [sys.executable, "-m", "benchmarks.gpu", "--minutes", "20", "--out", str(folder / "out")]
    environment = {"PYTHONPATH": f"{folder}:{ROOT / 'src'}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--device", "cpu", "--tiny"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()] + [
        {"part": "pictures", "names": sorted(path.name for path in (folder / "out").glob("*.png"))}
    ]


def of_part(results: list[dict[str, Any]], part: str, key: str) -> list[Any]:
    return [row[key] for row in results if row["part"] == part and key in row]


def test_every_part_runs_without_dvc_or_mlflow(results: list[dict[str, Any]]) -> None:
    assert not [row for row in results if "error" in row or "skipped" in row]
    assert {row["part"] for row in results} == {"machine", "exact", "speed", "means", "faces", "pictures"}


def test_steps_are_exact_twice_and_after_a_kill(results: list[dict[str, Any]]) -> None:
    for key in ("same_twice", "same_after_kill"):
        found = of_part(results, "exact", key)
        assert len(found) >= 3
        assert all(found)
    assert max(of_part(results, "exact", "onnx_max_difference")) < 1e-4


def test_speed_is_told_beside_the_plain_loop_and_the_matrix_limit(results: list[dict[str, Any]]) -> None:
    assert of_part(results, "speed", "times_plain")[0] > 0
    assert all(share > 0 for share in of_part(results, "speed", "of_matrix_limit"))  # below 1 on a GPU, at full size
    assert all(count > 100 for count in of_part(results, "speed", "kernels_per_step"))
    assert all(times > 0 for times in of_part(results, "means", "times_usual"))


def test_trainings_leave_their_scores_and_a_grid(results: list[dict[str, Any]]) -> None:
    scores = {name for space in of_part(results, "faces", "scores") for name in space}
    assert {"fd_random", "fd_face", "recall_face", "sliced_wasserstein", "checkerboard_energy"} <= scores
    assert of_part(results, "pictures", "names") == [["conv-64.png"]]


class NoWaiting(TorchDispatchMode):
    """Refuses operations that mix tensors of the device with others: only a copy may."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, torch.Tensor)]
        there = [tensor for tensor in tensors if tensor.device == META]
        if there and any(tensor.dim() > 0 for tensor in tensors if tensor.device != META):
            assert "copy" in str(func), f"{func} mixes a tensor of the device with one of the CPU"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", all_recipes())
@pytest.mark.parametrize("microbatch", [None, 4])
def test_a_step_never_waits_for_the_device(name: str, microbatch: int | None) -> None:
    """On ``meta`` there are no values: an ``.item()``, a ``.cpu()`` or the truth of a tensor raises."""
    params = load_recipe(name, tiny=True)
    params = params.model_copy(update={"train": params.train.model_copy(update={"microbatch": microbatch})})
    with on_meta(), NoWaiting():
        state, draws = meta_step(params, 24)
        for _ in range(2):  # a lazy penalty is in the first
            losses = train_step(state, params.train, draws)
            state.step += 1
    assert losses.device == META
    assert all(parameter.device == META for parameter in state.generator.parameters())


def test_a_wait_inside_a_step_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    params = load_recipe("base", tiny=True)

    class Waits:
        pairs = False

        def discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
            return real.mean() * float(fake.detach().mean())

    monkeypatch.setitem(OBJECTIVES, params.train.objective, Waits())
    with on_meta(), NoWaiting(), pytest.raises(RuntimeError, match="meta"):
        state, draws = meta_step(params, 24)
        train_step(state, params.train, draws)


def test_a_tensor_left_on_the_cpu_is_seen() -> None:
    with NoWaiting(), pytest.raises(AssertionError, match="mixes"):
        torch.ones(3, device=META) + torch.ones(3)


def test_memory_grows_with_the_batch_as_the_step_does() -> None:
    def mib(batch: int) -> float:
        params: Params = load_recipe("conv-64")
        train = params.train.model_copy(update={"batch": batch})
        return estimated_bytes(params.model_copy(update={"train": train}), 256) / 2**20

    small, large = mib(16), mib(64)
    weights = 4 * 6_000_000 * 4 / 2**20  # two networks, an average and two moments of each
    assert small > weights
    assert 2 < (large - weights) / (small - weights) < 4.5


def _ends_badly(bench: Bench) -> Iterator[dict[str, Any]]:
    yield {"value": 1}
    raise SystemExit(7)


def _raises(bench: Bench) -> Iterator[dict[str, Any]]:
    yield {"value": 2}
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def _hangs(bench: Bench) -> Iterator[dict[str, Any]]:
    yield {"value": 3}
    time.sleep(600)


def _works(bench: Bench) -> Iterator[dict[str, Any]]:
    yield {"value": 4}


def faulty_items(bench: Bench) -> list[Item]:
    measures = {
        "dies": _ends_badly,
        "raises": _raises,
        "works": _works,
        "long": _works,
        "hangs": _hangs,
        "last": _works,
    }
    return [Item("test", name, 1e6 if name == "long" else 1.0, measure) for name, measure in measures.items()]


def test_an_item_that_fails_costs_its_own_results_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.gpu.bench.LEAST_PATIENCE", 30.0)
    bench = Bench(torch.device("cpu"), tmp_path, time.time() + 300)
    failed = run_items(bench, [item.key for item in faulty_items(bench)], faulty_items)
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    values = {row["item"]: row["value"] for row in rows if "value" in row}
    assert failed == 3
    assert values == {"dies": 1, "raises": 2, "works": 4, "hangs": 3, "last": 4}
    errors = {row["item"]: row["error"] for row in rows if "error" in row}
    assert "crashed" in errors["dies"]
    assert "illegal memory access" in errors["raises"]
    assert "no result after 30 s" in errors["hangs"]
    assert [row["item"] for row in rows if "skipped" in row] == ["long"]


def test_pictures_are_carried_small(tmp_path: Path) -> None:
    source = tmp_path / "faces"
    source.mkdir()
    for number, shape in enumerate([(300, 200), (96, 96), (50, 40)]):
        Image.effect_noise(shape, 40).convert("RGB").save(source / f"{number}.png")
    assert pack_pictures(source, 64, 3, tmp_path / "pictures.zip") == 3
    with open_pictures(tmp_path / "pictures.zip") as pictures:
        sizes = [Image.open(io.BytesIO(pictures.read(name))).size for name in sorted(pictures.names)]
    assert sizes == [(96, 64), (64, 64), (50, 40)]


def test_what_is_carried_has_a_version_in_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert all(f"\n{name}==" in lock for name in WHEELS)
