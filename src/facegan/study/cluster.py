"""Trainings of a study on a Ray cluster (the extra ``ray``): each on a node that has a free GPU.

The snapshot of the project travels with Ray's working directory, shards and outputs through the DVC remote, rows to the
MLflow server, results and experiments back over Ray. On its node a training is what it is on this machine
(``executor.Bench``). When the node is lost it starts again on another one.
"""

import os
import shutil
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from facegan.errors import FaceganError
from facegan.files import write_atomic
from facegan.repository.project import Project
from facegan.repository.tools import dvc, dvc_fetch, git
from facegan.study.executor import Bench, Snapshot, Training
from facegan.study.node import REPOSITORY, Node, Sent, Told
from facegan.study.results import Result

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
    from ray.exceptions import RayActorError, RayError
except ImportError as missing:
    raise FaceganError(
        f"study: --on needs the package {missing.name}: pip install 'facegan[ray]' installs it"
    ) from missing

PATIENCE = 120.0  # seconds that a training gets to save its state
LOSSES = 3  # of the node of one training, after which something else is wrong
PASSED_ON = ("MLFLOW_", "AWS_", "FACEGAN_CHECKPOINT_SECONDS")  # of the environment, to the nodes


class Cluster:
    """The nodes of a Ray cluster. ``state`` is a folder that all of them see, for what trainings resume from."""

    prepares = True  # shards are made here, once, and pushed

    def __init__(self, address: str, state: Path | None, project: Project) -> None:
        """Raises FaceganError where nodes could not get the pictures, send rows or give anything back."""
        if project.server().local:
            raise FaceganError("study: --on: the nodes send rows to an MLflow server; set MLFLOW_TRACKING_URI")
        remotes = [line.split()[0] for line in dvc(project.root, "remote", "list").splitlines() if line.strip()]
        default = ""
        with suppress(FaceganError):  # there is none
            default = dvc(project.root, "config", "core.remote")
        if default not in remotes:
            raise FaceganError(
                "study: --on: pictures and models go through DVC's remote; `dvc remote add -d` makes one"
            )
        self._address, self._state = address, state.resolve() if state else None
        self._folder = Path(tempfile.mkdtemp(prefix="facegan-study-"))
        self._snapshot: Snapshot | None = None
        self.count = 0

    def connect(self, snapshot: Snapshot) -> None:
        """Send the snapshot, and count the places."""
        self._snapshot = snapshot
        self._pack(snapshot)
        passed = {key: value for key, value in os.environ.items() if key.startswith(PASSED_ON)}
        try:
            ray.init(
                self._address,
                runtime_env={"working_dir": str(self._folder), "env_vars": passed},
                log_to_driver=False,
                configure_logging=False,
            )
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        except (ConnectionError, RayError, RuntimeError, ValueError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise FaceganError(f"study: --on {self._address}: {reason}") from error
        gpus = int(resources.get("GPU", 0))
        self._needs = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        self.count = gpus or sum(node["Resources"].get("CPU", 0) >= 1 for node in nodes)
        if not self.count:
            raise FaceganError(f"study: --on {self._address}: no node has a GPU or a CPU to train on")

    def _pack(self, snapshot: Snapshot) -> None:
        """A repository that needs no other, and the package, as Ray's working directory."""
        copied = snapshot.copy(self._folder / "repository")
        top = self._folder / "repository"
        git(top, "repack", "-a", "-d", "--quiet")
        (top / ".git/objects/info/alternates").unlink()
        dvc(copied.root, "config", "--local", "--unset", "cache.dir")
        with tarfile.open(self._folder / REPOSITORY, "w") as archive:
            archive.add(top, ".")
        shutil.copytree(
            Path(__file__).parents[1], self._folder / "facegan", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.rmtree(top)

    def bench(self, number: int, folder: Path, out: Path, parent: str) -> "ClusterBench":
        assert self._snapshot is not None
        return ClusterBench(self, self._snapshot, number, folder, out, parent)

    def node(self, parent: str, out: str) -> Any:
        """A new actor, on a node that has room, the one that has least to do."""
        assert self._snapshot is not None
        options = {**self._needs, "scheduling_strategy": "SPREAD", "max_concurrency": 1}
        state = str(self._state) if self._state else None
        return (
            ray.remote(Node)
            .options(**options)
            .remote(self._snapshot.below, state, parent, out, "num_gpus" in self._needs)
        )

    def close(self) -> None:
        ray.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)


class ClusterBench:
    """A place in the cluster: one training at a time, as a ``Bench`` has it."""

    def __init__(self, cluster: Cluster, snapshot: Snapshot, number: int, folder: Path, out: Path, parent: str) -> None:
        self._cluster, self._snapshot, self._folder, self._out, self._parent = cluster, snapshot, folder, out, parent
        self._node: Any = None
        self._here: Bench | None = None  # makes the shards
        self._asked: Any = None  # an answer that is on its way
        self._sent: Sent | None = None  # of the training that has ended
        self._lost = 0
        self.device = f"place {number + 1} of the cluster"
        self.training: Training | None = None

    def preprocess(self, params_yaml: str) -> None:
        """Make the shards here; ``going`` ends when the nodes can have them."""
        if self._here is None:
            self._here = Bench(self._snapshot, self._folder, None, self._out, self._parent)
        self._here.preprocess(params_yaml)

    @property
    def going(self) -> bool:
        """Whether shards are being made."""
        if self._here is None or self._here.going:
            return self._here is not None
        if not self._here.failure:
            dvc(self._here.root, "push", "--quiet", "--run-cache", "preprocess")
        return False

    @property
    def failure(self) -> str | None:
        return self._here.failure if self._here else None

    def start(self, training: Training) -> None:
        self.training, self._asked = training, None
        if self._node is None:
            self._node = self._cluster.node(self._parent, self._out.resolve().name)
        self._node.start.remote(training.name, training.seed, training.params_yaml, training.key, training.alike)

    def follow(self) -> bool:
        """What the node tells of the training, without waiting for it; True while it goes on."""
        training = self.training
        assert training is not None
        if self._asked is None:
            self._asked = self._node.follow.remote(training.given_up)
        ready, _ = ray.wait([self._asked], timeout=0.2)
        if not ready:
            return True
        asked, self._asked = self._asked, None
        try:
            told: Told = ray.get(asked)
        except RayActorError as error:
            self._again(training, error)
            return True
        except (RayError, ConnectionError) as error:
            raise FaceganError(f"study: {training.name}: {_reason(error)}") from error
        training.images, training.scores = told.images, told.scores
        training.rates, training.why = told.rates, told.why
        if told.going:
            return True
        try:
            self._sent = ray.get(self._node.result.remote())
        except RayActorError as error:
            self._again(training, error)
            return True
        except (RayError, ConnectionError) as error:
            raise FaceganError(f"study: {training.name}: {_reason(error)}") from error
        return False

    def _again(self, training: Training, error: Exception) -> None:
        """Elsewhere: from its checkpoint where the nodes share a state, else from the beginning."""
        self._lost += 1
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        with suppress(RayError, ConnectionError):  # it may be there, and not be reached
            ray.kill(self._node)
        if "creation task" in reason:  # the node could not begin, and so could no other
            raise FaceganError(f"study: --on: a node cannot begin: {_reason(error)}") from error
        if self._lost > LOSSES:
            raise FaceganError(f"study: {training.name}: its node was lost {self._lost} times: {reason}") from error
        print(f"study: {training.name}: its node was lost; it starts again on another one", file=sys.stderr)
        self._node = None
        training.images, training.scores, training.rates, training.why = 0, [], [], None
        self.start(training)
        if training.given_up:
            self.stop()

    def stop(self) -> None:
        if self._node is not None and self.training is not None:
            self._node.stop.remote()

    def wait(self) -> None:
        self._leave()
        if self._here is not None:
            self._here.stop()
            self._here.wait()

    def _leave(self) -> None:
        """The node has its place again, for a training whose node was lost."""
        if self._node is not None:
            with suppress(RayError, ConnectionError):
                ray.get(self._node.close.remote(), timeout=PATIENCE)
            with suppress(RayError, ConnectionError):
                ray.kill(self._node)
        self._node = None

    def result(self) -> Result:
        """Of the training that has ended, with its files and its experiment; the next one can start."""
        sent = self._sent
        assert sent is not None
        self._leave()
        self.training, self._sent, self._lost = None, None, 0
        for name, content in sent.files.items():
            write_atomic(self._out / name, content)
        if sent.experiment:
            reference, content = sent.experiment
            bundle = self._folder / "experiment.bundle"
            write_atomic(bundle, content)
            git(self._snapshot.top, "fetch", "--quiet", "--force", str(bundle), f"{reference}:{reference}")
            dvc_fetch(self._snapshot.project.root, git(self._snapshot.top, "rev-parse", reference))
        result: Result = sent.result
        return result


def _reason(error: Exception) -> str:
    """The last line that says something: of what happened on a node, the cause."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rpartition("FaceganError: ")[2]
