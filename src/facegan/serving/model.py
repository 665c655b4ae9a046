"""The model in service: loaded once, and replaced as a whole when the champion moves."""

import os
import secrets
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from facegan.errors import FaceganError
from facegan.exporting.shipped.generate import Generator
from facegan.tracking.errors import one_line


@dataclass(frozen=True)
class Model:
    """A generator that has drawn a picture, of ``size`` pixels, what it is called, and its card (Markdown)."""

    generator: Generator
    name: str
    size: int
    card: str

    @classmethod
    def load(cls, folder: Path, name: str) -> "Model":
        """From an exported folder, or one around it. Raises FaceganError."""
        found = sorted(folder.rglob("generator.onnx"))
        if not found:
            raise FaceganError(f"{name}: no generator.onnx there")
        try:
            generator = Generator(found[0], threads=1)  # requests are drawn side by side
            size = generator.pictures(generator.latents(1, 0)).shape[1]
        except Exception as error:  # ONNX Runtime has an exception class for every failure
            raise FaceganError(f"{name} cannot be loaded: {one_line(error)}") from error
        card = found[0].with_name("MODEL_CARD.md")
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        return cls(generator, name, size, text)


class Source:
    """Where the model comes from: an exported folder, a run, or a version in MLflow's registry by number or alias.

    ``model`` is what is in service. A source with an alias (models:/NAME@ALIAS) is looked at again by ``refresh``.
    """

    def __init__(self, where: str, told: Callable[[str], None]) -> None:
        self._where, self._told = where, told
        self.refreshes = ":/" in where and "@" in where
        self.failures = 0
        self.model = self._load(self._name())

    def refresh(self) -> bool:
        """Take what the alias names now; what fails is told, and the model before goes on."""
        try:
            name = self._name()
            if name == self.model.name:
                return False
            self.model = self._load(name)
        except Exception as error:  # a full disk too: whatever it is, the next look is to come
            self.failures += 1
            self._told(f"{one_line(error)}; still serving {self.model.name}")
            return False
        self._told(f"{name} is in service")
        return True

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
        name, _, alias = self._where.removeprefix("models:/").partition("@")
        return _asked(self._where, lambda mlflow: _versioned(mlflow, name, alias))

    def _load(self, name: str) -> Model:
        if ":/" not in name:
            return Model.load(Path(name), Path(name).resolve().name)  # whoever asks sees the name, and no path
        with TemporaryDirectory() as folder:  # the network is in memory once it is loaded
            got = _asked(name, lambda mlflow: mlflow.artifacts.download_artifacts(name, dst_path=folder))
            return Model.load(Path(got), name)


def new_seed() -> int:
    """For a request that asks for none; it is told what it got."""
    return secrets.randbelow(2**31)


def to_stderr(text: str) -> None:
    print(f"serve: {text}", file=sys.stderr, flush=True)


def _versioned(mlflow: Any, name: str, alias: str) -> str:
    version = mlflow.MlflowClient().get_model_version_by_alias(name, alias)
    return f"models:/{name}/{version.version}"


def _asked(what: str, ask: Callable[[Any], str]) -> str:
    """Whatever MLflow raises becomes one line."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # by default a dead server blocks for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    try:
        return ask(mlflow)
    except Exception as error:  # MLflow lets those of its database, of HTTP and of its stores through
        raise FaceganError(f"{what}: {one_line(error)}") from error
