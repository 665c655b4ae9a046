"""The files of deploy/ that start a training on several machines: on two nodes of a real SLURM, and by the command of
the Kubernetes job, in as many processes as it has pods."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonpatch
import kubernetes_validate
import pytest
from conftest import REPOSITORY, Clone, assert_whole, kill_group, to_share, wait_for
from ruamel.yaml import YAML
from servers import free_port
from slurm import cluster

KUBERNETES = REPOSITORY / "deploy/kubernetes"
VERSION = "1.33"  # of Kubernetes, in which all that is used is stable


@pytest.fixture(scope="module")
def alone(data_ready: Clone, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SHA-256 of what one process trains."""
    clone = to_share(data_ready, tmp_path_factory.mktemp("alone") / "clone")
    clone.run("python", "-m", "pipeline.train")
    return clone.sha()


@pytest.fixture
def clone(data_ready: Clone, tmp_path: Path) -> Clone:
    return to_share(data_ready, tmp_path / "clone")


def goes_on(clone: Clone, since: float) -> bool:
    """Whether a training has saved a state since then, in seconds since the epoch."""
    return any(path.stat().st_mtime > since for path in (clone.root / ".facegan").glob("*/checkpoint.safetensors"))


# SLURM


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def state(clone: Clone, job: str) -> str:
    return re.findall(r"JobState=(\w+)", clone.run("scontrol", "show", "job", job))[0]


def begin_now(clone: Clone, job: str) -> None:
    """SLURM lets two minutes pass before it starts a job again."""
    wait_for(lambda: state(clone, job) == "PENDING", 60)
    clone.run("scontrol", "update", f"JobId={job}", "StartTime=now")


ENDED = ("FAILED", "COMPLETED", "CANCELLED", "TIMEOUT")


def test_a_slurm_job_whose_time_is_up_or_that_is_preempted_resumes_and_ends_with_the_same_bytes(
    slurm: dict[str, str], alone: str, clone: Clone
) -> None:
    clone.environment |= slurm
    options = ("--parsable", "--nodes=2", "--gpus-per-node=1", "--cpus-per-task=1")
    job = clone.run("sbatch", *options, "deploy/slurm/train.sbatch").strip()
    log = clone.root / f"facegan-{job}.log"
    wait_for(lambda: goes_on(clone, 0) or state(clone, job) in ENDED, 180)
    clone.run("scancel", "--batch", "--signal=USR1", job)  # what --signal=B:USR1 sends
    wait_for(lambda: "queued again" in log.read_text() or state(clone, job) in ENDED, 60)
    assert "its state is saved" in log.read_text(), log.read_text()
    before = time.time()
    begin_now(clone, job)
    wait_for(lambda: goes_on(clone, before) or state(clone, job) in ENDED, 180)
    clone.run("scontrol", "requeue", job)  # what a preemption does
    begin_now(clone, job)
    wait_for(lambda: state(clone, job) in ENDED, 400)
    text = log.read_text()
    assert state(clone, job) == "COMPLETED" and "Restarts=2" in clone.run("scontrol", "show", "job", job), text
    assert text.count("in 2 processes") == 3 and text.count("resuming at") == 2, text
    assert clone.sha() == alone
    (run,) = clone.runs()
    assert_whole(clone, run.info.run_id)
    assert "up to date" in clone.run("dvc", "status")


# Kubernetes


def documents() -> list[dict[str, Any]]:
    """What `kubectl apply -k` of the base sends."""
    yaml = YAML(typ="safe")
    base = yaml.load((KUBERNETES / "base/kustomization.yaml").read_text())
    return [
        document for name in base["resources"] for document in yaml.load_all((KUBERNETES / "base" / name).read_text())
    ]


def patched(overlay: str) -> list[dict[str, Any]]:
    """The same of an overlay, whose patches are JSON patches (RFC 6902)."""
    yaml = YAML(typ="safe")
    custom = yaml.load((KUBERNETES / f"overlays/{overlay}/kustomization.yaml").read_text())
    assert custom["resources"] == ["../../base"]
    found = documents()
    for patch in custom["patches"]:
        (place,) = [
            place
            for place, document in enumerate(found)
            if (document["kind"], document["metadata"]["name"]) == (patch["target"]["kind"], patch["target"]["name"])
        ]
        found[place] = jsonpatch.apply_patch(found[place], yaml.load(patch["patch"]))
    return found


@pytest.mark.parametrize("overlay", [None, *sorted(path.name for path in (KUBERNETES / "overlays").iterdir())])
def test_manifests_are_valid_and_hang_together(overlay: str | None) -> None:
    found = patched(overlay) if overlay else documents()
    for document in found:
        kubernetes_validate.validate(document, VERSION, strict=True)
    names = {(document["kind"], document["metadata"]["name"]) for document in found}
    assert len(names) == len(found)
    for document in found:
        if not (pod := document["spec"].get("template", {}).get("spec") if "spec" in document else None):
            continue
        assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
        for volume in pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names
        (container,) = pod["containers"]
        assert re.search(r":\d+\.\d+", container["image"])
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        config, secret = container["envFrom"]
        assert ("ConfigMap", config["configMapRef"]["name"]) in names and secret["secretRef"]["optional"]


def job(overlay: str | None = None) -> dict[str, Any]:
    (found,) = [each for each in (patched(overlay) if overlay else documents()) if each["kind"] == "Job"]
    return found


def test_the_pods_of_a_job_find_each_other() -> None:
    """By the name that a headless service gives the first pod of an indexed job."""
    service = next(
        each for each in documents() if each["metadata"]["name"] == "facegan-train" and each["kind"] == "Service"
    )
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"]
    spec = job()["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert env["FIRST"] == f"{job()['metadata']['name']}-0.{spec['template']['spec']['subdomain']}"
    assert int(env["MACHINES"]) == spec["completions"] == spec["parallelism"]
    gpus = job("gpu")["spec"]["template"]["spec"]["containers"][0]
    of_gpus = {entry["name"]: entry["value"] for entry in gpus["env"]}
    assert int(of_gpus["FACEGAN_PROCESSES"]) == gpus["resources"]["limits"]["nvidia.com/gpu"]


def test_the_command_of_the_pods_trains_as_one_though_a_pod_is_lost(alone: str, clone: Clone) -> None:
    container = job()["spec"]["template"]["spec"]["containers"][0]
    port = free_port()  # 29500 may be taken on this machine
    command = [part.replace("29500", str(port)) for part in container["command"]]
    env = {entry["name"]: entry["value"] for entry in container["env"]} | {"FIRST": "127.0.0.1"}

    def pod(index: int) -> "subprocess.Popen[str]":
        clone.environment |= env | {"JOB_COMPLETION_INDEX": str(index)}
        return clone.start(*command)

    other, first = pod(1), pod(0)
    try:
        wait_for(lambda: goes_on(clone, 0) or first.poll() is not None, 180)
        assert first.poll() is None, clone.log()
        kill_group(first)  # its machine is gone
        time.sleep(1)
        assert other.poll() is None, clone.log()
        first = pod(0)  # the job starts it again
        assert first.wait(400) == 0, clone.log()
        assert other.poll() is None  # the first one ends the job, and Kubernetes the others
        other.terminate()
        assert other.wait(30) == 143
    finally:
        for process in (first, other):
            kill_group(process)
    assert clone.log().count("resuming at") == 1
    assert clone.sha() == alone
    assert len(clone.runs()) == 1
