"""Several processes train as one: the same bytes as one process, whatever is killed, and however many go on."""

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import Clone, kill_group, to_share, wait_for

OUTPUTS = (
    "models/train/generator.safetensors",
    "models/train/generator-last.safetensors",
    "models/train/discriminator.safetensors",
    "reports/train/history.csv",
    "reports/train/losses.csv",
)
STAGE = ("python", "-m", "pipeline.train")


def torchrun(count: int, *options: str) -> list[str]:
    launch = ["torchrun", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", *options]
    return [*launch, "--nproc-per-node", str(count), "-m", "pipeline.train"]


@pytest.fixture(scope="module")
def alone(data_ready: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """What one process leaves that nothing disturbs."""
    clone = to_share(data_ready, tmp_path_factory.mktemp("alone") / "clone")
    clone.run(*STAGE)
    return clone


@pytest.fixture
def clone(data_ready: Clone, tmp_path: Path) -> Clone:
    return to_share(data_ready, tmp_path / "clone")


def trainers(process: "subprocess.Popen[str]") -> dict[int, psutil.Process]:
    """The processes of a training below ``process``, itself among them, by rank."""
    found = {}
    family = [psutil.Process(process.pid)]
    family += family[0].children(recursive=True)
    for member in family:
        try:
            if "pipeline.train" in member.cmdline() and "torchrun" not in " ".join(member.cmdline()):
                found[int(member.environ().get("RANK", "0"))] = member
        except psutil.Error:
            continue
    return found


def checkpoints(clone: Clone) -> list[Path]:
    return list((clone.root / ".facegan").glob("*/checkpoint.safetensors"))


def under_way(clone: Clone, process: "subprocess.Popen[str]", count: int) -> dict[int, psutil.Process]:
    """Its trainers, once they have gone on for a while."""
    before = max((path.stat().st_mtime_ns for path in checkpoints(clone)), default=0)
    wait_for(
        lambda: process.poll() is not None or any(path.stat().st_mtime_ns > before for path in checkpoints(clone)), 120
    )
    assert process.poll() is None, clone.log()
    found = trainers(process)
    assert len(found) == count, found
    return found


def leaves_nobody(process: "subprocess.Popen[str]", family: list[psutil.Process]) -> None:
    began = time.monotonic()
    process.wait(60)
    _, alive = psutil.wait_procs(family, 60)
    assert not alive and time.monotonic() - began < 60, alive


def test_killed_and_gone_on_with_any_number_it_ends_with_the_bytes_of_one(alone: Clone, clone: Clone) -> None:
    for count in (1, 4):
        clone.environment["FACEGAN_PROCESSES"] = str(count)
        process = clone.start(*STAGE)
        family = list(under_way(clone, process, count).values())
        kill_group(process)
        leaves_nobody(process, family)
    clone.environment["FACEGAN_PROCESSES"] = "2"
    assert "in 2 processes" in clone.repro("train")
    assert clone.log().count("resuming at") == 1
    assert [clone.sha(name) for name in OUTPUTS] == [alone.sha(name) for name in OUTPUTS]


FAULTS: dict[str, Callable[["subprocess.Popen[str]", dict[int, psutil.Process]], None]] = {
    "SIGTERM to the first": lambda process, ranks: ranks[0].terminate(),
    "SIGTERM to another": lambda process, ranks: ranks[1].terminate(),
    "SIGTERM to torchrun": lambda process, ranks: process.terminate(),
    "the first killed": lambda process, ranks: ranks[0].kill(),
    "another killed": lambda process, ranks: ranks[1].kill(),
    "torchrun killed": lambda process, ranks: process.kill(),
}


def test_whatever_ends_one_ends_all_and_the_next_start_goes_on(alone: Clone, clone: Clone) -> None:
    for fault in FAULTS.values():
        process = clone.start(*torchrun(2))
        ranks = under_way(clone, process, 2)
        fault(process, ranks)
        leaves_nobody(process, list(ranks.values()))
        assert process.returncode != 0
    clone.run(*STAGE)
    assert clone.log().count("resuming at") == len(FAULTS) - 1
    assert [clone.sha(name) for name in OUTPUTS] == [alone.sha(name) for name in OUTPUTS]


def test_torchrun_starts_all_again_when_one_dies(alone: Clone, clone: Clone) -> None:
    process = clone.start(*torchrun(2, "--max-restarts", "2"))
    under_way(clone, process, 2)[1].kill()
    assert process.wait(300) == 0, clone.log()
    assert "resuming at" in clone.log()
    assert [clone.sha(name) for name in OUTPUTS] == [alone.sha(name) for name in OUTPUTS]


def test_processes_with_other_parameters_are_told_so(clone: Clone, tmp_path: Path) -> None:
    """Each joins from a checkout of its own, as on several machines."""
    other = clone.copy(tmp_path / "other")
    other.set(seed=7)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
    started = []
    for rank, place in enumerate((clone, other)):
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "RANK": str(rank)}
        place.environment |= meeting
        started.append(place.start(*STAGE))
    assert [process.wait(120) for process in started] == [1, 1]
    for place in (clone, other):
        (line,) = place.log().strip().splitlines()
        assert line == (
            "error: training: process 2 of 2 has other code, data or parameters than the first; "
            "check out the same commit and run `dvc pull` on every machine"
        )
    assert not (clone.root / "models").exists() and not (clone.root / ".facegan/locks").exists()


def test_a_port_that_is_taken_is_one_line(clone: Clone) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        clone.environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "RANK": "0"}
        said = clone.run(*STAGE, code=1)
    assert f"error: pipeline.train: the 2 processes cannot meet at 127.0.0.1:{port}: " in said
    assert "Traceback" not in said and "in use" in said


def test_what_the_first_one_fails_of_is_told_alone_and_ends_all(clone: Clone) -> None:
    """The others wait for it by then."""
    clone.environment |= {"FACEGAN_PROCESSES": "2", "FACEGAN_CHECKPOINT_SECONDS": "soon"}
    said = clone.run(*STAGE, code=1, timeout=60)
    assert said.splitlines()[-1] == "error: FACEGAN_CHECKPOINT_SECONDS: 'soon' should be a number of seconds"
    assert "Traceback" not in said


def test_processes_that_cannot_share_a_batch_are_refused_before_any_work(clone: Clone) -> None:
    clone.environment["FACEGAN_PROCESSES"] = "8"
    assert clone.run(*STAGE, code=1).strip() == (
        "error: train: 8 processes cannot share 4 microbatches of 4 pictures; set train.microbatch to 2, or start fewer"
    )
