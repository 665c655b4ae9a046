"""MLflow as a view: deleted, elsewhere, down or slow, the run is whole afterwards."""

import os
import shutil
import signal
import statistics
import subprocess
from pathlib import Path

from conftest import Clone, assert_no_row_twice, assert_whole, kill_group, wait_for
from servers import free_port, mlflow_server, serving
from tracking.made import held


def test_a_lost_database_and_working_state_are_rebuilt_by_record(finished: Clone, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    for name in (".facegan", "mlartifacts"):
        shutil.rmtree(clone.root / name)
    (clone.root / "mlflow.db").unlink()
    clone.run("facegan", "record")
    (run,) = clone.runs()
    assert_whole(clone, run.info.run_id)
    clone.run("facegan", "record")  # again: nothing is added
    (run,) = clone.runs()
    assert_whole(clone, run.info.run_id)


def test_another_clone_pulls_and_has_the_run_too(finished: Clone, tmp_path: Path) -> None:
    source = finished.copy(tmp_path / "source")
    source.run("dvc", "remote", "add", "-d", "team", str(tmp_path / "remote"))
    source.run("git", "commit", "-aqm", "a remote for the team")
    source.run("dvc", "push")
    other = Clone(tmp_path / "other")
    subprocess.run(["git", "clone", "-q", source.root, other.root], check=True)
    other.run("dvc", "pull")
    assert "up to date" in other.run("dvc", "status")
    other.run("facegan", "record")
    (run,) = other.runs()
    assert_whole(other, run.info.run_id)
    assert run.data.tags["facegan.lineage"] == finished.runs()[0].data.tags["facegan.lineage"]


def test_a_flipped_parameter_and_back_shows_two_runs_each_with_its_numbers(finished: Clone, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    (first,) = clone.runs()
    clone.set(train__lr_generator=1e-3)
    clone.repro()
    clone.set(train__lr_generator=2e-4)
    assert "Running stage 'train'" not in clone.repro()  # from DVC's run cache
    runs = {run.data.params["train.lr_generator"]: run for run in clone.runs()}
    assert len(runs) == len(clone.runs()) == 2
    assert_whole(clone, first.info.run_id)
    assert runs["0.001"].data.metrics["fd_face"] != runs["0.0002"].data.metrics["fd_face"]


def test_another_evaluation_is_a_new_row_without_training_again(finished: Clone, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    clone.set(evaluate__generated=30)
    assert "Running stage 'train'" not in clone.repro()
    assert len(clone.runs()) == 2
    (new,) = [run for run in clone.runs() if run.data.params["evaluate.generated"] == "30"]
    assert_whole(clone, new.info.run_id)


def test_experiments_queued_or_not_end_in_the_one_database(finished: Clone, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    clone.run("dvc", "exp", "run", "-n", "here", "-S", "seed=2")
    clone.run("dvc", "exp", "run", "-n", "first", "--queue", "-S", "seed=3")
    clone.run("dvc", "exp", "run", "-n", "second", "--queue", "-S", "seed=4")
    workers = clone.start("dvc", "queue", "start", "-j", "2")  # a worker of DVC's may stay for ever when another ends
    wait_for(
        lambda: all(f"/{name}\n" in clone.run("git", "for-each-ref", "refs/exps") for name in ("first", "second")), 300
    )
    kill_group(workers)
    by_seed = {run.data.params["seed"]: run for run in clone.runs()}
    assert sorted(by_seed) == ["1", "2", "3", "4"]
    clone.run("dvc", "exp", "apply", "first")
    assert "up to date" in clone.run("dvc", "status")
    assert_whole(clone, by_seed["3"].info.run_id)
    clone.repro()
    assert len(clone.runs()) == 4
    assert all(run.info.status == "FINISHED" for run in clone.runs())


def test_a_server_that_goes_and_comes_back_loses_nothing_and_slows_nothing(data_ready: Clone, tmp_path: Path) -> None:
    clone = data_ready.copy(tmp_path / "clone")
    port = free_port()
    clone.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
    clone.set(train__duration="96 kimg", train__tick="0.96 kimg", train__evaluate_every="96 kimg")
    (tmp_path / "server").mkdir()
    server = mlflow_server(tmp_path / "server", port)

    def ticks() -> int:
        return len(list(clone.root.glob(".facegan/*/samples/*.png")))

    with serving(server, port, tmp_path / "server.log"):
        process = clone.start("dvc", "repro")
        wait_for(lambda: clone.runs() and len(clone.runs()[0].data.metrics) > 5, 120)
    stopped = ticks()
    assert 0 < stopped < 80  # in the middle
    wait_for(lambda: ticks() >= stopped + 10, 120)
    back = ticks()
    assert back < 100
    with serving(server, port, tmp_path / "server.log"):
        assert process.wait(300) == 0, clone.log()
        (run,) = clone.runs()
        assert_whole(clone, run.info.run_id)
        rates = clone.client().get_metric_history(run.info.run_id, "images_per_second")
    assert len(rates) == 100
    by_step = [rate.value for rate in sorted(rates, key=lambda rate: rate.step)]
    without = statistics.median(by_step[stopped : back - 1])
    beside = [statistics.median(part) for part in (by_step[:stopped], by_step[back:])]
    assert without > 0.7 * min(beside)  # a machine's noise, no more


def test_a_server_that_never_answers_costs_no_training_and_leaves_no_gap(data_ready: Clone, tmp_path: Path) -> None:
    clone = data_ready.copy(tmp_path / "clone")
    port = free_port()
    clone.environment["MLFLOW_TRACKING_URI"] = f"http://somebody:secret@127.0.0.1:{port}"
    output = clone.run("dvc", "repro", code=None)
    assert "MLflow failed" in output
    assert "secret" not in output
    assert clone.sha()  # trained, evaluated, exported
    assert "secret" not in "".join(path.read_text() for path in (clone.root / ".facegan").rglob("*.json*"))
    (tmp_path / "server").mkdir()
    with serving(mlflow_server(tmp_path / "server", port), port, tmp_path / "server.log"):
        clone.repro()  # record alone is left to do
        (run,) = clone.runs()
        assert_whole(clone, run.info.run_id)
        rates = clone.client().get_metric_history(run.info.run_id, "images_per_second")
        assert len(rates) == 6  # what only the journal knew came too
        assert_no_row_twice(clone, run.info.run_id)
        assert not list((clone.root / ".facegan/outbox").iterdir())


def test_a_training_that_is_forced_on_a_finished_run_leaves_that_as_it_was(finished: Clone, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    clone.run("facegan", "register")
    (run,) = clone.runs()
    before = held(clone.client(), run.info.run_id)
    clone.run("git", "commit", "-q", "--allow-empty", "-m", "a colleague's")
    clone.environment["FACEGAN_CHECKPOINT_SECONDS"] = "0"  # so that it takes a while
    process = clone.start("dvc", "repro", "--force", "--single-item", "train")
    wait_for(lambda: "/ 1.0 kimg" in clone.log(), 120)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    process.wait(60)
    wait_for(lambda: {each.info.status for each in clone.runs()} == {"FINISHED", "KILLED"}, 60)
    assert held(clone.client(), run.info.run_id) == before
    assert "resuming at" in clone.repro("--force", "--single-item", "train")  # and it comes to the same bytes
    (other,) = [each for each in clone.runs() if each.info.run_id != run.info.run_id]
    assert (other.info.status, other.data.tags["facegan.same_as"]) == ("FINISHED", run.info.run_id)
    assert held(clone.client(), run.info.run_id) == before
    assert run.info.run_name in clone.run("facegan", "compare")
    assert "same as" not in clone.run("facegan", "compare")


def test_records_at_once_from_one_clone_and_from_copies_of_it_leave_one_run_that_stands(
    finished: Clone, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "server").mkdir()
    clones = [finished.copy(tmp_path / name) for name in ("one", "two")]
    for clone in clones:
        clone.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
    with serving(mlflow_server(tmp_path / "server", port), port, tmp_path / "server.log"):
        processes = [clone.start("facegan", "record") for clone in (clones[0], clones[0], clones[1])]
        assert [process.wait(300) for process in processes] == [0, 0, 0]
        runs = clones[0].runs()
        (standing,) = [run for run in runs if "facegan.same_as" not in run.data.tags]
        assert len(runs) <= 2
        for run in runs:
            assert_whole(clones[0], run.info.run_id)
            assert_no_row_twice(clones[0], run.info.run_id)
        for clone in clones:
            assert standing.info.run_id in clone.run("facegan", "record")
        assert len(clones[0].runs()) == len(runs)
