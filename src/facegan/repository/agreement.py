"""Whether the outputs are those of the parameters, the code and ``dvc.lock`` as they are now.

Nothing may be said of outputs that are not: a run with a seed that its weights never saw, scores that were edited.
"""

from pathlib import Path
from typing import Any

from facegan.data.manifest import MANIFEST, read_manifest
from facegan.errors import FaceganError
from facegan.files import read_json, sha256
from facegan.repository.project import EXPORTED, REPORTS, SHARDS, TRAINED, Project
from facegan.repository.tools import dvc_frozen, dvc_status
from facegan.tracking.lineage import training_key

STAGES = ("download", "preprocess", "train", "evaluate", "export")
WEIGHTS = "generator.safetensors"
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
    if frozen := dvc_frozen(project.root):
        return f"the stage {frozen[0]} is frozen, so that DVC does not look at it; run `dvc unfreeze {frozen[0]}`"
    status = dvc_status(project.root)
    for stage in STAGES:
        changed = [(what, how) for what, how in _changes(status.get(stage, [])) if pulled or how != _MISSING]
        if not changed:
            continue
        what, how = changed[0]
        if all(how == _MISSING for _, how in changed):
            return f"{what} of the stage {stage} is missing; run `dvc repro`, or `dvc pull` for a run that exists"
        return f"the outputs of the stage {stage} do not belong to what is here ({what}: {how}); run `dvc repro`"
    if not pulled and not all(path.is_file() for path in _told_by(project)):
        return None
    return _of_something_else(project)


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


def _told_by(project: Project) -> list[Path]:
    """Files of the outputs that say what they were made of."""
    below = (
        SHARDS / MANIFEST,
        TRAINED / "config.json",
        TRAINED / WEIGHTS,
        EXPORTED / "config.json",
        EXPORTED / WEIGHTS,
        REPORTS / "evaluate.json",
    )
    return [project.root / path for path in below]


def _of_something_else(project: Project) -> str | None:
    """`dvc commit` makes DVC take any outputs for those of the parameters: the outputs themselves know better."""
    params, manifest = project.params(), read_manifest(project.root / SHARDS)
    key = training_key(params, (shard["sha256"] for shard in manifest["shards"]), project.code("train"))
    trained, exported = (read_json(project.root / folder / "config.json") for folder in (TRAINED, EXPORTED))
    if trained.get("training_key") != key:
        return (
            f"the weights in {TRAINED} were trained with other parameters, pictures or code than those here; run "
            "`dvc repro --force train`"
        )
    weights = [sha256(project.root / folder / WEIGHTS) for folder in (TRAINED, EXPORTED)]
    if exported.get("training_key") != key or weights[0] != weights[1]:
        return f"what is in {EXPORTED} is not the generator of {TRAINED}; run `dvc repro --force export`"
    scored = read_json(project.root / REPORTS / "evaluate.json").get("protocol", {}).get("params")
    if scored != params.evaluate.model_dump_json():
        return f"{REPORTS}/evaluate.json was scored with other parameters; run `dvc repro --force evaluate`"
    return None
