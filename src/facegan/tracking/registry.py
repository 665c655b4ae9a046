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
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException

from facegan.errors import FaceganError
from facegan.tracking.errors import one_line
from facegan.tracking.fetch import FILE, checked
from facegan.tracking.record import MODEL
from facegan.tracking.view import TEXT, Server, experiment_id, prepare

CANDIDATE, CHAMPION = "candidate", "champion"
REPLACED, ROLLED_BACK = "facegan.replaced", "facegan.rolled_back"  # tags of a version
WEIGHTS = "facegan.sha256.generator"  # tag of a version and of its run
_PATIENCE = 60.0  # seconds that no decision takes: one that does was killed in the middle


class Missing(FaceganError):
    """What is known not to be there: the store answered, and does not have it. Other faults say nothing of it."""


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
                number = self._create(run_id)
        held = self._client.get_model_version(self.name, number)
        for key, value in tags.items():
            if key not in held.tags:  # what was said of a version stays
                self._client.set_model_version_tag(self.name, number, key, value[:TEXT])
        if not held.description:
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
        """The exported folder of a version, downloaded below ``folder``. Raises Missing, or FaceganError."""
        what, uri = f"the files of version {version.number}", f"models:/{self.name}/{version.number}"
        try:
            got = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
        except Exception as error:  # each store has its own
            raise self._fetching(version, what, error, partial(mlflow.artifacts.list_artifacts, uri)) from error
        found = sorted(got.rglob(FILE))
        if not found and not self._visible(version):  # a folder that is not there is downloaded as an empty one
            raise FaceganError(f"{what} cannot be fetched: its store shows no file at all; nothing was decided")
        if not found:
            raise Missing(f"{what} hold no {FILE}")
        return checked(uri, got, version.tags)

    def report(self, version: Version) -> dict[str, Any]:
        """What `evaluate` said of a version. Raises Missing, or FaceganError."""
        return self._json(version, "scores", "metrics/evaluate.json")

    def manifest(self, version: Version) -> dict[str, Any]:
        """That of the shards which a version was trained on. Raises Missing, or FaceganError."""
        return self._json(version, "data manifest", "data/manifest.json")

    def _json(self, version: Version, title: str, path: str) -> dict[str, Any]:
        what = f"the {title} of version {version.number}"
        try:
            text = mlflow.artifacts.load_text(f"runs:/{version.run_id}/{path}")
        except Exception as error:  # each store has its own
            there = partial(self._client.list_artifacts, version.run_id, path.partition("/")[0])
            raise self._fetching(version, what, error, there, path) from error
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise FaceganError(f"{what} cannot be read: {one_line(error)}") from error

    def rolled_back(self, version: Version) -> str | None:
        """Why a version with these weights was taken out of service, under whatever number; None when none was."""
        digest = self._weights(version)
        for other in self._client.search_model_versions(f"name = '{self.name}'"):
            held = Version(str(other.version), str(other.run_id), dict(other.tags), "")
            if ROLLED_BACK in held.tags and (held.number == version.number or self._weights(held) == digest):
                return held.tags[ROLLED_BACK]
        return None

    def _weights(self, version: Version) -> str:
        """Their digest; versions of earlier facegan have it with their run alone."""
        if WEIGHTS in version.tags:
            return version.tags[WEIGHTS]
        unknown = f"of version {version.number}"
        try:
            return str(self._client.get_run(version.run_id).data.tags.get(WEIGHTS, unknown))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # it was deleted for good
                raise
            return unknown

    def _visible(self, version: Version) -> bool:
        """Whether the store shows any file of a version's run: a folder that is not mounted is empty too."""
        try:
            return bool(self._client.list_artifacts(version.run_id))
        except Exception:  # each store has its own
            return False

    def _fetching(
        self, version: Version, what: str, error: Exception, listing: Callable[[], Any], wanted: str = ""
    ) -> FaceganError:
        """What a failure to fetch means: missing only where the store shows other files of the run, and not these."""
        try:
            there = [entry.path for entry in listing() or []]
        except Exception:  # it cannot be reached
            there = [wanted]
        if self._visible(version) and wanted not in there and (wanted or not there):
            return Missing(f"{what} are gone: {one_line(error)}")
        return FaceganError(f"{what} cannot be fetched: {one_line(error)}; nothing was decided")

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
                raise FaceganError(f"{told}: {one_line(error)}") from error
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

    def try_to_write(self) -> None:
        """What a run and a decision will need, before there is one."""
        for server in (self.server, replace(self.server, experiment=self._log)):
            self._client.set_experiment_tag(experiment_id(self._client, server), "facegan.written", "true")

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

    def _create(self, run_id: str) -> str:
        """A new version with a run's model. MLflow itself fails at a run with two, such as a lost answer leaves."""
        experiment = self._client.get_run(run_id).info.experiment_id
        found = self._client.search_logged_models([experiment], f"source_run_id = '{run_id}' AND name = '{MODEL}'")
        ready = [model for model in found if model.status == LoggedModelStatus.READY]
        if len(found) < 2 or not ready:
            return str(mlflow.register_model(f"runs:/{run_id}/{MODEL}", self.name).version)
        first = min(ready, key=lambda model: (model.creation_timestamp, model.model_id))
        with suppress(MlflowException):  # it is there
            self._client.create_registered_model(self.name)
        made = self._client.create_model_version(
            self.name, f"models:/{first.model_id}", run_id=run_id, model_id=first.model_id
        )
        return str(made.version)

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
                # MLflow looks at the one that exists, which may be gone by then.
                if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"):
                    raise
            held = self._began(lock)
            if held != seen:
                seen, since = held, time.monotonic()
            elif held is not None and time.monotonic() - since > _PATIENCE:
                self._set_aside(lock, held)
            time.sleep(0.2)
        began = own.creation_timestamp
        try:
            yield lambda: self._began(lock) == began
        finally:
            with suppress(Exception):  # it is set aside later, then
                if self._began(lock) == began:
                    self._client.delete_registered_model(lock)

    def _set_aside(self, lock: str, held: int) -> None:
        try:
            self._client.rename_registered_model(lock, f"{lock}.{held}")
        except MlflowException as error:
            if error.error_code == "PERMISSION_DENIED":  # of another user: waiting would not end
                raise
            # another one was faster

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
