"""Outputs that are not those of the parameters, the code or `dvc.lock` are not recorded, registered or promoted."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from cli.running import Command
from tracking.made import commit, write_params

from facegan.files import read_json, write_json
from facegan.repository.agreement import disagreement
from facegan.repository.project import EXPORTED, REPORTS, SHARDS, TRAINED, Project
from facegan.strict_yaml import read_yaml
from facegan.tracking.view import MlflowClient


def another_seed(project: Project) -> None:
    values = read_yaml((project.root / "params.yaml").read_text(), "params.yaml")
    write_params(project.root, values | {"seed": 99})


def better_score(project: Project) -> None:
    report = read_json(project.root / REPORTS / "evaluate.json")
    report["fd_face"]["value"] -= 0.3
    write_json(project.root / REPORTS / "evaluate.json", report)


def other_weights(project: Project) -> None:
    path = project.root / TRAINED / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")


def other_code(project: Project) -> None:
    with (project.root / "src/facegan/networks/blocks.py").open("a") as file:
        file.write("# changed\n")


def other_pictures(project: Project) -> None:
    path = next((project.root / SHARDS).glob("held_out-*"))
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


CHANGES = [
    (another_seed, "stage train", "params.yaml seed: modified"),
    (better_score, "stage evaluate", "reports/evaluate.json: modified"),
    (other_weights, "stage train", "models/train: modified"),
    (other_code, "stage train", "src/facegan/networks: modified"),
    (other_pictures, "stage preprocess", "data/shards: modified"),
]


def held(project: Project) -> list[Any]:
    """Everything that MLflow has: runs with their tags, and versions."""
    client = MlflowClient(project.server().uri)
    runs = client.search_runs([entry.experiment_id for entry in client.search_experiments()])
    return [(run.info.run_id, run.info.status, run.data.tags) for run in runs] + client.search_model_versions()


@pytest.fixture
def registered(finished: Project, facegan: Command) -> Project:
    """Version 1 is the candidate."""
    assert facegan("register").code == 0
    return finished


@pytest.mark.parametrize(("change", "stage", "what"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_does_not_agree_is_named_with_the_command_and_nothing_is_written(
    registered: Project, facegan: Command, change: Any, stage: str, what: str
) -> None:
    before = held(registered)
    change(registered)
    for command in ("record", "register", "promote"):
        error = facegan(command).error
        assert error.startswith(f"{command}: ") and stage in error and what in error and "run `dvc repro`" in error
    assert held(registered) == before


def test_outputs_that_dvc_was_told_to_take_are_known_by_the_weights(registered: Project, facegan: Command) -> None:
    """`dvc commit` after another seed: DVC is content, and the weights never saw it."""
    before = held(registered)
    another_seed(registered)
    commit(registered.root)
    for command in ("record", "register", "promote"):
        assert "were trained with other parameters, pictures or code" in facegan(command).error
    assert held(registered) == before


def frozen(project: Project) -> None:
    path = project.root / "dvc.yaml"
    path.write_text(path.read_text().replace("  evaluate:\n", "  evaluate:\n    frozen: true\n"))


def other_export(project: Project) -> None:
    path = project.root / EXPORTED / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")
    commit(project.root)


def other_evaluation(project: Project) -> None:
    path = project.root / "params.yaml"
    path.write_text(path.read_text().replace("generated: 16", "generated: 17"))
    commit(project.root)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (frozen, "the stage evaluate is frozen"),
        (other_export, "what is in models/export is not the generator of models/train"),
        (other_evaluation, "reports/evaluate.json was scored with other parameters"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_dvc_was_told_not_to_look_at_is_looked_at(
    finished: Project, facegan: Command, change: Any, said: str
) -> None:
    change(finished)
    for command in ("record", "register", "promote"):
        assert said in facegan(command).error


def test_a_version_is_promoted_from_a_clone_without_outputs(registered: Project, facegan: Command) -> None:
    for folder in (TRAINED, EXPORTED, SHARDS, REPORTS):
        shutil.rmtree(registered.root / folder)
    assert "data/shards of the stage preprocess is missing" in facegan("register").error
    assert "version 1 is promoted" in facegan("promote").out


def test_outputs_without_a_lock_were_made_of_nobody_knows_what(finished: Project, facegan: Command) -> None:
    (finished.root / "dvc.lock").unlink()
    assert facegan("record").error == (
        "record: there is no dvc.lock that says what the outputs were made of; run `dvc repro`"
    )


def test_what_agrees_agrees_from_every_folder(finished: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disagreement(finished) is None
    monkeypatch.chdir(finished.root / "models")
    assert disagreement(finished) is None
    assert Path.cwd() == finished.root / "models"
    better_score(finished)
    found = disagreement(finished)
    assert found is not None and "(reports/evaluate.json: modified)" in found
