"""Kills and stops: whatever happens in between, the run ends with the same bytes and stands once in MLflow."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from conftest import Clone, assert_whole, kill_group, wait_for

LONGER = {"train__duration": "6.4 kimg", "train__tick": "0.32 kimg", "train__evaluate_every": "0.64 kimg"}


def stage(process: "subprocess.Popen[str]") -> psutil.Process | None:
    """The training's process below ``dvc``."""
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            if "pipeline.train" in child.cmdline():
                return child
    except psutil.NoSuchProcess:
        pass
    return None


def saved(clone: Clone) -> int:
    """When the training under way last saved its state, 0 before the first time."""
    with contextlib.suppress(FileNotFoundError):
        for path in (clone.root / ".facegan").glob("*/checkpoint.safetensors"):
            return path.stat().st_mtime_ns
    return 0


@pytest.fixture(scope="module")
def uninterrupted(data_ready: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    clone = data_ready.copy(tmp_path_factory.mktemp("uninterrupted") / "clone")
    clone.set(**LONGER)
    clone.repro()
    return clone


def test_killed_at_ten_random_moments_it_ends_with_the_same_bytes(
    data_ready: Clone, uninterrupted: Clone, tmp_path: Path
) -> None:
    clone = data_ready.copy(tmp_path / "clone")
    clone.set(**LONGER)
    clone.environment["FACEGAN_CHECKPOINT_SECONDS"] = "0"  # after every step: many kills fall into a write
    moments = random.Random(20)
    for number in range(10):
        before = saved(clone)
        process = clone.start("dvc", "repro")
        wait_for(lambda process=process: stage(process) or process.poll() is not None)
        trainer = stage(process)
        if trainer is not None:
            if number % 5:  # the others fall while it starts
                wait_for(lambda trainer=trainer, before=before: saved(clone) > before or not trainer.is_running())
            time.sleep(moments.uniform(0.0, 1.0))
            victim = ("training", "dvc", "group")[number % 3]
            if victim == "training" and trainer.is_running():
                trainer.kill()
            elif victim == "dvc":
                process.kill()
                process.wait()
                continue  # at once again, beside the orphan
        kill_group(process)
    log = clone.log() + clone.repro()
    assert log.count("resuming at") >= 5
    assert "starting over" not in log
    for name in ("generator", "generator-last", "discriminator"):
        assert clone.sha(f"models/train/{name}.safetensors") == uninterrupted.sha(f"models/train/{name}.safetensors")
    for name in ("history.csv", "losses.csv"):
        assert clone.sha(f"reports/train/{name}") == uninterrupted.sha(f"reports/train/{name}")
    (run,) = clone.runs()
    assert_whole(clone, run.info.run_id)


WRITES = {
    "a checkpoint": ".facegan/*/.checkpoint.safetensors.partial",
    "a sample grid": ".facegan/*/samples/.*.partial",
    "the weights": "models/.train.partial/*",
    "the history": "reports/.train.partial/*",
    "scores": "reports/.evaluate.partial/*",
    "the export": "models/.export.partial/*",
}


def test_killed_while_something_is_being_written_it_ends_with_the_same_bytes(
    data_ready: Clone, uninterrupted: Clone, tmp_path: Path
) -> None:
    clone = data_ready.copy(tmp_path / "clone")
    clone.set(**LONGER)
    clone.environment["FACEGAN_CHECKPOINT_SECONDS"] = "0"
    for what, pattern in WRITES.items():
        process = clone.start("dvc", "repro")
        until = time.monotonic() + 120
        while not any(clone.root.glob(pattern)):  # without a pause: the moment is short
            assert process.poll() is None and time.monotonic() < until, f"{what} was not seen: {clone.log()}"
        kill_group(process)
    clone.repro()
    for name in ("models/train/generator.safetensors", "reports/train/history.csv", "models/export/generator.onnx"):
        assert clone.sha(name) == uninterrupted.sha(name)
    assert clone.sha("reports/evaluate.json") == uninterrupted.sha("reports/evaluate.json")
    assert not [path for folder in WRITES.values() for path in clone.root.glob(folder)]
    (run,) = clone.runs()
    assert_whole(clone, run.info.run_id)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_saves_fails_the_stage_and_goes_on_at_the_next_repro(
    data_ready: Clone, uninterrupted: Clone, tmp_path: Path, number: signal.Signals
) -> None:
    clone = data_ready.copy(tmp_path / "clone")
    clone.set(**LONGER)
    clone.environment["FACEGAN_CHECKPOINT_SECONDS"] = "1000"  # nothing is saved but by the signal
    process = clone.start("dvc", "repro")
    wait_for(lambda: list((clone.root / ".facegan").glob("*/samples/000000640.png")))
    trainer = stage(process)
    assert trainer is not None
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as Ctrl-C does
    else:
        trainer.send_signal(number)
    assert process.wait(120) != 0
    assert saved(clone)
    (run,) = clone.runs()
    assert run.info.status == "KILLED"
    assert "train:" in clone.run("dvc", "status")
    assert "resuming at" in clone.repro()
    assert clone.sha() == uninterrupted.sha()
    assert_whole(clone, clone.runs()[0].info.run_id)


def test_other_parameters_start_clean_and_name_what_is_unfinished(data_ready: Clone, tmp_path: Path) -> None:
    clone = data_ready.copy(tmp_path / "clone")
    clone.set(**LONGER)
    clone.environment["FACEGAN_CHECKPOINT_SECONDS"] = "0"
    process = clone.start("dvc", "repro", "train")
    wait_for(lambda: saved(clone))
    kill_group(process)
    clone.set(seed=5, train__duration="0.32 kimg")
    output = clone.repro("train")
    assert "unfinished trainings under other parameters" in output
    assert "resuming at" not in output
