"""A training of a study on a node of a Ray cluster.

Ray imports this module in processes of its own, in which PyTorch cannot be loaded: what needs it is imported on the
node.
"""

import shutil
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = "repository.tar"  # in Ray's working directory


@dataclass
class Told:
    """What a training on a node has told so far."""

    going: bool
    images: int
    scores: list[float]
    rates: list[float]
    why: str | None


@dataclass
class Sent:
    """What a training that has ended leaves: files by name, and its experiment as a git bundle."""

    result: Any  # a Result
    files: dict[str, bytes] = field(default_factory=dict)
    experiment: tuple[str, bytes] | None = None  # the reference, and the bundle


class Node:
    """Runs on a node, as a Ray actor: a repository with the files of the snapshot, and a bench in it."""

    def __init__(self, below: str, state: str | None, parent: str, out: str, gpu: bool) -> None:
        from facegan.errors import FaceganError
        from facegan.repository.project import Project
        from facegan.repository.tools import dvc
        from facegan.startup import find_tools
        from facegan.study.executor import Bench, Snapshot

        find_tools()
        self._place = Path(tempfile.mkdtemp(prefix="facegan-study-"))
        with tarfile.open(REPOSITORY) as archive:
            archive.extractall(self._place / "repository", filter="data")
        home = Path(state) if state else self._place / "home"
        home.mkdir(parents=True, exist_ok=True)
        root = self._place / "repository" / below
        with suppress(FaceganError):  # what the remote lacks is made here
            dvc(root, "fetch", "--quiet", "--run-cache", "preprocess")
        self._out = self._place / "out" / out  # experiments are called after it
        self._out.mkdir(parents=True)
        self._snapshot = Snapshot(Project(root, home))
        device = "cuda" if gpu else None
        self._bench = Bench(self._snapshot, self._place / "copy", device, self._out, parent, pull=True)

    def start(self, name: str, seed: int, params_yaml: str, key: str, alike: str) -> None:
        from facegan.study.executor import Training

        self._bench.start(Training(name, seed, params_yaml, key, alike))

    def follow(self, given_up: bool) -> Told:
        training = self._bench.training
        assert training is not None
        training.given_up = given_up
        going = self._bench.follow()
        return Told(going, training.images, training.scores, training.rates, training.why)

    def stop(self) -> None:
        self._bench.stop()

    def close(self) -> None:
        """End what is going on, and leave nothing behind."""
        self._bench.stop()
        self._bench.wait()
        shutil.rmtree(self._place, ignore_errors=True)

    def result(self) -> Sent:
        from facegan.repository.tools import dvc, git

        training = self._bench.training
        assert training is not None
        sent = Sent(self._bench.result())
        for path in self._out.glob(f"{training.key}.*"):
            sent.files[path.name] = path.read_bytes()
        sent.result["reason"] = str(sent.result.get("reason") or "").replace(f"{self._out}/", "") or None
        if name := sent.result.get("experiment"):
            dvc(self._bench.root, "push", "--quiet")
            references = git(self._snapshot.top, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
            (reference,) = [each for each in references if each.rpartition("/")[2] == name]
            bundle = self._place / "experiment.bundle"
            git(self._snapshot.top, "bundle", "create", "--quiet", str(bundle), reference, f"^{self._snapshot.head}")
            sent.experiment = reference, bundle.read_bytes()
        return sent
