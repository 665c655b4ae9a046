"""MLflow as a view: opened by attempt, filled with what it lacks, the same over a database and over HTTP."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facegan.tracking import view
from facegan.tracking.view import MlflowClient, RunView, Server, find_run
from tracking.made import artifacts, held, history, pictures, spec


def test_each_attempt_at_a_lineage_is_one_run_however_often_it_is_opened(server: Server, client: MlflowClient) -> None:
    first, again = RunView(server, spec()), RunView(server, spec(later="yes"))
    second = RunView(server, spec(attempt="another"))
    assert first.run_id == again.run_id != second.run_id
    run = client.get_run(first.run_id)
    assert run.data.params == {"seed": "1", "train.batch": "8", "data.limit": "None"}
    assert run.data.tags["later"] == "yes"
    RunView(server, spec(later="no"))
    assert client.get_run(first.run_id).data.tags["later"] == "yes"  # what is told of it stays


WHOLE = {f"facegan.sha256.{name}": "1" for name in ("generator", "evaluation")}


def test_the_run_of_a_lineage_is_the_oldest_that_is_whole(server: Server) -> None:
    lineage = "9" * 64
    attempts = [RunView(server, spec(lineage, attempt=f"{number}-{server.uri}")) for number in range(4)]
    ids = [attempt.run_id for attempt in attempts]

    def found() -> str:
        run = find_run(server, lineage)
        assert run is not None
        return str(run.info.run_id)

    assert found() == ids[3]
    for attempt in attempts[2:0:-1]:
        attempt.set_tags(WHOLE)
        assert found() == attempt.run_id
    first = find_run(server, lineage)
    assert first is not None
    attempts[0].set_tags(WHOLE)
    attempts[0].same_as(first)
    assert found() == ids[1]


def test_a_whole_run_takes_nothing_that_it_has_in_another_way(
    server: Server, client: MlflowClient, tmp_path: Path
) -> None:
    view = RunView(server, spec())
    view.metrics([("loss", 1, 0.5, 1)])
    view.set_tags(WHOLE)
    view.set_status("FINISHED")
    before = held(client, view.run_id)
    again = RunView(server, spec(another="tag"))
    assert again.whole
    again.metrics([("loss", 1, 0.7, 2)])
    assert held(client, view.run_id) == before
    assert client.get_run(view.run_id).data.tags.get("another") is None


def test_a_run_that_was_deleted_is_made_anew(server: Server, client: MlflowClient) -> None:
    view = RunView(server, spec())
    client.delete_run(view.run_id)
    assert RunView(server, spec()).run_id != view.run_id


def test_an_experiment_that_was_deleted_is_restored(server: Server, client: MlflowClient) -> None:
    first = RunView(server, spec())
    client.delete_experiment(first.experiment_id)
    RunView(server, spec("c" * 64)).metrics([("loss", 1, 0.5, 1)])
    assert client.get_experiment(first.experiment_id).lifecycle_stage == "active"


def test_a_run_that_was_made_twice_is_the_older_one(
    server: Server, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the first request was lost on its way."""
    older = RunView(server, spec())
    first = view._first
    calls: list[object] = []

    def look(*given: Any) -> Any:
        calls.append(given)
        return first(*given) if len(calls) > 1 else None  # before the first request has arrived

    monkeypatch.setattr(view, "_first", look)
    assert RunView(server, spec()).run_id == older.run_id
    assert len(client.search_runs([older.experiment_id], "tags.`facegan.lineage` = '" + "a" * 64 + "'")) == 1


def test_processes_that_open_a_new_database_at_once_make_one_run(tmp_path: Path) -> None:
    code = """
import sys; from pathlib import Path
from facegan.tracking import view
from facegan.tracking.view import RunView, Server
from tracking.made import spec
folder = Path(sys.argv[1])
server = Server(f"sqlite:///{folder}/mlflow.db", "facegan", folder / "mlartifacts", folder / "lock")
print(RunView(server, spec()).run_id)
"""
    tests = Path(__file__).parents[1]
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=tests, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    ids = [process.communicate()[0].strip() for process in processes]
    assert len(set(ids)) == 1 and ids[0]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert Path(client.get_run(ids[0]).info.artifact_uri.removeprefix("file://")).is_relative_to(tmp_path)


def test_rows_stand_once_whoever_sends_them(server: Server, client: MlflowClient) -> None:
    rows = [("loss", step, step / 3, 1000 + step) for step in range(2500)]  # three requests
    view = RunView(server, spec())
    view.metrics(rows[:1500])
    view.metrics(rows)
    RunView(server, spec()).metrics((key, step, value, time + 9) for key, step, value, time in rows)
    assert history(client, view.run_id)["loss"] == [(step, value, time) for _, step, value, time in rows]


def test_a_value_that_is_no_number_is_left_out(server: Server, client: MlflowClient) -> None:
    view = RunView(server, spec())
    view.metrics([("loss", 1, math.nan, 1), ("loss", 2, math.inf, 2), ("loss", 3, 0.5, 3)])
    assert history(client, view.run_id)["loss"] == [(3, 0.5, 3)]


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    Image.new("RGB", (300, 300), (200, 90, 90)).save(tmp_path / "grid.png")
    return tmp_path / "grid.png"


def test_a_picture_stands_once_at_a_step(server: Server, client: MlflowClient, grid: Path) -> None:
    view = RunView(server, spec())
    for step in (0, 1000, 1000):
        view.image("samples", step, grid, 1)
    RunView(server, spec()).image("samples", 1000, grid, 2)
    assert pictures(client, view.run_id) == {
        ("samples", step, ending): 1 for step in (0, 1000) for ending in ("png", "webp")
    }


def test_a_picture_whose_sending_was_cut_short_is_completed(server: Server, client: MlflowClient, grid: Path) -> None:
    view = RunView(server, spec())
    view.image("samples", 7, grid, 1)
    there = artifacts(client, view.run_id)
    (picture,) = [name for name in there if name.endswith(".png")]
    other = RunView(server, spec("c" * 64))  # has the picture, not yet its small copy
    client.log_artifact(other.run_id, str(grid), "images")
    copied = grid.with_name(Path(picture).name)
    grid.rename(copied)
    client.log_artifact(other.run_id, str(copied), "images")
    other.image("samples", 7, copied, 1)
    assert pictures(client, other.run_id) == pictures(client, view.run_id)
    names = {Path(name).name for name in artifacts(client, other.run_id)} - {"grid.png"}
    assert names == {Path(name).name for name in there}  # the small copy is called as MLflow would


def test_files_are_sent_again_only_when_they_differ(server: Server, client: MlflowClient, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("1")
    view = RunView(server, spec())
    view.artifacts(tmp_path, ["a.json"], "metrics")
    for content in ("22", "33"):  # a longer one, and one that is as long
        (tmp_path / "a.json").write_text(content)
        RunView(server, spec()).artifacts(tmp_path, ["a.json"], "metrics")
        there = Path(client.download_artifacts(view.run_id, "metrics/a.json", str(tmp_path)))
        assert there.read_text() == content


def test_long_tags_are_cut_and_sent_once(server: Server, client: MlflowClient) -> None:
    long = spec(**{"facegan.params_yaml": "x" * 9000})
    assert RunView(server, long).run_id == RunView(server, long).run_id
    (tag,) = [run.data.tags["facegan.params_yaml"] for run in client.search_runs([RunView(server, long).experiment_id])]
    assert tag == "x" * 5000
