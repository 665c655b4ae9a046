"""A SLURM cluster of two nodes on this machine: the real controller and daemons."""

import getpass
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import free_port

CONFIG = """
ClusterName=test
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={control}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/control.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/control.log
SlurmdLogFile={folder}/%n.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=1,batch_sched_delay=1,sched_interval=1
GresTypes=gpu
NodeName=node[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports} CPUs={cores} Gres=gpu:1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
DAEMONS = ("munged", "slurmctld", "slurmd")


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found, f"{name} is missing: apt-get install slurm-wlm munge"
    return found


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Gives the environment in which ``sbatch`` finds it. What the nodes claim as a GPU is none."""
    munged, slurmctld, slurmd = map(_tool, DAEMONS)
    for name in ("munge", "state", "node1", "node2"):
        (folder / name).mkdir(parents=True, mode=0o755)
    control, first = free_port(), free_port()
    config = folder / "slurm.conf"
    config.write_text(
        CONFIG.format(
            user=getpass.getuser(),
            folder=folder,
            cores=os.cpu_count(),
            control=control,
            ports=f"[{first}-{first + 1}]",
        )
    )
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    key = folder / "munge/key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    places = [f"--{name}={folder}/munge/{name}" for name in ("socket", "pid-file", "log-file", "seed-file")]
    commands = [
        [munged, "--force", "--foreground", f"--key-file={key}", *places],
        [slurmctld, "-D", "-f", str(config)],
        [slurmd, "-D", "-f", str(config), "-N", "node1"],
        [slurmd, "-D", "-f", str(config), "-N", "node2"],
    ]
    started = []
    try:
        with (folder / "daemons.log").open("w") as log:
            for command in commands:
                started.append(subprocess.Popen(command, stdout=log, stderr=log))
                time.sleep(0.5)
        environment = {"SLURM_CONF": str(config)}
        deadline = time.monotonic() + 60
        while _states(environment) != ["idle"]:
            ended = any(process.poll() is not None for process in started)
            assert not ended and time.monotonic() < deadline, (folder / "daemons.log").read_text()[-2000:]
            time.sleep(0.5)
        yield environment
        subprocess.run(["scancel", f"--user={getpass.getuser()}"], env={**os.environ, **environment}, check=True)
        while subprocess.run(["squeue", "--noheader"], env={**os.environ, **environment}, capture_output=True).stdout:
            time.sleep(0.5)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)


def _states(environment: dict[str, str]) -> list[str]:
    command = ["sinfo", "--noheader", "--format=%t"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    return done.stdout.split()
