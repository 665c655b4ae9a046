"""The model in service: loaded once, and replaced as a whole when the champion moves."""

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from facegan.errors import FaceganError
from facegan.exporting.shipped.generate import Generator
from facegan.notify import notify
from facegan.serving.kept import Kept
from facegan.tracking.errors import one_line
from facegan.tracking.fetch import as_error, fetch, resolve
from facegan.tracking.provenance import Mismatch

T = TypeVar("T")
SHORTEST, LONGEST = 20.0, 600.0  # seconds until a version that could not be loaded is fetched again


@dataclass(frozen=True)
class Model:
    """A generator that has drawn a picture, of ``height`` and ``width`` pixels, its name, and its card (Markdown)."""

    generator: Generator
    name: str
    height: int
    width: int
    channels: int  # 1 is gray, 3 RGB, 4 RGBA
    card: str

    @classmethod
    def load(cls, folder: Path, name: str) -> "Model":
        """From an exported folder, or one around it. Raises FaceganError."""
        found = sorted(folder.rglob("generator.onnx"))
        if not found:
            raise FaceganError(f"{name}: no generator.onnx there")
        try:
            generator = Generator(found[0], threads=1)  # requests are drawn side by side
            _, height, width, channels = generator.pictures(generator.latents(1, 0)).shape
        except Exception as error:  # ONNX Runtime has an exception class for every failure
            reason = one_line(error).replace(str(found[0]), found[0].name)  # the folder is a passing one
            raise FaceganError(f"{name} cannot be loaded: {reason}") from error
        card = found[0].with_name("MODEL_CARD.md")
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        return cls(generator, name, height, width, channels, text)


class Source:
    """Where the model comes from: an exported folder, a run, or a version in MLflow's registry by number or alias.

    ``model`` is what is in service. A source with an alias (models:/NAME@ALIAS) is looked at again by ``refresh``; what
    it names is kept below ``keep``, from where a start without MLflow takes it. ``stale`` says why what is in service
    may not be what the alias names.
    """

    def __init__(self, where: str, told: Callable[[str], None], keep: Path | None = None) -> None:
        self._where, self._told = where, told
        self.refreshes = ":/" in where and "@" in where
        self._kept = (
            Kept(keep, where, os.environ.get("MLFLOW_TRACKING_URI", ""))
            if keep is not None and self.refreshes
            else None
        )
        self.failures = 0
        self.stale: str | None = None
        self._broken, self._pause, self._again = "", 0.0, 0.0  # a version, and when it is tried again
        self.model = self._first()

    def _first(self) -> Model:
        try:
            return self._load(self._name())
        except Mismatch:
            raise
        except FaceganError as error:
            found = self._kept.find() if self._kept is not None else None
            if found is None:
                raise
            self._failed(error, f"serving the copy of {found[1]} that was kept")
            return Model.load(*found)

    def refresh(self) -> bool:
        """Take what the alias names now; when that fails, it says so and keeps the model before.

        A version that cannot be loaded is fetched again after longer and longer pauses.
        """
        name = self.model.name
        try:
            name = self._name()
            if name == self.model.name:
                self.stale = None
                return False
            if name == self._broken and time.monotonic() < self._again:
                return False
            self.model = self._load(name)
        except Exception as error:  # a full disk too: whatever it is, the next look is to come
            if name != self.model.name:
                self._pause = min(2 * self._pause, LONGEST) if name == self._broken else SHORTEST
                self._broken, self._again = name, time.monotonic() + self._pause
            self._failed(error, f"still serving {self.model.name}")
            return False
        self.stale, self._broken = None, ""
        self._told(f"{name} is in service")
        return True

    def _failed(self, error: Exception, outcome: str) -> None:
        self.failures += 1
        reason = one_line(error)
        if reason != self.stale:  # once, however often it is tried
            self._told(f"{reason}; {outcome}")
            notify(f"facegan serve: {self._where}: {reason}; {outcome}")
        self.stale = reason

    def watch(self, seconds: float) -> None:
        """Refresh every so often, from a thread that ends with the process."""
        pause = threading.Event()

        def look() -> None:
            while not pause.wait(seconds):
                self.refresh()

        threading.Thread(target=look, daemon=True, name="champion").start()

    def _name(self) -> str:
        """What is in service by its number, where that is an alias's: models:/NAME/3."""
        if not self.refreshes:
            return self._where
        return _asked(self._where, lambda: resolve(self._where))

    def _load(self, name: str) -> Model:
        if ":/" not in name:
            return Model.load(Path(name), Path(name).resolve().name)  # whoever asks sees the name, and no path
        with TemporaryDirectory() as folder:  # the network is in memory once it is loaded
            exported = _asked(name, lambda: fetch(name, Path(folder)))
            model = Model.load(exported, name)
            if self._kept is not None:
                try:
                    self._kept.keep(exported, name)
                except OSError as error:
                    self._told(f"{name} could not be kept for a start without MLflow: {one_line(error)}")
            return model


def new_seed() -> int:
    """For a request that names no seed; the response states the one that was used."""
    return secrets.randbelow(2**31)


def to_stderr(text: str) -> None:
    print(f"serve: {text}", file=sys.stderr, flush=True)


def _asked(what: str, ask: Callable[[], T]) -> T:
    """Whatever MLflow raises becomes one line."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # by default a dead server blocks for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        return ask()
    except Exception as error:  # MLflow lets those of its database, of HTTP and of its stores through
        raise as_error(what, error) from error
