"""One MLflow run for each lineage, filled with what it lacks.

MLflow is a view of the journal and of the stages' outputs: everything here first asks what the run already holds
and adds only what is missing, so that any of it may be done again, after any failure, from any machine.
"""

import logging
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from PIL import Image

from facegan.files import locked
from facegan.tracking.lineage import RunSpec

for _chatty in ("mlflow", "alembic"):  # of migrations and of pip: nothing that the user can act on
    logging.getLogger(_chatty).setLevel(logging.ERROR)

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
    """The run of a lineage. Opening finds it by its tag or creates it; every method adds only what is missing.

    With ``digests`` (tags of the outputs), a run that holds other outputs is another result of the same parameters
    (of another machine, say, or of changed code behind the training) and is not the one.
    """

    def __init__(self, server: Server, spec: RunSpec, digests: dict[str, str] | None = None) -> None:
        with server.locked():
            self.client = MlflowClient(server.uri)
            self.experiment_id = experiment_id(self.client, server)
            run = _find(self.client, self.experiment_id, spec.lineage, digests) or self._create(spec, digests)
        self.run_id = run.info.run_id
        self.set_tags({key: value for key, value in spec.tags.items() if run.data.tags.get(key) != value[:TEXT]})
        held = run.data.params
        missing = [Param(key, str(value)) for key, value in spec.params.items() if key not in held]
        for part in _parts(missing, 100):
            self.client.log_batch(self.run_id, params=part)
        self._steps: dict[str, set[int]] = {}
        self._images: dict[tuple[str, int], set[str]] | None = None

    def _create(self, spec: RunSpec, digests: dict[str, str] | None) -> Run:
        """A new run; when another clone made one at the same moment, the older of the two."""
        tags = {"facegan.lineage": spec.lineage}
        made = self.client.create_run(self.experiment_id, run_name=spec.name, tags=tags)
        oldest = _find(self.client, self.experiment_id, spec.lineage, digests, order="ASC") or made
        if oldest.info.run_id != made.info.run_id:
            self.client.delete_run(made.info.run_id)
        return oldest

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
        """Files of ``folder`` by relative name, kept below ``below``."""
        held = {entry.path: entry.file_size for entry in self._walk(below)}
        for name in names:
            target = f"{below}/{name}"
            if held.get(target) != (folder / name).stat().st_size:
                self.client.log_artifact(self.run_id, str(folder / name), target.rpartition("/")[0])

    def text(self, content: str, name: str) -> None:
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


def find_run(server: Server, lineage: str) -> Run | None:
    """The run of a lineage, if there is one."""
    with server.locked():
        client = MlflowClient(server.uri)
        return _find(client, experiment_id(client, server), lineage, None)


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


def _find(
    client: MlflowClient, experiment_id: str, lineage: str, digests: dict[str, str] | None, order: str = "DESC"
) -> Run | None:
    """The newest (or oldest) run of a lineage that holds the outputs of ``digests``, or none yet."""
    wanted, by_time = f"tags.`facegan.lineage` = '{lineage}'", [f"attributes.start_time {order}"]
    runs = client.search_runs([experiment_id], wanted, order_by=by_time)
    return next((run for run in runs if _fits(run, digests)), None)


def _fits(run: Run, digests: dict[str, str] | None) -> bool:
    held = run.data.tags
    return all(held.get(name, digest) == digest for name, digest in (digests or {}).items())


def _parts(entries: list[Any], size: int) -> Iterator[list[Any]]:
    source = iter(entries)
    while part := list(islice(source, size)):
        yield part
