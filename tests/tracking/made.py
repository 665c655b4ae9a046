"""What the tests of tracking and of the command line are made of: tiny parameters, a tiny project with real
outputs, a journal, a real MLflow server, and a look at what MLflow holds."""

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from facegan.data.labels import Labels
from facegan.params import Params
from facegan.params_yaml import validate_params
from facegan.repository.project import REPORTS, SHARDS, TRAINED, Project
from facegan.strict_yaml import read_yaml
from facegan.tracking.journal import NAME, Journal
from facegan.tracking.lineage import RunSpec, training_key

ROOT = Path(__file__).parents[2]
MACHINES = ("MLFLOW_TRACKING", "MLFLOW_EXPERIMENT", "MLFLOW_RUN", "MLFLOW_REGISTRY", "FACEGAN_", "DVC_")
CODE = ("dvc.yaml", "pipeline", "recipes", "src")


@contextmanager
def own_environment() -> Iterator[None]:
    """Nothing of the caller's MLflow, DVC or facegan; what is set inside does not last (MLflow sets its own)."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(MACHINES):
            del os.environ[name]
    os.environ["NO_PROXY"] = "127.0.0.1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        if fluent := sys.modules.get("mlflow.tracking.fluent"):
            fluent._active_experiment_id = None  # type: ignore[attr-defined]  # of `mlflow.set_experiment`


def tiny_values() -> dict[str, Any]:
    """The embedded default, shrunk: 48 pictures of 40x32 (height first), 8 steps of 8, three ticks."""
    values: dict[str, Any] = read_yaml((ROOT / "recipes/base.yaml").read_text(encoding="utf-8"), "base.yaml")
    values["data"]["synthetic"]["count"] = 48
    values["preprocess"]["size"] = [40, 32]
    values["model"]["latent"] = 8
    for player in ("generator", "discriminator"):
        values["model"][player]["channels"] = 4
    values["train"] |= {"duration": "0.064 kimg", "batch": 8, "tick": "0.024 kimg", "evaluate_every": "0.024 kimg"}
    values["train"]["samples"] = 4
    values["evaluate"]["generated"] = 16
    values["export"]["samples"] = 4
    return values


def tiny_params(**blocks: dict[str, Any]) -> Params:
    values = tiny_values()
    for block, changes in blocks.items():
        values[block] |= changes
    return validate_params(values, "params.yaml")


def write_params(root: Path, values: dict[str, Any]) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def copy_code(root: Path) -> None:
    """What makes a folder a project: the pipeline, the recipes and the parameters."""
    root.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, root / name)
    write_params(root, tiny_values())


_project: tuple[Path, "subprocess.Popen[bytes]"] | None = None


def begin_project(folder: Path) -> None:
    """Start to make a project with the outputs of every stage, in a process beside the tests; once a session."""
    global _project
    if _project is not None:
        return
    code = "import sys; from pathlib import Path; from tracking.made import write_outputs as write"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", f"{code}; write(Path(sys.argv[1]))", str(folder / "project")],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")},
            stdout=log,
            stderr=log,
        )
    _project = folder / "project", process


def made_project() -> Path:
    """That project, when it is done; not to be changed."""
    assert _project is not None
    root, process = _project
    if process.wait(300) != 0:
        raise RuntimeError(root.with_name("log").read_text())
    return root


def write_outputs(root: Path) -> None:
    """The outputs of every stage, as the library writes them."""
    import torch

    from facegan.data.archive import write_raw
    from facegan.data.manifest import read_manifest
    from facegan.data.shards import summary, write_shards
    from facegan.data.source import open_source
    from facegan.data.stored import load_split
    from facegan.files import write_json
    from facegan.training.judge import Judgement
    from facegan.training.loop import Training
    from facegan.training.outputs import write_history, write_models
    from facegan.training.working import hold
    from pipeline.evaluate import evaluate
    from pipeline.export import export

    copy_code(root)
    project = Project(root, root)
    params = project.params()
    with open_source(params.data, root) as pictures:
        write_raw(pictures, root / "data/raw", 1)
    manifest = write_shards(root / "data/raw", root / SHARDS, params.preprocess, 1)
    write_json(root / REPORTS / "data.json", summary(manifest))
    key = training_key(
        params, (shard["sha256"] for shard in read_manifest(root / SHARDS)["shards"]), project.code("train")
    )
    scores = iter([3.0, 1.0, 2.0])
    pictures = load_split(root / SHARDS, "train")
    with hold(root / ".working", key) as folder, Journal(folder.path) as journal:
        training = Training(
            model=params.model,
            train=params.train,
            seed=params.seed,
            images=pictures.images,
            labels=Labels.to_train(pictures, params.model.labels, manifest),
            device=torch.device("cpu"),
            folder=folder,
            journal=journal,
            judge=lambda network: Judgement(next(scores), 0.5),
            stopping=lambda: False,
        )
        state = training.run()
        write_models(training, state, key, root / TRAINED)
        write_history(folder, root / REPORTS / "train")
    shutil.rmtree(root / ".working")
    evaluate(project)
    export(project)
    commit(root)
    shutil.rmtree(root / ".dvc/cache")  # nothing is checked out of it


def commit(root: Path) -> None:
    """Have `dvc.lock` say that the outputs are those of what is here, as `dvc commit --force`."""
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    with chdir(root):
        if not (root / ".dvc").is_dir():
            Repo.init(no_scm=True).close()
        with Repo() as repo:
            repo.commit(force=True)


def write_journal(folder: Path, ticks: range = range(1, 4), per_tick: int = 5, end: str | None = "FINISHED") -> None:
    """A journal as a training writes it, or the ticks ``ticks`` of it: twice the same ticks, twice the same rows."""
    with Journal(folder) as journal:
        journal.write("start", environment={"device": "CPU", "threads": 2})
        if ticks.start == 1:
            write_picture(folder, journal, 0)
        for tick in ticks:
            step = 1000 * tick
            steps = [step - 1000 + (place + 1) * 1000 // per_tick for place in range(per_tick)]
            losses = {f"step_loss_{side}": [number / 7 for number in steps] for side in ("generator", "discriminator")}
            journal.write("losses", step, steps=steps, values=losses)
            journal.write("metrics", step, values={"loss_generator": step / 3, "d_real": 0.5, "score": 1 / step})
            journal.write("system", step, values={"images_per_second": 100.0 + tick})
            write_picture(folder, journal, step)
        if end:
            journal.write("end", status=end)


def write_picture(folder: Path, journal: Journal, step: int) -> None:
    path = folder / "samples" / f"{step:09d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), (step // 20 % 256, 90, 90)).save(path)
    journal.write("image", step, key="samples", file=f"samples/{path.name}")


DAMAGES = ("a picture is gone", "a picture is damaged", "a line is damaged", "another version's run")


def damaged_folder(folder: Path, damage: str) -> None:
    """A backlog that will never arrive whole: of a power cut, a tidy user, or another version of facegan."""
    folder.mkdir(parents=True)
    spec("d" * 64).write(folder)
    write_journal(folder)
    match damage:
        case "a picture is gone":
            (folder / "samples/000001000.png").unlink()
        case "a picture is damaged":
            (folder / "samples/000001000.png").write_bytes(bytes(100))
        case "a line is damaged":
            lines = (folder / NAME).read_bytes().splitlines(keepends=True)
            (folder / NAME).write_bytes(b"".join([*lines[:2], bytes(100) + b"\n", *lines[2:]]))
        case "another version's run":
            (folder / "run.json").write_text('{"version": 2}')


def spec(lineage: str = "a" * 64, attempt: str | None = None, **tags: str) -> RunSpec:
    keys = {"facegan.lineage": lineage, "facegan.training_key": "b" * 64}
    params = {"seed": 1, "train.batch": 8, "data.limit": None}
    return RunSpec(lineage, f"conv 40x32px {lineage[:8]}", params, keys | tags, attempt or lineage[:32])


class MlflowServer:
    """A real ``mlflow server`` process on a free port, that can be killed and started again."""

    def __init__(self, folder: Path, database: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(database, folder / "server.db")
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
                    *("--backend-store-uri", f"sqlite:///{self._folder / 'server.db'}"),
                    *("--artifacts-destination", str(self._folder / "artifacts"), "--workers", "1"),
                ],
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 90
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.1)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def artifacts(client: Any, run_id: str, below: str = "") -> dict[str, int]:
    """Every file of a run with its size."""
    found: dict[str, int] = {}
    for entry in client.list_artifacts(run_id, below):
        found |= artifacts(client, run_id, entry.path) if entry.is_dir else {entry.path: entry.file_size}
    return found


def pictures(client: Any, run_id: str) -> Counter[tuple[str, int, str]]:
    """How often each (key, step, ending) of the step slider is there."""
    names = [re.match(r"images/(.+)\+step\+(\d+)\+timestamp\+.*\.(\w+)$", name) for name in artifacts(client, run_id)]
    return Counter((match[1], int(match[2]), match[3]) for match in names if match)


def history(client: Any, run_id: str) -> dict[str, list[tuple[int, float, int]]]:
    """Every row of every metric: step, value, time."""
    return {
        key: sorted((entry.step, entry.value, entry.timestamp) for entry in client.get_metric_history(run_id, key))
        for key in client.get_run(run_id).data.metrics
    }


def held(client: Any, run_id: str) -> dict[str, Any]:
    """All that a run holds, but for when it ended."""
    run = client.get_run(run_id)
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "params": run.data.params,
        "tags": run.data.tags,
        "metrics": history(client, run_id),
        "artifacts": artifacts(client, run_id),
        "inputs": [(entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs],
        "models": [entry.model_id for entry in run.outputs.model_outputs],
    }


def wait_for(condition: Any, seconds: float, what: str) -> None:
    """Poll until ``condition()``; fails with ``what`` when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def make_database(path: Path) -> None:
    """An empty MLflow database: making one takes seconds, copying it does not."""
    from facegan.tracking.view import MlflowClient

    MlflowClient(f"sqlite:///{path}").search_experiments()


_made: dict[str, Path] = {}


def once(name: str, folder: Path, make: Any) -> Path:
    """``make(folder)`` at the first call of the session; the folder of that call."""
    if name not in _made:
        make(folder)
        _made[name] = folder
    return _made[name]
