"""Two people, one server on PostgreSQL, a network that loses one request in five, and commands that are killed.

Both train, record, register and promote at once: `pytest tests/system/campaign_two_clones.py`. Hours: MLflow's client
waits for seconds after every request that it lost.
"""

import random
import re
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Clone, assert_no_row_twice, assert_whole, kill_group, make_clone
from faulty_proxy import FaultyProxy
from servers import free_port, mlflow_server, postgresql, serving

TRAININGS = 10  # of each clone; every third is of a seed that the other one has too
SETTING = {
    "promotion__model": "faces",
    "promotion__score": "fd_random",
    "promotion__max_memorization": None,  # too few pictures are held out to ask for copies
    "promotion__min_improvement": 0.0,
}
LOST = ("refused", "reset")  # before the server has seen it, and after it has done it


def until_done(clone: Clone, chance: random.Random, deadly: float, codes: tuple[int, ...], *command: str) -> str:
    """Run a command again until it ends with one of ``codes``; each try is killed with chance ``deadly``.

    Gives what the last try said.
    """
    for _ in range(25):
        begins = len(clone.log()) if clone.root.with_name(f"{clone.root.name}.log").is_file() else 0
        process = clone.start(*command)
        if chance.random() < deadly:
            try:
                process.wait(chance.uniform(1, 40))
            except subprocess.TimeoutExpired:
                kill_group(process)
                process.wait()
                continue
        if process.wait(600) in codes:
            return clone.log()[begins:]
        said = clone.log()[begins:]
        assert "Traceback" not in said, said[-3000:]
        time.sleep(1)
    raise AssertionError(f"{command} did not get through: {clone.log()[-3000:]}")


def work(clone: Clone, server: str, seeds: list[int], number: int) -> list[str]:
    """The runs of the trainings, each looked at when it was recorded, without the faulty network."""
    chance = random.Random(number)
    plainly = replace(clone, environment={**clone.environment, "MLFLOW_TRACKING_URI": server})
    runs = []
    for seed in seeds:
        clone.set(seed=seed)
        said = until_done(clone, chance, 0.5, (0,), "dvc", "repro")
        clone.run("git", "add", "-A")
        clone.run("git", "commit", "-q", "-m", f"seed {seed}")
        (run_id,) = set(re.findall(r"run ([0-9a-f]{32})", said.rpartition("record: ")[2]))
        assert_whole(plainly, run_id)
        assert plainly.client().get_run(run_id).data.params["seed"] == str(seed)
        runs.append(run_id)
        until_done(clone, chance, 0.3, (0,), "facegan", "register")
        until_done(clone, chance, 0.3, (0, 3), "facegan", "promote")
    return runs


@pytest.fixture
def clones(tmp_path: Path) -> list[Clone]:
    first = make_clone(tmp_path / "first", **SETTING)
    first.repro("preprocess")
    return [first, first.copy(tmp_path / "second")]


def test_two_clones_on_a_bad_network(clones: list[Clone], tmp_path: Path) -> None:
    folder, port, chance = tmp_path / "server", free_port(), random.Random(1)
    seeds = [[index if index % 3 == 0 else 100 * (clone + 1) + index for index in range(TRAININGS)] for clone in (0, 1)]
    with postgresql(folder / "postgresql") as store:
        server = f"http://127.0.0.1:{port}"
        with (
            serving(mlflow_server(folder, port, store), port, folder / "mlflow.log"),
            FaultyProxy(server).running() as proxy,
        ):
            proxy.fault = lambda number, route: chance.choice(LOST) if chance.random() < 0.2 else None
            for clone in clones:
                clone.environment |= {"MLFLOW_TRACKING_URI": proxy.uri}
            with ThreadPoolExecutor(2) as pool:
                both = list(pool.map(work, clones, [server] * 2, seeds, range(2)))
            check(replace(clones[0], environment={"MLFLOW_TRACKING_URI": server}), both)


def check(clone: Clone, both: list[list[str]]) -> None:
    assert all(len(runs) == TRAININGS for runs in both)
    client = clone.client()
    for run in clone.runs():
        assert_no_row_twice(clone, run.info.run_id)
    finished = {run.info.run_id for run in clone.runs() if run.info.status == "FINISHED"}
    assert {run_id for runs in both for run_id in runs} <= finished
    versions = client.search_model_versions("name = 'faces'")
    assert {version.status for version in versions} == {"READY"}
    of_run = Counter(version.run_id for version in versions)
    assert set(of_run) <= finished and set(of_run.values()) == {1}, of_run
    champion = client.get_model_version_by_alias("faces", "champion")
    log = client.get_experiment_by_name("facegan decisions")
    decisions = client.search_runs([log.experiment_id], order_by=["attributes.start_time ASC"])
    tags = [
        {key.removeprefix("facegan."): value for key, value in decision.data.tags.items()} for decision in decisions
    ]
    assert all(each["reasons"] and each["action"] and each["version"] for each in tags)
    promoted = [each for each, run in zip(tags, decisions, strict=True) if each["action"] == "promote"]
    assert promoted and champion.version in {each["version"] for each in promoted}
    models = client.search_registered_models("name LIKE 'faces%'")
    assert [model.aliases for model in models if model.name == "faces"] == [{"champion": champion.version}] or (
        len([alias for model in models for alias in model.aliases if alias == "champion"]) == 1
    )
