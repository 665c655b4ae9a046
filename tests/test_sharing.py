"""Several processes come to what one comes to, in the same order; a real torchrun starts them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from facegan.errors import FaceganError
from facegan.repository.distributed import several
from facegan.sharing import ALONE, Processes

SHARING = """
import sys
from pathlib import Path
import torch
from facegan.repository.distributed import several

done = []

def work(job):
    done.append(job)
    return {"square": torch.tensor([job * job]), "bytes": torch.full((job, 2), job, dtype=torch.uint8).T}

with several("none") as processes:
    found = [(int(part["square"]), part["bytes"].tolist()) for part in processes.share(range(int(sys.argv[1])), work)]
    first = processes.first(processes.rank == 0), processes.first(processes.rank == 1)
Path(sys.argv[2], str(processes.rank)).write_text(repr((done, found, first)))
"""


def test_one_of_three_that_ends_at_its_start_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have met by then."""
    (tmp_path / "third.py").write_text(
        "import os, sys\nfrom facegan.repository.distributed import several\n"
        "if os.environ['RANK'] == '2':\n    sys.exit('error: no such luck')\n"
        "with several('third') as processes:\n    pass\n"
    )
    monkeypatch.setenv("FACEGAN_PROCESSES", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(FaceganError, match="third: process 3 of 3 failed: no such luck"), several("third"):
        pass


def test_alone_it_is_a_loop() -> None:
    parts = list(ALONE.share([1, 2, 3], lambda job: {"double": torch.tensor(2 * job)}))
    assert [int(part["double"]) for part in parts] == [2, 4, 6]
    assert ALONE.first(True) and not ALONE.first(False) and Processes() == ALONE


@pytest.mark.parametrize("jobs", [1, 7])
def test_each_does_a_part_and_all_get_everything_in_order(jobs: int, tmp_path: Path) -> None:
    script = tmp_path / "share.py"
    script.write_text(SHARING)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
    subprocess.run([*launch, script, str(jobs), tmp_path], check=True, timeout=120)
    expected = [(job * job, [[job] * job] * 2) for job in range(jobs)]
    for rank in range(3):
        done, found, first = eval((tmp_path / str(rank)).read_text())
        assert done == list(range(rank, jobs, 3))
        assert found == expected
        assert first == (True, False)
