"""What makes two runs the same run, and what is logged about each."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from facegan.errors import FaceganError
from facegan.files import json_digest, read_json, sha256, tree_digest, write_json
from facegan.params import Params
from facegan.params_yaml import flatten
from facegan.sizes import Size, in_words

SPEC = "run.json"
_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "onnx", "onnxruntime", "dvc", "mlflow")


def code_digest(root: Path, dependencies: Iterable[str]) -> str:
    """One digest for the code among a stage's dependencies: files, or folders with the Python files below them."""
    files: set[Path] = set()
    for dependency in dependencies:
        path = root / dependency
        files |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return tree_digest((file.relative_to(root).as_posix(), file.stat().st_size, sha256(file)) for file in files)


def training_key(params: Params, shard_digests: Iterable[str], code: str) -> str:
    """What decides the trained weights: seed, model, training, the bytes of the shards, the code."""
    values = params.model_dump(include={"seed", "model", "train"})
    return json_digest([values, sorted(shard_digests), code])


def lineage_key(training: str, params: Params) -> str:
    """What makes a row in MLflow: the training, and every parameter around it."""
    return json_digest([training, params.of_run()])


@dataclass(frozen=True)
class RunSpec:
    """A run as MLflow shows it: its identity, its name, its parameters by dotted key, its tags.

    ``attempt`` tells apart those who came to a lineage: each writes into a run of its own, and nobody else does.
    """

    lineage: str
    name: str
    params: dict[str, Any]
    tags: dict[str, str]
    attempt: str

    @classmethod
    def of(cls, params: Params, training: str, size: Size, attempt: str, tags: dict[str, str]) -> Self:
        lineage = lineage_key(training, params)
        keys = {"facegan.lineage": lineage, "facegan.training_key": training}
        pixels = str(size) if isinstance(size, int) else in_words(size)
        name = f"{params.model.network} {pixels}px {lineage[:8]}"  # no recipe's name
        return cls(lineage, name, flatten(params.of_run()), {**keys, **tags}, attempt)

    def write(self, folder: Path) -> None:
        write_json(folder / SPEC, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The run of a working folder. Raises FaceganError when it is damaged or another version's."""
        try:
            held = read_json(folder / SPEC)
            return cls(**{"attempt": attempt_of(folder, held["lineage"]), **held})  # earlier versions named none
        except (TypeError, ValueError, KeyError) as error:
            raise FaceganError(f"{SPEC} is damaged, or of another version of facegan ({error})") from error


def environment(device: str, threads: int) -> dict[str, Any]:
    """What bits are promised for: the same environment gives the same bytes."""
    return {
        "device": device,
        "threads": threads,
        "machine": platform.machine(),
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def attempt_of(place: Path, *what: str) -> str:
    """The attempt that is made of ``what`` by the project at ``place`` of this machine.

    A copy of the project, on this machine or on another, makes another attempt of the same.
    """
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):  # no Linux
        machine = ""
    if machine in ("", "uninitialized"):  # a bare container
        machine = platform.node()
    return json_digest([machine, str(place.resolve()), *what])[:32]


def write_trained(state: Path, key: str, attempt: str, generator: str, rows: Iterable[dict[str, Any]]) -> None:
    """Keep of a training that is done what its outputs do not tell: the attempt, where it started and was resumed.

    ``generator`` is the digest of its weights.
    """
    starts = [row["environment"] for row in rows if row["kind"] == "start"]
    write_json(state / "trained" / f"{key}.json", {"attempt": attempt, "generator": generator, "environments": starts})


def read_trained(state: Path, key: str, generator: str | None = None) -> tuple[str | None, list[dict[str, Any]]]:
    """Nothing for a training of another machine, one whose working state was deleted, or one to other weights."""
    try:
        held = read_json(state / "trained" / f"{key}.json")
        if generator not in (None, held["generator"]):
            return None, []
        return str(held["attempt"]), list(held["environments"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, []


def environment_tags(environments: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Tags for the starts of one training: ``mixed`` when a resume happened somewhere else."""
    seen: list[dict[str, Any]] = []
    for entry in environments:
        if entry not in seen:
            seen.append(entry)
    if not seen:
        return {}
    tags = {"facegan.environment": json.dumps(seen[-1], sort_keys=True)}
    return tags | {"facegan.bits": "mixed" if len(seen) > 1 else "one environment"}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    return f"{'/'.join(sorted(names)) or platform.machine()}, {os.cpu_count()} cores"
