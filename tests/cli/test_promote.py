"""`facegan register`, `promote`, `rollback` and `models`, on a real registry with models of a real export."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from mlflow.exceptions import MlflowException
from onnx import numpy_helper
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import HTTPError
from tracking.made import commit, free_port, write_params

from cli.running import Command, Ended
from facegan.files import read_json, sha256, write_json
from facegan.promotion import judging as module
from facegan.repository.project import EXPORTED, REPORTS, Project
from facegan.retraining.training import judged
from facegan.strict_yaml import read_yaml
from facegan.tracking.provenance import TAG
from facegan.tracking.registry import CHAMPION, Decision, Registry


def change(project: Project, **values: Any) -> None:
    """``change(project, promotion__score="kid_face")``."""
    params = read_yaml((project.root / "params.yaml").read_text(), "params.yaml")
    for key, value in values.items():
        block, name = key.split("__")
        params[block][name] = value
    write_params(project.root, params)


def another(project: Project, facegan: Command, better: float, **score: Any) -> Ended:
    """Register a model of the same training whose Frechet distance is so much smaller."""
    report = read_json(project.root / REPORTS / "evaluate.json")
    for key in ("value", "at_n"):
        report["fd_face"][key] -= better
    report["fd_face"] |= score
    write_json(project.root / REPORTS / "evaluate.json", report)
    commit(project.root)
    ended = facegan("register")
    assert ended.code == 0, ended
    return ended


@pytest.fixture
def registered(finished: Project, facegan: Command) -> Project:
    """Version 1 is the candidate, nothing is in service; few pictures are held out, so copies are not asked for."""
    change(finished, promotion__max_memorization=None)
    assert "register: version 1 of facegan is the candidate" in facegan("register").out
    return finished


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a webhook would be told."""
    said: list[str] = []
    for where in ("promotion.judging", "cli.promote"):
        monkeypatch.setattr(f"facegan.{where}.notify", said.append)
    return said


def champion(project: Project) -> str | None:
    found = Registry(project.server(), "facegan").version(CHAMPION)
    return found.number if found else None


def test_a_model_goes_into_service_is_replaced_and_comes_back(registered: Project, facegan: Command) -> None:
    first = facegan("promote")
    assert first.code == 0 and "version 1 is promoted\n  nothing is in service yet" in first.out
    assert "version 1 is in service already" in facegan("promote").out

    another(registered, facegan, 10.0)
    second = facegan("promote")
    assert second.code == 0 and "version 2 is promoted\n  it is better: Frechet distance" in second.out

    assert facegan("rollback").out == "rollback: version 1 is in service again, and 2 is not\n"
    refused = facegan("promote")
    assert refused.code == 3 and "it was in service and rolled back: no reason was given" in refused.out
    assert "version 1 is the first; there is nothing to go back to" in facegan("rollback").error
    assert champion(registered) == "1"
    listed = facegan("models").out.splitlines()
    assert listed[:2] == ["champion: version 1", "candidate: version 2"]
    assert [line.partition(" (")[0] for line in listed[2:]] == [
        "refuse version 2", "roll back version 1", "promote version 2", "promote version 1",
    ]  # fmt: skip


def test_what_is_registered_tells_its_scores_its_lineage_and_its_card(registered: Project, facegan: Command) -> None:
    version = Registry(registered.server(), "facegan").version("1")
    assert version is not None
    report = read_json(registered.root / REPORTS / "evaluate.json")
    assert float(version.tags["score.fd_face"]) == pytest.approx(report["fd_face"]["at_n"], rel=1e-5)
    assert version.tags["facegan.training_key"] == read_json(registered.root / EXPORTED / "config.json")["training_key"]
    card = (registered.root / EXPORTED / "MODEL_CARD.md").read_text()
    assert version.card == card.replace("![samples](samples.png)\n\n", "")  # MLflow's page does not find it
    said = json.loads(version.tags[TAG])
    files = {subject["name"]: subject["digest"]["sha256"] for subject in said["subject"]}
    for name in ("generator.safetensors", "generator.onnx", "config.json"):
        assert files[name] == sha256(registered.root / EXPORTED / name)
    made_of = {entry["name"]: entry["digest"] for entry in said["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert made_of["dvc.lock"] == {"sha256": sha256(registered.root / "dvc.lock")} and "params.yaml" in made_of
    assert "version 1 of facegan is the candidate" in facegan("register").out  # the same outputs, the same version


def test_files_that_were_changed_behind_the_registry_are_an_error(registered: Project, facegan: Command) -> None:
    for path in (registered.root / "mlartifacts").rglob("parity.json"):
        path.write_text('{"max_difference": 0.0}')
    for command in (("promote",), ("generate", "--model", "models:/facegan@candidate")):
        assert "parity.json is not the file that was registered" in facegan(*command).error
    found = Registry(registered.server(), "facegan").version("1")
    assert found is not None
    run = ("generate", "--model", f"runs:/{found.run_id}/generator")
    assert facegan(*run).code == 0  # a run knows its network alone
    for path in (registered.root / "mlartifacts").rglob("generator.onnx"):
        path.write_bytes(path.read_bytes() + b"\0")
    assert "generator.onnx is not the file that was recorded" in facegan(*run).error
    assert "promote" not in facegan("models").out


def test_a_worse_one_is_refused_with_the_reason(registered: Project, facegan: Command, told: list[str]) -> None:
    facegan("promote")
    another(registered, facegan, -100.0)
    ended = facegan("promote")
    assert ended.code == 3 and "version 2 is refused\n  it is worse: Frechet distance" in ended.out
    assert champion(registered) == "1"
    told_as_json = facegan("models", "--json")
    listed = json.loads(told_as_json.out)
    assert (listed["champion"], listed["candidate"]) == ("1", "2")
    assert [decision["action"] for decision in listed["decisions"]] == ["refuse", "promote"]
    again = facegan("promote", "--json", "--version", "1")
    assert again.code == 0 and json.loads(again.out) == {
        "promoted": True,
        "reasons": ["version 1 is in service already"],
    }
    facegan("promote", "--version", "77")
    assert [text.partition("\n")[0].partition(";")[0] for text in told] == [
        "facegan: version 1 is promoted",
        "facegan: version 2 is refused",
        "promote failed in finished: promote: facegan has no version '77'",
    ]


def test_a_memorizing_one_is_refused_for_that(registered: Project, facegan: Command) -> None:
    facegan("promote")
    change(registered, promotion__max_memorization=0.15)
    report = read_json(registered.root / REPORTS / "evaluate.json")
    report["memorization"] = {"value": 0.9, "floor": 0.05, "n": 16, "std": 0.01, "held_out_n": 100}
    write_json(registered.root / REPORTS / "evaluate.json", report)
    another(registered, facegan, 10.0)
    ended = facegan("promote")
    assert ended.code == 3 and "it memorizes: 90% of its faces" in ended.out and champion(registered) == "1"


def test_a_person_may_overrule_and_says_why(registered: Project, facegan: Command) -> None:
    facegan("promote")
    another(registered, facegan, -10.0)
    assert "forced: the old one is offensive" in facegan("promote", "--force", "the old one is offensive").out
    assert champion(registered) == "2"
    assert "promote version 2 (champion was 1): forced: the old one is offensive" in facegan("models").out


def test_scored_on_other_pictures_both_are_scored_again_on_those_held_out(
    registered: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one draws noise: whatever its report says, what is held out today decides."""
    facegan("promote")
    path = registered.root / EXPORTED / "generator.onnx"
    network = onnx.load(path)
    for weight in network.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.ndim == 4:
            noise = np.random.default_rng(0).normal(0, 3, values.shape).astype(values.dtype)
            weight.CopyFrom(numpy_helper.from_array(noise, weight.name))
    onnx.save(network, path)
    report = read_json(registered.root / REPORTS / "evaluate.json")
    report["protocol"]["pictures"] = "others"
    write_json(registered.root / REPORTS / "evaluate.json", report)
    another(registered, facegan, 10.0)
    ended = facegan("promote")
    assert ended.code == 3, ended
    assert "they cannot be compared (other pictures): scoring both on the held-out pictures of today" in ended.out
    assert "version 2 is refused\n  it is " in ended.out and champion(registered) == "1"


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    ("split", "said"),
    [
        (None, "its held-out pictures were chosen by processed pixels, today's are by source pixels"),  # as before
        ({"scheme": "source pixels", "held_out": 0.01}, "fewer pictures were held out then (0.01)"),
    ],
)
def test_a_version_that_may_have_seen_what_judges_it_is_not_scored_by_that(
    registered: Project, facegan: Command, version: str, split: Any, said: str
) -> None:
    facegan("promote")
    report = read_json(registered.root / REPORTS / "evaluate.json")
    report["protocol"]["pictures"] = "others"
    write_json(registered.root / REPORTS / "evaluate.json", report)
    another(registered, facegan, 10.0)
    found = Registry(registered.server(), "facegan").version(version)
    assert found is not None
    path = registered.root / "mlartifacts" / found.run_id / "artifacts/data/manifest.json"
    manifest = read_json(path)
    assert manifest.pop("split")["scheme"] == "source pixels"
    write_json(path, manifest if split is None else {**manifest, "split": split})
    ended = facegan("promote")
    assert ended.code == 3 and f"version {version} may have been trained on some of the pictures" in ended.out
    assert said in ended.out and champion(registered) == "1"


def test_a_run_is_judged_when_it_was_promoted_or_refused(registered: Project, facegan: Command) -> None:
    """Else a weekly look for new pictures would pass over one that could not be registered."""
    assert not judged(registered)
    facegan("promote")
    assert judged(registered)
    another(registered, facegan, -10.0)
    assert not judged(registered)
    facegan("promote")
    assert judged(registered)
    (registered.root / "dvc.lock").write_text("another run's")
    assert not judged(registered)
    (registered.root / "dvc.lock").unlink()
    assert judged(registered)


def test_when_the_champion_changes_while_it_is_judged_it_is_judged_again(
    registered: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    facegan("promote")
    another(registered, facegan, 10.0)
    another(registered, facegan, 10.0)
    judged: list[str] = []
    judge = module._judged

    def meanwhile(project: Project, registry: Registry, candidate: Any, champion: Any) -> Any:
        judged.append(champion.number)
        if len(judged) == 1:
            assert registry.decide(Decision("promote", "2", "1", ("faster",)), "1")
        return judge(project, registry, candidate, champion)

    monkeypatch.setattr(module, "_judged", meanwhile)
    ended = facegan("promote")
    assert ended.code == 0 and "the champion has changed meanwhile; judging again" in ended.err
    assert judged == ["1", "2"] and "of version 2" in ended.out and champion(registered) == "3"


def test_files_of_the_champion_that_are_gone_do_not_stop_one_that_is_comparable(
    registered: Project, facegan: Command
) -> None:
    facegan("promote")
    for path in (registered.root / "mlartifacts").rglob("generator.onnx"):
        path.unlink()
    another(registered, facegan, 10.0)
    assert facegan("promote").code == 0
    for path in (registered.root / "mlartifacts").rglob("evaluate.json"):
        path.unlink()
    another(registered, facegan, 10.0)
    refused = facegan("promote")
    assert refused.code == 3 and "the scores of version 2 are gone" in refused.out
    assert champion(registered) == "2"
    assert facegan("promote", "--force", "its scores are lost").code == 0


@pytest.mark.parametrize(
    "fault",
    [
        RequestsConnectionError("connection reset by peer"),
        HTTPError("500 Server Error"),
        MlflowException("API request failed: 403"),
        OSError(28, "No space left on device"),
    ],
)
@pytest.mark.parametrize("call", ["download_artifacts", "load_text"])
def test_a_store_that_fails_is_an_error_and_no_decision(
    registered: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch, fault: Exception, call: str
) -> None:
    facegan("promote")
    another(registered, facegan, 10.0)
    before = facegan("models").out

    def fail(*arguments: Any, **more: Any) -> Any:
        raise fault

    with monkeypatch.context() as broken:
        broken.setattr(f"mlflow.artifacts.{call}", fail)
        assert "of version 2 cannot be fetched" in facegan("promote").error
    assert facegan("models").out == before and champion(registered) == "1"
    assert facegan("promote").code == 0  # when it is back


def test_weights_that_were_rolled_back_are_refused_under_any_number(
    registered: Project, facegan: Command, told: list[str]
) -> None:
    facegan("promote")
    another(registered, facegan, 10.0)
    facegan("promote")
    facegan("rollback", "--reason", "it squints")
    assert told[-1].startswith("facegan: rolled back: version 1 is in service again") and "it squints" in told[-1]
    change(registered, data__seed=7)  # another lineage around the same weights
    another(registered, facegan, 20.0)
    refused = facegan("promote")
    assert refused.code == 3 and "version 3 is refused" in refused.out and "it squints" in refused.out
    assert champion(registered) == "1"
    assert facegan("promote", "--force", "we looked again").code == 0


def test_without_a_candidate_or_a_champion_it_is_one_line(finished: Project, facegan: Command) -> None:
    assert "facegan has no version 'candidate'; `facegan register` makes one" in facegan("promote").error
    assert "no version of facegan is in service" in facegan("rollback").error
    assert facegan("models").out == "champion: none\ncandidate: none\n"


@pytest.mark.parametrize("command", ["register", "promote", "rollback", "models"])
def test_a_server_that_is_down_is_one_line(
    finished: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:s3cret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    error = facegan(command).error
    assert "MLflow failed" in error
    assert "s3cret" not in error


def test_outputs_that_are_not_there_are_one_line(finished: Project, facegan: Command) -> None:
    shutil.rmtree(finished.root / EXPORTED)
    assert "is missing; run `dvc repro`" in facegan("register").error


def test_decisions_are_runs_of_an_experiment_of_their_own(registered: Project, facegan: Command) -> None:
    facegan("promote")
    import mlflow

    client = mlflow.MlflowClient(registered.server().uri)
    experiment = client.get_experiment_by_name("facegan decisions")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("promote version 1", "FINISHED")
    assert json.loads(json.dumps(run.data.tags))["facegan.action"] == "promote"
    assert Path(registered.root / "mlartifacts").is_dir()
