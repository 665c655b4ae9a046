"""Whether the outputs are those of the parameters, the code and ``dvc.lock`` as they are now.

Nothing may be said of outputs that are not: a run with a seed that its weights never saw, scores that were edited.
"""

from typing import Any

from facegan.data.manifest import read_manifest
from facegan.errors import FaceganError
from facegan.files import read_json
from facegan.repository.project import SHARDS, TRAINED, Project
from facegan.repository.tools import dvc_status
from facegan.tracking.lineage import training_key

STAGES = ("download", "preprocess", "train", "evaluate", "export")
_MISSING = "deleted"  # DVC's word for what is not in the workspace


def check_outputs(project: Project, command: str) -> None:
    """Raises FaceganError, with the stage and what to do, unless every stage's outputs are there and agree."""
    if (found := disagreement(project)) is not None:
        raise FaceganError(f"{command}: {found}")


def disagreement(project: Project, pulled: bool = True) -> str | None:
    """The first stage whose outputs do not agree, in words; None when all do.

    Without ``pulled``, outputs that are not in the workspace, as in a clone before `dvc pull`, are no disagreement.
    """
    if not (project.root / "dvc.lock").is_file():
        return "there is no dvc.lock that says what the outputs were made of; run `dvc repro`" if pulled else None
    status = dvc_status(project.root)
    for stage in STAGES:
        changed = [(what, how) for what, how in _changes(status.get(stage, [])) if pulled or how != _MISSING]
        if not changed:
            continue
        what, how = changed[0]
        if all(how == _MISSING for _, how in changed):
            return f"{what} of the stage {stage} is missing; run `dvc repro`, or `dvc pull` for a run that exists"
        return f"the outputs of the stage {stage} do not belong to what is here ({what}: {how}); run `dvc repro`"
    if not pulled and not (project.root / TRAINED / "config.json").is_file():
        return None
    return _of_another_training(project)


def _changes(entries: list[Any]) -> list[tuple[str, str]]:
    """(path or key, how it changed) of what DVC says of a stage, what it depends on first."""
    found = []
    for entry in entries:
        if isinstance(entry, str):  # "changed command", "always changed"
            found.append((entry.removeprefix("changed "), "modified"))
            continue
        for paths in entry.values():
            for path, how in paths.items():
                keys = how.items() if isinstance(how, dict) else [("", str(how))]
                found += [(f"{path} {key}".strip(), str(word)) for key, word in keys]
    return found


def _of_another_training(project: Project) -> str | None:
    """`dvc commit` makes DVC take any outputs for those of the parameters: the weights know better."""
    manifest = read_manifest(project.root / SHARDS)
    digests = (shard["sha256"] for shard in manifest["shards"])
    config = read_json(project.root / TRAINED / "config.json")
    if config.get("training_key") == training_key(project.params(), digests, project.code("train")):
        return None
    return (
        f"the weights in {TRAINED} were trained with other parameters, pictures or code than those here; run "
        "`dvc repro --force train`"
    )
