"""The row in MLflow under which the runs of a study stand."""

from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from facegan.tracking.view import Server, experiment_id, find_run

KEY = "facegan.study"


class StudyRun:
    """The run of a study. Opening finds it by the study's key or creates it. Raises whatever MLflow raises."""

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

    def best(self, trials: int, score: str, value: float) -> None:
        """The best score after so many trials."""
        self._client.log_metric(self.id, f"best_{score}", value, step=trials)

    def give_up(self, lineage: str, images: int) -> None:
        """Mark a training that was ended because it was behind the others."""
        run = find_run(self._server, lineage)
        if run is not None:
            self._client.set_tag(run.info.run_id, "facegan.given_up", f"after {images} images")

    def end(self, status: str, files: list[Path]) -> None:
        """FINISHED or KILLED, with the page and the table."""
        for path in files:
            self._client.log_artifact(self.id, str(path))
        self._client.set_terminated(self.id, status)
