"""One MLflow run for each attempt at a lineage, filled with what it lacks.

MLflow is a view of the journal and of the stages' outputs: everything here first asks what the run already holds
and adds only what is missing, so that any of it may be done again, after any failure, from any machine.
"""

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from PIL import Image

from facegan.files import locked, sha256
from facegan.tracking.lineage import RunSpec
from facegan.tracking.patience import patient

LINEAGE, ATTEMPT, SAME, DIGEST = "facegan.lineage", "facegan.attempt", "facegan.same_as", "facegan.sha256."  # tags
BATCH = 1000  # metrics in one request: MLflow's limit
TEXT = 5000  # characters of a tag's value
_IMAGE = re.compile(r"images/(?P<key>.+?)[+%]step[+%](?P<step>\d+)[+%].*?(?P<small>[+%]compressed)?\.(png|webp)$")


@dataclass(frozen=True)
class Server:
    """Where runs go: a tracking URI, an experiment's name, and where a local database keeps its artifacts."""

    uri: str
    experiment: str
    artifacts: Path
    lock: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Creating a database, an experiment or a run happens in one process at a time."""
        with locked(self.lock):
            yield

    @property
    def local(self) -> bool:
        return self.uri.startswith("sqlite:")


class RunView:
    """The run of an attempt, opened by its tag or made; every method adds only what is missing.

    A run that holds digests of outputs is whole, and stays as it is.
    """

    def __init__(self, server: Server, spec: RunSpec, tries: int = 1) -> None:
        """A request that the connection cuts short is made ``tries`` times, where that is harmless."""
        with server.locked():
            self.client = patient(MlflowClient(server.uri), tries)
            self.experiment_id = experiment_id(self.client, server)
            run = _first(self.client, self.experiment_id, ATTEMPT, spec.attempt) or self._create(spec)
        self._open(run)
        if self.whole:
            return
        held = run.data.tags
        self.set_tags({key: value for key, value in spec.tags.items() if key not in held})
        missing = [Param(key, str(value)) for key, value in spec.params.items() if key not in run.data.params]
        for part in _parts(missing, 100):
            self.client.log_batch(self.run_id, params=part)

    @classmethod
    def of(cls, server: Server, run: Run, tries: int = 1) -> Self:
        """A run that is there."""
        view = cls.__new__(cls)
        view.client, view.experiment_id = patient(MlflowClient(server.uri), tries), run.info.experiment_id
        view._open(run)
        return view

    def _open(self, run: Run) -> None:
        self.run_id, self.name = run.info.run_id, str(run.info.run_name)
        self.whole, self._same = is_whole(run), SAME in run.data.tags
        self.started = int(run.info.start_time)  # in ms
        self._steps: dict[str, set[int]] = {}
        self._images: dict[tuple[str, int], set[str]] | None = None

    def _create(self, spec: RunSpec) -> Run:
        """A new run; when the answer to an earlier request was lost, the older of the two."""
        tags = {ATTEMPT: spec.attempt, LINEAGE: spec.lineage}
        made = self.client.create_run(self.experiment_id, run_name=spec.name, tags=tags)
        oldest = _first(self.client, self.experiment_id, ATTEMPT, spec.attempt) or made
        if oldest.info.run_id != made.info.run_id:
            self.client.delete_run(made.info.run_id)
        return oldest

    def same_as(self, other: Run) -> None:
        """Say that this attempt came to the same bytes as another run, which stands for both."""
        self.set_tags({SAME: other.info.run_id})
        self.client.update_run(
            self.run_id, name=f"{self.name.partition(' (same as ')[0]} (same as {other.info.run_id[:8]})"
        )

    def unlike_others(self, name: str) -> None:
        """Take that back, if it was said: what came after the training was not the same."""
        if self._same:
            self.client.delete_tag(self.run_id, SAME)
            self.client.update_run(self.run_id, name=name)

    def set_tags(self, tags: dict[str, str]) -> None:
        for part in _parts([RunTag(key, value[:TEXT]) for key, value in tags.items()], 100):
            self.client.log_batch(self.run_id, tags=part)

    def set_status(self, status: str) -> None:
        """RUNNING, FINISHED, KILLED or FAILED."""
        if status == "RUNNING":
            self.client.update_run(self.run_id, status)
        else:
            self.client.set_terminated(self.run_id, status)

    def metrics(self, rows: Iterable[tuple[str, int, float, int]]) -> None:
        """Rows of (key, step, value, time in ms); one for each key and step, whoever wrote it."""
        waiting = []
        for key, step, value, time in rows:
            if step not in self._known(key) and math.isfinite(value):
                self._steps[key].add(step)
                waiting.append(Metric(key, value, time, step))
        try:
            for part in _parts(waiting, BATCH):
                self.client.log_batch(self.run_id, metrics=part)
        except BaseException:
            self._steps.clear()  # what arrived is not known: ask again
            raise

    def image(self, key: str, step: int, path: Path, time: int) -> None:
        """A picture at a step, for MLflow's step slider."""
        if self._images is None:
            self._images = self._list_images()
        there = self._images.setdefault((key, step), set())
        if any("compressed" in name for name in there):
            return
        with Image.open(path) as picture:
            if there:  # cut short between the picture and its small copy
                self._small_copy(picture, next(iter(there)))
            else:
                self.client.log_image(self.run_id, picture, key=key, step=step, timestamp=time, synchronous=True)
        there.add("compressed")

    def artifacts(self, folder: Path, names: Iterable[str], below: str) -> None:
        """Files of ``folder`` by relative name, kept below ``below``; one that holds something else is replaced.

        A whole run keeps what it has.
        """
        held = {entry.path for entry in self._walk(below)}
        for name in names:
            path, target = folder / name, f"{below}/{name}"
            if target in held and (self.whole or self._holds(target, path)):
                continue
            self.client.log_artifact(self.run_id, str(path), target.rpartition("/")[0])

    def _holds(self, name: str, path: Path) -> bool:
        with TemporaryDirectory() as folder:
            return sha256(Path(self.client.download_artifacts(self.run_id, name, folder))) == sha256(path)

    def text(self, content: str, name: str) -> None:
        """A file of this content."""
        self.client.log_text(self.run_id, content, name)

    def _known(self, key: str) -> set[int]:
        if key not in self._steps:
            self._steps[key] = {entry.step for entry in self.client.get_metric_history(self.run_id, key)}
        return self._steps[key]

    def _walk(self, below: str) -> Iterator[Any]:
        for entry in self.client.list_artifacts(self.run_id, below):
            if entry.is_dir:
                yield from self._walk(entry.path)
            else:
                yield entry

    def _list_images(self) -> dict[tuple[str, int], set[str]]:
        found: dict[tuple[str, int], set[str]] = {}
        for entry in self._walk("images"):
            if match := _IMAGE.match(entry.path):
                found.setdefault((match["key"].replace("~", "/"), int(match["step"])), set()).add(entry.path)
        return found

    def _small_copy(self, picture: Image.Image, name: str) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, Path(name).stem + ("%" if "%step%" in name else "+") + "compressed.webp")
            small = picture.copy()
            small.thumbnail((256, 256))
            small.save(path)
            self.client.log_artifact(self.run_id, str(path), "images")


def prepare(server: Server) -> None:
    """Make the database and the experiment, where they are missing."""
    with server.locked():
        experiment_id(MlflowClient(server.uri), server)


def is_whole(run: Run) -> bool:
    """Whether a run holds all outputs: their digests are written last."""
    return all(DIGEST + name in run.data.tags for name in ("generator", "evaluation"))


def find_run(server: Server, lineage: str) -> Run | None:
    """The run that stands for a lineage, if there is one: the oldest that is whole, else the newest attempt."""
    with server.locked():
        client = MlflowClient(server.uri)
        runs = _of_lineage(client, experiment_id(client, server), lineage)
    return next((run for run in runs if is_whole(run)), runs[-1] if runs else None)


def find_same(client: MlflowClient, experiment_id: str, lineage: str, digests: dict[str, str]) -> Run | None:
    """The oldest whole run of a lineage that holds the outputs of ``digests`` (by tag).

    One of an earlier version has fewer digests.
    """
    for run in _of_lineage(client, experiment_id, lineage):
        held = run.data.tags
        if is_whole(run) and all(held.get(name, digest) == digest for name, digest in digests.items()):
            return run
    return None


def find_attempt(client: MlflowClient, experiment_id: str, attempt: str) -> Run | None:
    """The run of an attempt."""
    return _first(client, experiment_id, ATTEMPT, attempt)


def _of_lineage(client: MlflowClient, experiment_id: str, lineage: str) -> list[Run]:
    """All but those that are the same as another, the oldest first."""
    runs = client.search_runs([experiment_id], f"tags.`{LINEAGE}` = '{lineage}'")
    own = [run for run in runs if SAME not in run.data.tags]
    return sorted(own, key=lambda run: (run.info.start_time, run.info.run_id))


def experiment_id(client: MlflowClient, server: Server) -> str:
    """The experiment's id; one that was deleted is restored, since its name stays taken."""
    found = client.get_experiment_by_name(server.experiment)
    if found is None:
        location = server.artifacts.absolute().as_uri() if server.local else None
        try:
            return str(client.create_experiment(server.experiment, artifact_location=location))
        except MlflowException:  # made from another clone meanwhile
            found = client.get_experiment_by_name(server.experiment)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _first(client: MlflowClient, experiment_id: str, tag: str, value: str) -> Run | None:
    runs = client.search_runs([experiment_id], f"tags.`{tag}` = '{value}'")
    return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def _parts(entries: list[Any], size: int) -> Iterator[list[Any]]:
    source = iter(entries)
    while part := list(islice(source, size)):
        yield part
