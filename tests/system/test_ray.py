"""A study on a real Ray cluster of two nodes on this machine, one of which is killed in the middle of a training."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import Clone, wait_for
from servers import free_port, mlflow_server, serving

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster

IMAGES = 6400  # seconds of training


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Cluster, str]]:
    port = free_port()
    head = {"num_cpus": 0, "ray_client_server_port": port, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        found.add_node(num_cpus=1)
    found.wait_for_nodes()
    yield found, f"ray://127.0.0.1:{port}"
    found.shutdown()


@pytest.fixture
def clone(data_ready: Clone, tmp_path: Path) -> Iterator[Clone]:
    """With an MLflow server, and a DVC remote that nothing was pushed to."""
    clone = data_ready.copy(tmp_path / "clone")
    port = free_port()
    with serving(mlflow_server(tmp_path, port), port, tmp_path / "mlflow.log"):
        clone.environment |= {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
            "FACEGAN_CHECKPOINT_SECONDS": "0",
        }
        clone.run("dvc", "remote", "add", "-q", "-d", "team", str(tmp_path / "remote"))
        clone.run("git", "commit", "-q", "-am", "a remote")
        yield clone


def study(address: str, *more: str) -> list[str]:
    return [
        *("facegan", "study", "--search", "train.lr_generator=1e-4,2e-4", "--images", str(IMAGES), "--on", address),
        *more,
    ]


def node_that_trains(cluster: Cluster) -> object | None:
    """Whose raylet is the parent of an actor that has started a training."""
    for node in cluster.worker_nodes:
        (raylet,) = node.all_processes["raylet"]
        try:
            family = psutil.Process(raylet.process.pid).children(recursive=True)
            if any("pipeline.train" in " ".join(member.cmdline()) for member in family):
                return node
        except psutil.Error:
            continue
    return None


def test_a_study_goes_on_where_a_node_is_lost(cluster: tuple[Cluster, str], clone: Clone, tmp_path: Path) -> None:
    nodes, address = cluster
    state = tmp_path / "state"
    process = clone.start(*study(address, "--state", str(state)))
    wait_for(lambda: process.poll() is not None or list(state.glob(".facegan/*/checkpoint.safetensors")), 300)
    assert process.poll() is None, clone.log()[-3000:]
    node = node_that_trains(nodes)
    assert node is not None
    nodes.remove_node(node, allow_graceful=False)
    assert process.wait(600) == 0, clone.log()
    assert "its node was lost; it starts again on another one" in clone.log(), clone.log()
    logs = "".join(path.read_text() for path in (clone.root / "study").glob("*.log"))
    assert re.search(r"resuming at [\d.]+ kimg", logs), logs
    results = list((clone.root / "study").glob("*.png"))
    assert len(results) == 2 and (clone.root / "study/index.html").is_file()
    names = clone.run("dvc", "exp", "list", "--name-only").split()
    assert len(names) == 2
    whole = [run for run in clone.runs() if run.info.status == "FINISHED" and "seed" in run.data.params]
    assert {run.data.params["train.lr_generator"] for run in whole} == {"0.0001", "0.0002"}
    assert all("fd_face" in run.data.metrics or "score" in run.data.metrics for run in whole)
    clone.run("dvc", "exp", "apply", next(name for name in names if name.startswith("study-")))
    assert (clone.root / "models/export/generator.onnx").is_file()
    again = clone.run(*study(address), timeout=300)
    assert again.count("fd_face") and "starts again" not in again  # nothing is trained twice


def test_what_a_cluster_needs_is_one_line(clone: Clone) -> None:
    nowhere = f"ray://127.0.0.1:{free_port()}"
    assert clone.run(*study(nowhere), code=1).strip().splitlines()[-1].startswith(f"error: study: --on {nowhere}: ")
    both = clone.run(*study(nowhere, "--devices", "cpu"), code=1)
    assert both.splitlines()[-1].startswith("error: study: --devices are those of this machine")
    clone.run("dvc", "remote", "remove", "team")
    assert "`dvc remote add -d` makes one" in clone.run(*study(nowhere), code=1).splitlines()[-1]
    del clone.environment["MLFLOW_TRACKING_URI"]
    assert "set MLFLOW_TRACKING_URI" in clone.run(*study(nowhere), code=1).splitlines()[-1]
    alone = clone.run("facegan", "study", "--images", "100", "--state", "x", code=1)
    assert alone.splitlines()[-1] == "error: study: --state goes with --on"
