"""Where a registered model comes from, and a check that its files are still the ones that were registered.

An in-toto statement (v1) with a provenance predicate of SLSA (v1): the files by digest, and what they were made of. It
is a tag of the version, because the registry is written by fewer people than the store of the files.
"""

import json
from pathlib import Path
from typing import Any

from facegan.errors import FaceganError
from facegan.files import sha256

TAG = "facegan.provenance"  # of a version
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"


def statement(exported: Path, made_of: dict[str, dict[str, str]], training_key: str, run_id: str) -> str:
    """JSON for the files of ``exported``; ``made_of`` has a digest by name, such as {"dvc.lock": {"sha256": ...}}."""
    files = sorted(path for path in exported.rglob("*") if path.is_file())
    return json.dumps(
        {
            "_type": _STATEMENT,
            "subject": [
                {"name": path.relative_to(exported).as_posix(), "digest": {"sha256": sha256(path)}} for path in files
            ],
            "predicateType": _PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": "urn:facegan:pipeline:1",
                    "externalParameters": {"training_key": training_key},
                    "resolvedDependencies": [{"name": name, "digest": digest} for name, digest in made_of.items()],
                },
                "runDetails": {"builder": {"id": "urn:facegan:register"}, "metadata": {"invocationId": run_id}},
            },
        },
        sort_keys=True,
        separators=(",", ":"),
    )


def made_of(tags: dict[str, str]) -> dict[str, dict[str, str]]:
    """The digests that the statement among a version's ``tags`` has of what it was made of; empty without one."""
    try:
        dependencies = json.loads(tags[TAG])["predicate"]["buildDefinition"]["resolvedDependencies"]
        return {entry["name"]: entry["digest"] for entry in dependencies}
    except (KeyError, ValueError, TypeError):
        return {}


class Mismatch(FaceganError):
    """Files that are not those which were registered."""


def check(said: str, folder: Path, model: str) -> None:
    """Raises Mismatch unless ``folder`` holds every file that the statement ``said`` names, with its content."""
    try:
        held = json.loads(said)
        subjects: list[Any] = held["subject"]
        wanted = {str(subject["name"]): str(subject["digest"]["sha256"]) for subject in subjects}
        if held["_type"] != _STATEMENT or not wanted:
            raise ValueError("no in-toto statement")
    except (ValueError, KeyError, TypeError) as error:
        raise Mismatch(f"{model}: its tag {TAG} cannot be read ({error}), so its files cannot be checked") from None
    for name, digest in wanted.items():
        path = folder / name
        if not path.is_file():
            raise Mismatch(f"{model}: {name}, which was registered, is missing; register the model again")
        if (found := sha256(path)) != digest:
            raise Mismatch(
                f"{model}: {name} is not the file that was registered (SHA-256 {found[:12]}..., not {digest[:12]}...)"
            )
