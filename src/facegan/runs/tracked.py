"""Runs as MLflow has them."""

import json
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from facegan.runs.revisions import Compared
from facegan.tracking.study import KEY as STUDY
from facegan.tracking.view import SAME, Server

REPORT = "metrics/evaluate.json"


class TrackedRuns:
    """Those of the server's experiment. Raises whatever MLflow raises."""

    def __init__(self, server: Server) -> None:
        self.experiment = server.experiment
        with server.locked():  # a new database is made by one process
            self._client = MlflowClient(server.uri)
        self._found: list[Run] | None = None

    def all(self) -> list[Run]:
        """The newest first, without studies, which have no outputs, and what came out the same as another."""
        if self._found is None:
            experiment = self._client.get_experiment_by_name(self.experiment)
            found = self._client.search_runs([experiment.experiment_id], max_results=1000) if experiment else []
            self._found = [run for run in found if not {STUDY, SAME} & set(run.data.tags)]
        return self._found

    def fitting(self, wanted: str) -> list[Run]:
        """By id or name; else by the beginning of an id, a name or a lineage, of four letters or more as in git."""
        return [run for run in self.all() if wanted in (run.info.run_id, run.info.run_name)] or [
            run
            for run in self.all()
            if len(wanted) >= 4
            and any(
                text.startswith(wanted)
                for text in (run.info.run_id, run.info.run_name, run.data.tags.get("facegan.lineage", ""))
            )
        ]

    def read(self, run: Run) -> Compared:
        """Its parameters, scores and last grid."""
        identity = run.info.run_id
        grids = {
            int(entry.path.split("+step+")[1].split("+")[0]): entry.path
            for entry in self._client.list_artifacts(identity, "images")
            if entry.path.startswith("images/samples+step+") and entry.path.endswith(".png")
        }
        grid = self._artifact(identity, grids[max(grids)]) if grids else None
        scored = [entry.path for entry in self._client.list_artifacts(identity, "metrics")]
        report = json.loads(self._artifact(identity, REPORT)) if REPORT in scored else {}
        status = "" if run.info.status == "FINISHED" else f" ({run.info.status.lower()})"
        return Compared(identity, run.info.run_name + status, dict(run.data.params), report, grid)

    def _artifact(self, run: str, path: str) -> bytes:
        return Path(self._client.download_artifacts(run, path)).read_bytes()
