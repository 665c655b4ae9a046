"""What needs labels or many training pictures, in several processes: the same numbers as in one."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import hashlib, sys
from pathlib import Path
import torch
from evaluation.doubles import colours, noise
from facegan.data.labels import Labels
from facegan.evaluation import labels, memorization
from facegan.evaluation.kernel import kernel_distance
from facegan.evaluation.reference import reference
from facegan.repository.distributed import several
from facegan.sharing import CPU, Compute

labels.STEPS, memorization.BATCH = 6, 40
with several("none") as processes:
    compute = Compute(CPU, processes)
    images = noise(150, 1, 32)
    known = Labels({"hair": ["red", "blue"], "eyes": ["a", "b", "c"]}, torch.arange(300).view(150, 2) % 3 % 2)
    network = labels.train_classifier(images, known, 1, compute)
    near = memorization.nearest(images[:30], images[20:], compute)
    found = [*network.state_dict().values(), near.distance, near.index]
    about = hashlib.sha256(b"".join(value.numpy().tobytes() for value in found)).hexdigest()
    about += repr(labels.label_accuracy(network, images, known.table, images, known, compute))
    for _ in range(2):  # the second time from the cache, which the first process alone has
        cache = Path(sys.argv[1] + "-cache", str(processes.rank))
        real = reference(images, colours(), 60, 1, cache, ["a"], "", lambda count: None, processes)
        tensors = (real.everything.mean, real.second.covariance, real.features_first, real.second_places)
        about += hashlib.sha256(b"".join(value.numpy().tobytes() for value in tensors)).hexdigest()
    about += repr(kernel_distance(images[:70].flatten(1).float(), images[70:].flatten(1).float(), 1, compute))
Path(sys.argv[1], str(processes.rank)).write_text(about)
"""


def test_any_number_of_processes_has_one_result(tmp_path: Path) -> None:
    (tmp_path / "share.py").write_text(SCRIPT)
    found = set()
    for count in (1, 2, 3):
        out = tmp_path / str(count)
        out.mkdir()
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
        subprocess.run([*launch, tmp_path / "share.py", out], check=True, timeout=300, env=environment)
        assert len(list(out.iterdir())) == count
        assert [path.parent.name for path in Path(f"{out}-cache").rglob("*.safetensors")] == ["0"]
        found |= {path.read_text() for path in out.iterdir()}
    assert len(found) == 1
