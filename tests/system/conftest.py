"""Whole runs in clones: the real dvc, MLflow and git, tiny parameters."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

TINY = {
    "data.synthetic.count": 96,
    "preprocess.size": 32,
    "preprocess.held_out": 0.3,  # enough to judge copies by
    "model.latent": 8,
    "model.generator.channels": 4,
    "model.discriminator.channels": 4,
    "train.duration": "0.96 kimg",
    "train.batch": 16,
    "train.tick": "0.16 kimg",
    "train.evaluate_every": "0.32 kimg",
    "train.samples": 4,
    "train.judge": "fd_random",  # the quickest
    "evaluate.generated": 40,
    "export.samples": 4,
}


@dataclass
class Clone:
    """A clone of the working tree with parameters of its own, and how to act in it as a user does."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def env(self) -> dict[str, str]:
        # The clone's own code, whatever is installed; nothing of the caller's tracking.
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_", "FACEGAN_"))}
        return kept | {
            "PATH": f"{BIN}:{kept['PATH']}",
            "PYTHONPATH": str(self.root / "src"),
            "SHELL": "/bin/sh",  # as in containers and cron; dash does not replace itself by its last command
            "DVC_NO_ANALYTICS": "1",
            "OMP_NUM_THREADS": "1",  # tiny networks: threads would only wait for each other
            "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
            **self.environment,
        }  # fmt: skip

    def run(self, *command: str, code: int | None = 0, timeout: float = 600) -> str:
        """Output of a command, stderr in it; asserts its exit code unless ``code`` is None."""
        done = subprocess.run(
            command, cwd=self.root, env=self.env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=timeout,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{command} gave {done.returncode}:\n{done.stdout}"
        return done.stdout

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """A command in a process group of its own."""
        log = (self.root.parent / f"{self.root.name}.log").open("a")
        return subprocess.Popen(
            command, cwd=self.root, env=self.env(), stdout=log, stderr=log, text=True, start_new_session=True
        )

    def log(self) -> str:
        return (self.root.parent / f"{self.root.name}.log").read_text()

    def repro(self, *arguments: str) -> str:
        return self.run("dvc", "repro", *arguments)

    def set(self, **values: object) -> None:
        """Change ``params.yaml``: ``train__batch=8`` sets ``train.batch``."""
        yaml = YAML()
        path = self.root / "params.yaml"
        document = yaml.load(path)
        for key, value in values.items():
            block = document
            *parents, last = key.split("__")
            for parent in parents:
                block = block[parent]
            assert last in block, key
            block[last] = value
        with path.open("w") as file:
            yaml.dump(document, file)

    def sha(self, name: str = "models/train/generator.safetensors") -> str:
        return hashlib.sha256((self.root / name).read_bytes()).hexdigest()

    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(self.environment.get("MLFLOW_TRACKING_URI", f"sqlite:///{self.root}/mlflow.db"))

    def runs(self) -> list[Any]:
        """Every run of the experiment."""
        client = self.client()
        experiment = client.get_experiment_by_name("facegan")
        return list(client.search_runs([experiment.experiment_id])) if experiment else []

    def copy(self, root: Path) -> "Clone":
        shutil.copytree(self.root, root, symlinks=True)
        return Clone(root, dict(self.environment))


def assert_no_row_twice(clone: Clone, run_id: str) -> None:
    """Every (metric, step) once, every (picture, step) once."""
    client = clone.client()
    for key in client.get_run(run_id).data.metrics:
        steps = [metric.step for metric in client.get_metric_history(run_id, key)]
        assert len(steps) == len(set(steps)), f"{key} stands twice at a step"
    pictures = [entry.path for entry in client.list_artifacts(run_id, "images") if entry.path.endswith(".png")]
    places = [path.split("+timestamp")[0] for path in pictures]
    assert len(places) == len(set(places)), "a picture stands twice at a step"


def assert_whole(clone: Clone, run_id: str) -> None:
    """The run holds every row of the history and every sample grid, and the scores of the outputs, once."""
    import csv
    import json

    assert_no_row_twice(clone, run_id)
    client = clone.client()
    for name in ("history.csv", "losses.csv"):
        with (clone.root / "reports/train" / name).open() as file:
            rows = list(csv.DictReader(file))
        for key in rows[0]:
            if key != "images":
                there = {metric.step: metric.value for metric in client.get_metric_history(run_id, key)}
                assert there == {int(row["images"]): float(row[key]) for row in rows if row[key]}, key
    grids = {path.stem for path in (clone.root / "reports/train/samples").glob("*.png")}
    entries = [entry.path for entry in client.list_artifacts(run_id, "images")]
    assert {f"{int(path.split('+step+')[1].split('+')[0]):09d}" for path in entries if "/samples+" in path} == grids
    run = client.get_run(run_id)
    report = json.loads((clone.root / "reports/evaluate.json").read_text())
    assert run.data.metrics["fd_face"] == report["fd_face"]["value"]
    assert run.info.status == "FINISHED"
    weights = {entry.path for entry in client.list_artifacts(run_id, "weights")}
    assert {"weights/generator.safetensors", "weights/discriminator.safetensors"} <= weights


def make_clone(root: Path, **values: object) -> Clone:
    """A commit of the working tree as it is, tracked and untracked, with tiny parameters."""
    root.mkdir(parents=True)
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY, capture_output=True
    ).stdout
    for name in names.decode().split("\0"):
        if name and (REPOSITORY / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name)
    for name in ("dvc.lock", "reports"):  # of a run in the working tree
        shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink(missing_ok=True)
    clone = Clone(root)
    shutil.copy2(root / "recipes/base.yaml", root / "params.yaml")
    clone.set(**{key.replace(".", "__"): value for key, value in TINY.items()} | values)
    clone.run("git", "init", "-q", "-b", "main")
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-q", "-m", "start")
    return clone


@pytest.fixture(scope="session")
def data_ready(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone whose shards are there: copy it, train in the copy."""
    clone = make_clone(tmp_path_factory.mktemp("data") / "clone")
    clone.repro("preprocess")
    return clone


SHARED = {  # a training of some seconds, whose batches up to four processes share
    "train__duration": "3.2 kimg",
    "train__tick": "0.32 kimg",
    "train__evaluate_every": "0.64 kimg",
    "train__microbatch": 4,
}


def to_share(ready: Clone, root: Path) -> Clone:
    """A copy of a clone with shards, whose training several processes can share; it saves its state at every step."""
    clone = ready.copy(root)
    clone.set(**SHARED)
    clone.environment["FACEGAN_CHECKPOINT_SECONDS"] = "0"
    return clone


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, data_ready: Clone) -> Clone:
    """A clone with a finished, committed run: copy it before changing anything."""
    clone = data_ready.copy(tmp_path_factory.mktemp("finished") / "clone")
    clone.repro()
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-q", "-m", "run")
    return clone


def wait_for(condition: Any, seconds: float = 60) -> None:
    """Poll until true; fails after ``seconds``."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def kill_group(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
