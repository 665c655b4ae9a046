"""The model registry: versions of one model, which of them is in service, and every decision about that.

The alias ``champion`` is what is in service, ``candidate`` what was registered last. A decision is a run of its own in
the experiment "EXPERIMENT decisions": it begins before the alias moves and is finished after.
"""

import io
import json
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from facegan.errors import FaceganError
from facegan.tracking.record import MODEL
from facegan.tracking.view import TEXT, Server, experiment_id, prepare

CANDIDATE, CHAMPION = "candidate", "champion"
REPLACED, ROLLED_BACK = "facegan.replaced", "facegan.rolled_back"  # tags of a version
_PATIENCE = 60.0  # seconds that no decision takes: one that does was killed in the middle


@dataclass(frozen=True)
class Version:
    """A version of the model: its number, the run that made it, its tags and its card."""

    number: str
    run_id: str
    tags: dict[str, str]
    card: str


@dataclass(frozen=True)
class Decision:
    """``action`` is promote, refuse or roll back; ``reasons`` are sentences."""

    action: str
    version: str
    champion: str | None
    reasons: tuple[str, ...]


class Registry:
    """The versions of the model ``name``. Raises FaceganError, or what MLflow raises."""

    def __init__(self, server: Server, name: str) -> None:
        prepare(server)
        self.server, self.name = server, name
        self._client = MlflowClient(server.uri)
        mlflow.set_tracking_uri(server.uri)

    def register(self, run_id: str, card: str, tags: dict[str, str]) -> Version:
        """The version that holds a run's model, a new one if need be; it is the candidate then."""
        number = self._of_run(run_id)
        if number is None:
            # It warns of what is on purpose, and tells on stderr what the caller tells.
            with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                number = str(mlflow.register_model(f"runs:/{run_id}/{MODEL}", self.name).version)
        for key, value in tags.items():
            self._client.set_model_version_tag(self.name, number, key, value[:TEXT])
        self._client.update_model_version(self.name, number, _cut(card))
        self._client.set_registered_model_alias(self.name, CANDIDATE, number)
        return Version(number, run_id, tags, card)

    def version(self, wanted: str) -> Version | None:
        """By number or alias; None when there is no such."""
        try:
            if wanted.isdecimal():
                found = self._client.get_model_version(self.name, wanted)
            else:
                found = self._client.get_model_version_by_alias(self.name, wanted)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no model; no such alias
                return None
            raise
        # The number is an int or a text, by the kind of the server.
        return Version(str(found.version), str(found.run_id), dict(found.tags), found.description or "")

    def files(self, version: Version, folder: Path) -> Path:
        """The exported folder of a version, downloaded below ``folder``. Raises FaceganError."""
        try:
            got = Path(
                mlflow.artifacts.download_artifacts(f"models:/{self.name}/{version.number}", dst_path=str(folder))
            )
        except (MlflowException, OSError) as error:
            raise FaceganError(f"the files of version {version.number} cannot be had: {_line(error)}") from error
        found = sorted(got.rglob("generator.onnx"))
        if not found:
            raise FaceganError(f"the files of version {version.number} hold no generator.onnx")
        return found[0].parent

    def report(self, version: Version) -> dict[str, Any]:
        """What `evaluate` said of a version. Raises FaceganError."""
        try:
            text = mlflow.artifacts.load_text(f"runs:/{version.run_id}/metrics/evaluate.json")
            return dict(json.loads(text))
        except (MlflowException, OSError, ValueError) as error:
            raise FaceganError(f"the scores of version {version.number} cannot be had: {_line(error)}") from error

    def decide(self, decision: Decision, expected: str | None) -> bool:
        """Carry a decision out, and log it; False when the champion is no longer ``expected``, and nothing was done.

        Raises FaceganError when the alias has moved and the rest could not be written: it says so.
        """
        with self._alone() as still_alone:
            if self._champion() != expected:
                return False
            event = self._begin(decision)
            if decision.action == "promote":
                self._client.set_model_version_tag(self.name, decision.version, REPLACED, expected or "")
            if not still_alone():
                raise FaceganError("the decision took so long that another one went ahead; nothing was done")
            if decision.action != "refuse":
                self._move(decision.version)
            try:
                if decision.action == "roll back" and expected is not None:
                    reason = " ".join(decision.reasons)[:TEXT]
                    self._client.set_model_version_tag(self.name, expected, ROLLED_BACK, reason)
                self._client.set_terminated(event, "FINISHED")
            except Exception as error:
                told = f"version {self._champion() or 'none'} is in service now, but that was not logged whole"
                raise FaceganError(f"{told}: {_line(error)}") from error
        return True

    def _champion(self) -> str | None:
        found = self.version(CHAMPION)
        return found.number if found else None

    def _move(self, number: str) -> None:
        """The alias; when the answer got lost, what counts is where it is."""
        try:
            self._client.set_registered_model_alias(self.name, CHAMPION, number)
        except Exception:
            if self._champion() != number:
                raise

    def decisions(self) -> list[dict[str, str]]:
        """Tags of every decision, the newest first."""
        experiment = self._client.get_experiment_by_name(self._log)
        if experiment is None:
            return []
        runs = self._client.search_runs(
            [experiment.experiment_id], f"tags.`facegan.model` = '{self.name}'", order_by=["attributes.start_time DESC"]
        )
        return [
            {key.removeprefix("facegan."): value for key, value in run.data.tags.items() if key.startswith("facegan.")}
            | {"status": run.info.status}
            for run in runs
        ]

    @property
    def _log(self) -> str:
        return f"{self.server.experiment} decisions"

    def _begin(self, decision: Decision) -> str:
        identity = experiment_id(self._client, replace(self.server, experiment=self._log))
        tags = {
            "facegan.model": self.name,
            "facegan.action": decision.action,
            "facegan.version": decision.version,
            "facegan.champion": decision.champion or "none",
            "facegan.reasons": "\n".join(decision.reasons)[:TEXT],
        }
        run = self._client.create_run(identity, run_name=f"{decision.action} version {decision.version}", tags=tags)
        return str(run.info.run_id)

    def param(self, version: Version, key: str) -> str | None:
        """A parameter of the run that made a version."""
        return dict(self._client.get_run(version.run_id).data.params).get(key)

    def _of_run(self, run_id: str) -> str | None:
        found = self._client.search_model_versions(f"name = '{self.name}'")
        return next((str(version.version) for version in found if version.run_id == run_id), None)

    @contextmanager
    def _alone(self) -> Iterator[Callable[[], bool]]:
        """One decision at a time, from any machine: a server lets one model of a name be made.

        Gives a question: whether this is still the one. A lock that has been the same for as long as a decision never
        takes is set aside by renaming it, which one of those that wait succeeds in.
        """
        lock = f"{self.name}.deciding"
        seen, since = None, time.monotonic()
        while True:
            try:
                own = self._client.create_registered_model(lock, description="A decision is being carried out.")
                break
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            held = self._began(lock)
            if held != seen:
                seen, since = held, time.monotonic()
            elif held is not None and time.monotonic() - since > _PATIENCE:
                with suppress(MlflowException):  # another one was faster
                    self._client.rename_registered_model(lock, f"{lock}.{held}")
            time.sleep(0.2)
        began = own.creation_timestamp
        try:
            yield lambda: self._began(lock) == began
        finally:
            with suppress(Exception):  # it is set aside later, then
                if self._began(lock) == began:
                    self._client.delete_registered_model(lock)

    def _began(self, lock: str) -> int | None:
        try:
            return int(self._client.get_registered_model(lock).creation_timestamp)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None


def _cut(card: str) -> str:
    """Without pictures, which MLflow's page does not find, and as long as a database takes it."""
    card = re.sub(r"^!\[.*\]\(.*\)\n+", "", card, flags=re.MULTILINE)
    if len(card) <= TEXT:
        return card
    rest = "\n\nThe rest is in MODEL_CARD.md among the files."
    return card[: TEXT - len(rest)].rpartition("\n")[0] + rest


def _line(error: Exception) -> str:
    from facegan.tracking.lineage import redact

    return (redact(str(error)).splitlines() or [type(error).__name__])[0]
