"""Studies as users run them: every training a DVC experiment and a row in MLflow; stopped, killed, and gone on with."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Clone, wait_for

from facegan.files import json_digest, write_json
from facegan.params_yaml import parse_params
from facegan.repository.project import Project
from facegan.study.executor import STAGES
from facegan.study.space import read_space

SEARCH = ("params.yaml", "--search", "train.lr_generator=1e-4..1e-3:log", "--images", "320", "--trials")


@pytest.fixture(scope="module")
def studied(finished: Clone, tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, str]:
    """A clone after a search of two trials, two at a time, with changes that are not committed; what it said."""
    clone = finished.copy(tmp_path_factory.mktemp("studied") / "clone")
    (clone.root / "notes.txt").write_text("mine")
    clone.set(evaluate__generated=36)
    before = clone.run("git", "status", "--porcelain")
    said = clone.run("facegan", "study", *SEARCH, "2", "--devices", "cpu,cpu")
    assert clone.run("git", "status", "--porcelain") == before
    return clone, said


def results(clone: Clone, out: str = "study") -> list[dict[str, Any]]:
    paths = [path for path in (clone.root / out).glob("*.json") if len(path.stem) == 16]
    return [json.loads(path.read_text()) for path in sorted(paths)]


def runs(clone: Clone) -> tuple[list[Any], list[Any]]:
    """Of studies, and of their trainings."""
    found = clone.runs()
    parents = [run for run in found if "facegan.study" in run.data.tags]
    return parents, [run for run in found if "mlflow.parentRunId" in run.data.tags]


def test_every_trial_is_told_and_scored(studied: tuple[Clone, str]) -> None:
    clone, said = studied
    lines = said.splitlines()
    begun = [place for place, line in enumerate(lines) if re.search(r"trial \d of 2 on cpu", line)]
    ended = [place for place, line in enumerate(lines) if re.search(r"trial \d: fd_face", line)]
    assert len(begun) == len(ended) == 2 and max(begun) < min(ended)  # side by side
    assert all(f"{run['report']['fd_face']['at_n']:.4g}" in said for run in results(clone))
    page = (clone.root / "study/index.html").read_text(encoding="utf-8")
    assert "What mattered" in page and page.count("data:image/png;base64,") == 5  # two grids, three figures
    assert "http" not in page  # opens anywhere
    assert all(len(run["report"]["protocol"]) > 3 and run["report"]["fd_face"]["n"] == 36 for run in results(clone))
    assert not list((clone.root / ".facegan/studies").glob("*/*"))  # no copy is left


def test_every_training_is_an_experiment_and_a_row_below_the_study(studied: tuple[Clone, str], tmp_path: Path) -> None:
    clone = studied[0].copy(tmp_path / "clone")
    (study,), trainings = runs(clone)
    assert study.info.status == "FINISHED" and study.data.params["search"] == "train.lr_generator"
    assert len(trainings) == 2
    best = min(results(clone), key=lambda run: run["report"]["fd_face"]["at_n"])
    assert study.data.metrics["best_fd_face_at_n"] == best["report"]["fd_face"]["at_n"]
    for run in trainings:
        assert run.info.status == "FINISHED" and run.data.tags["mlflow.parentRunId"] == study.info.run_id
    names = {run.data.tags["facegan.experiment"] for run in trainings}
    assert names == {run["experiment"] for run in results(clone)}
    assert all(name in clone.run("dvc", "exp", "list", "--name-only") for name in names)
    assert "train.lr_generator" in clone.run("facegan", "compare", *sorted(names))
    assert "study" not in clone.run("facegan", "compare")  # of runs, and a study is none

    clone.run("git", "checkout", "-q", "params.yaml")
    clone.run("dvc", "exp", "apply", best["experiment"])
    assert json.loads((clone.root / "reports/evaluate.json").read_text()) == best["report"]
    assert clone.run("dvc", "status").count("changed") == 0
    assert (clone.root / "notes.txt").read_text() == "mine"


def test_it_goes_on_with_more_trials_and_takes_over_what_is_known(studied: tuple[Clone, str], tmp_path: Path) -> None:
    clone = studied[0].copy(tmp_path / "clone")
    said = clone.run("facegan", "study", *SEARCH, "2")
    assert " on cpu" not in said  # nothing is trained again
    assert said[said.index("trial  experiment") :] == studied[1][studied[1].index("trial  experiment") :]
    said = clone.run("facegan", "study", *SEARCH, "3")
    assert "trial 3 of 3 on cpu" in said and said.count(" on cpu") == 1
    (study,), trainings = runs(clone)
    assert study.info.status == "FINISHED" and len(trainings) == 3

    known = f"train.lr_generator={results(clone)[0]['name'].partition('=')[2]},2e-3"
    said = clone.run("facegan", "study", "params.yaml", "--search", known, "--images", "320", "--seeds", "2")
    assert said.count(" on cpu") == 3  # the second seed of what is known, two of what is not
    assert said.count(" ± ") >= 2
    parents, trainings = runs(clone)
    newest = next(run.info.run_id for run in parents if run.data.params["sampler"] == "grid")
    below = [run for run in trainings if run.data.tags["mlflow.parentRunId"] == newest]
    assert len(trainings) == 6 and len(below) == 4


def test_code_that_is_not_committed_is_what_runs(studied: tuple[Clone, str], tmp_path: Path) -> None:
    """As it was when the study began, in files that git knows and in new ones; the project stays as it is.

    In a shallow clone, as CI makes it, and a folder whose name is no name for git.
    """
    studied[0].run("git", "clone", "-q", "--depth", "1", f"file://{studied[0].root}", str(tmp_path / "clone"))
    clone = Clone(tmp_path / "clone")
    step = clone.root / "src/facegan/training/loop.py"
    step.write_text(step.read_text() + "\nfrom facegan.training import mine\n")
    (step.parent / "mine.py").write_text("print('mine is at work')\n")
    staged = clone.run("git", "diff", "--cached")
    clone.run("facegan", "study", "params.yaml", "--images", "160", "--out", "my study: 2")
    (log,) = (clone.root / "my study: 2").glob("*.log")
    assert "mine is at work" in log.read_text()
    assert clone.run("git", "diff", "--cached") == staged == ""
    assert "my-study-2-" in clone.run("dvc", "exp", "list", "--name-only")


def test_stopped_and_killed_it_goes_on_to_the_same_bytes(finished: Clone, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    clone.environment["FACEGAN_CHECKPOINT_SECONDS"] = "0"
    command = ("facegan", "study", "params.yaml", "--images", "9600")

    def training() -> bool:
        return bool(list((clone.root / ".facegan").glob("*/checkpoint.safetensors")))

    process = clone.start(*command)
    wait_for(lambda: training() and runs(clone)[1], 90)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert "rerun the command to resume" in clone.log()
    (study,), (run,) = runs(clone)
    assert (study.info.status, run.info.status) == ("KILLED", "KILLED")
    assert not working(clone) and training() and not results(clone)

    process = clone.start(*command)
    wait_for(lambda: any("resuming at" in path.read_text() for path in (clone.root / "study").glob("*.log")), 90)
    process.kill()
    process.wait()
    wait_for(lambda: not working(clone), 60)  # no orphan

    said = clone.run(*command)
    name = re.findall(r"dvc exp apply ([\w-]+)", said)[0]
    assert not training()
    (study,), (run,) = runs(clone)
    assert (study.info.status, run.info.status) == ("FINISHED", "FINISHED")
    clone.run("dvc", "exp", "apply", name)
    broken = clone.sha()
    clone.run("dvc", "repro", "--force", "train")
    assert clone.sha() == broken


def working(clone: Clone) -> list[int]:
    """Processes in a study's copies."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(clone.root / ".facegan/studies")) and process.status() != "zombie":
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_what_diverges_is_a_result_and_what_is_behind_is_given_up(studied: tuple[Clone, str], tmp_path: Path) -> None:
    """Five trials that are said to have gone well; then one that diverges, and one that is behind them."""
    clone = studied[0].copy(tmp_path / "clone")
    rates = ["1e-4", "2e-4", "3e-4", "4e-4", "5e-4", "1e+15", "1e-9"]
    command = ["params.yaml", "--search", f"train.lr_generator={','.join(rates)}", "--images", "9600", "--prune"]
    project = Project(clone.root, clone.root)
    report = results(clone)[0]["report"]
    code = [project.code(stage) for stage in STAGES]
    for setting in read_space(clone.root, ["params.yaml"], [command[2]], 9600).grid()[:5]:
        key = json_digest([parse_params(setting.params_yaml(1)).of_run(), code])[:16]
        about = {"best_images": 9600, "parameters": 1, "images_per_second": None, "experiment": "made up"}
        about |= {"name": setting.name, "seed": 1, "key": key, "lineage": None, "images": 9600}
        made = {**about, "scores": [0.5] * 10, "report": report}
        write_json(clone.root / "study" / f"{key}.json", made)
        for ending in ("png", "csv"):
            source = next((clone.root / "study").glob(f"*.{ending}"))
            (clone.root / "study" / f"{key}.{ending}").write_bytes(source.read_bytes())

    said = clone.run("facegan", "study", *command)
    assert "trial 5 of 7" not in said and "trial 6 of 7" in said and "trial 7 of 7" in said
    assert re.search(r"trial 6: diverged after [\d,]+ images: train: .*not finite", said)
    assert re.search(r"trial 7: given up after [\d,]+ images: behind the others", said)
    table = {line.split()[0]: line for line in said[said.index("trial  experiment") :].splitlines()[2:9]}
    assert "diverged" in table["6"] and "given up at" in table["7"]
    assert not list((clone.root / ".facegan").glob("*/checkpoint*"))  # nobody goes on with them
    _, trainings = runs(clone)
    assert sum("facegan.given_up" in run.data.tags for run in trainings) == 1
    again = clone.run("facegan", "study", *command)
    assert " of 7 on " not in again


def test_a_server_that_is_down_and_stages_that_fail_are_told(finished: Clone, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    clone.environment["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    said = clone.run("facegan", "study", *SEARCH, "1", code=1)
    assert re.search(r"^error: MLflow failed: .*what is trained is kept: rerun the command", said, re.MULTILINE)
    del clone.environment["MLFLOW_TRACKING_URI"]

    clone.set(evaluate__extractor="gone.onnx", evaluate__onnx__sha256="0" * 64)
    said = clone.run("facegan", "study", *SEARCH, "1", code=1)
    last = said.splitlines()[-1]
    assert last.startswith("error: study: 1 failed and are tried again by the same command: ")
    assert "gone.onnx" in last and (clone.root / re.findall(r"\(see ([^)]+)\)", last)[0]).is_file()
    assert not results(clone) and [run.info.status for run in runs(clone)[0]] == ["FINISHED"]


def test_a_study_that_is_killed_as_it_starts_leaves_nothing_at_work(finished: Clone, tmp_path: Path) -> None:
    clone = finished.copy(tmp_path / "clone")
    process = clone.start("facegan", "study", *SEARCH, "1")
    wait_for(lambda: working(clone), 90)
    process.kill()
    process.wait()
    wait_for(lambda: not working(clone), 60)
    assert not list((clone.root / ".facegan").glob("*/checkpoint.safetensors"))
