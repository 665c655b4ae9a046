"""The row in MLflow under which the runs of a study stand."""

from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from facegan.tracking.view import Server, experiment_id, find_run

KEY = "facegan.study"
PARENT = "mlflow.parentRunId"


class StudyRun:
    """The run of a study. Opening finds it by the study's key or creates it. All may raise whatever MLflow raises."""

    def __init__(self, server: Server, key: str, name: str, params: dict[str, Any]) -> None:
        self._server = server
        with server.locked():
            self._client = MlflowClient(server.uri)
            experiment = experiment_id(self._client, server)
            found = self._client.search_runs([experiment], f"tags.`{KEY}` = '{key}'")
            run = found[0] if found else self._client.create_run(experiment, run_name=name, tags={KEY: key})
        self.id = str(run.info.run_id)
        self._client.update_run(self.id, "RUNNING")
        for param, value in params.items():
            if param not in run.data.params:
                self._client.log_param(self.id, param, value)

    def best(self, score: str, values: list[float]) -> None:
        """The best score after one trial, two, and so on: those that are not there yet."""
        key = f"best_{score}"
        known = {entry.step for entry in self._client.get_metric_history(self.id, key)}
        for step, value in enumerate(values, 1):
            if step not in known:
                self._client.log_metric(self.id, key, value, step=step)

    def adopt(self, lineage: str, tags: dict[str, str]) -> None:
        """Put the run of a training below this one, with ``tags``; one that an earlier study had, too."""
        run = find_run(self._server, lineage)
        for key, value in ({PARENT: self.id} | tags).items():
            if run is not None and run.data.tags.get(key) != value:
                self._client.set_tag(run.info.run_id, key, value)

    def end(self, status: str, files: list[Path]) -> None:
        """FINISHED, KILLED or FAILED, with the page."""
        for path in files:
            self._client.log_artifact(self.id, str(path))
        self._client.set_terminated(self.id, status)
