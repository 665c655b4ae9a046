"""MLflow: attempts that another run stands for, runs that were deleted, and locks of decisions that were set aside."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from facegan.errors import FaceganError
from facegan.garbage import Item, counted
from facegan.garbage.working import size_of
from facegan.repository.project import Project
from facegan.tracking.view import LINEAGE, SAME, Server, is_whole

_MS_A_DAY = 24 * 3600 * 1000


def find(project: Project, days: float) -> Iterator[Item]:
    """Runs that a version of any registered model came from stay. Raises whatever MLflow raises."""
    server = project.server()
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name(server.experiment)
    if experiment is None:
        return
    versions = list(_pages(client.search_model_versions))
    needed = {version.run_id for version in versions}
    before = time.time() * 1000 - days * _MS_A_DAY
    runs = list(_pages(partial(client.search_runs, [experiment.experiment_id])))
    whole = {run.data.tags.get(LINEAGE) for run in runs if is_whole(run) and SAME not in run.data.tags}
    for run in runs:
        info, tags = run.info, run.data.tags
        if info.run_id in needed or info.status == "RUNNING" or not info.end_time or info.end_time > before:
            continue
        if SAME in tags:
            why = f"the same as run {tags[SAME][:8]}"
        elif not is_whole(run) and tags.get(LINEAGE) in whole:
            why = "another attempt was finished"
        else:
            continue
        what = f"run {info.run_id[:8]} ({info.run_name}): {why}; MLflow keeps it as deleted"
        yield Item(what, 0, partial(client.delete_run, info.run_id))
    if all(_model_is_there(client, version.source or "") for version in versions):
        yield from _deleted(server, client, needed, before)
    locks = re.compile(rf"{re.escape(project.params().promotion.model)}\.deciding\.\d+")
    for model in _pages(client.search_registered_models):
        if locks.fullmatch(model.name):
            what = f"lock of a decision that was killed ({model.name})"
            yield Item(what, 0, partial(client.delete_registered_model, model.name))


def _deleted(server: Server, client: MlflowClient, needed: set[str], before: float) -> Iterator[Item]:
    """Of a database that is reached without a server: MLflow's own `gc` removes them for good.

    That takes every deleted experiment with its runs and every deleted model, whatever it is asked for, so nothing is
    removed while one of these should stay.
    """
    if server.uri.startswith(("http://", "https://")):
        return
    gone = list(_pages(partial(client.search_experiments, view_type=ViewType.DELETED_ONLY)))
    alive = [experiment.experiment_id for experiment in _pages(client.search_experiments)]
    among = [experiment.experiment_id for experiment in gone] + alive
    deleted = list(_pages(partial(client.search_runs, among, run_view_type=ViewType.DELETED_ONLY)))
    runs = [run for run in deleted if run.info.run_id not in needed and (run.info.end_time or 0) < before]
    kept = {run.info.experiment_id for run in deleted if run not in runs}
    if any(experiment.last_update_time > before or experiment.experiment_id in kept for experiment in gone):
        return
    if runs:  # with none named it would take every deleted run
        also = f" and {counted(len(gone), 'experiment')}" if gone else ""
        what = f"{counted(len(runs), 'run')}{also} deleted in MLflow"
        yield Item(what, sum(map(_artifacts, runs)), partial(_purge, server, [run.info.run_id for run in runs]))


def _model_is_there(client: MlflowClient, source: str) -> bool:
    """Whether the logged model that a version's files are of, if they are of one, was not deleted."""
    if not source.startswith("models:/m-"):
        return True
    try:
        client.get_logged_model(source.removeprefix("models:/"))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _purge(server: Server, runs: list[str]) -> None:
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", server.uri, "--tracking-uri", server.uri]
    done = subprocess.run([*command, "--run-ids", ",".join(runs)], capture_output=True, text=True)
    if done.returncode:
        raise FaceganError(f"`mlflow gc` failed: {done.stderr.strip().splitlines()[-1]}")


def _artifacts(run: Run) -> int:
    place = urlsplit(run.info.artifact_uri or "")
    return size_of(Path(url2pathname(place.path))) if place.scheme in ("", "file") else 0


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    """All pages of a search."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        if not (token := page.token):
            return
