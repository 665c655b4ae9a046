"""`facegan compare`: what differs, the scores and the last grids of real runs, as a table and as a page."""

import base64
import csv
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tracking.made import commit, free_port, own_environment

from cli.running import Command
from facegan.repository.project import REPORTS, Project
from facegan.repository.recording import record_run
from facegan.tracking.view import MlflowClient

SECRET = "s3cret-pass"
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def two_runs(
    project_root: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A project with two runs that differ in what they evaluate: its folder, and the names of the runs."""
    root = Path(shutil.copytree(project_root, tmp_path_factory.mktemp("compare") / "project"))
    shutil.copyfile(empty_database, root / "mlflow.db")
    project = Project(root, root)
    with own_environment(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlflow.pyfunc.log_model", lambda **named: None)  # takes a second, and is not looked at
        record_run(project)
        path = root / "params.yaml"
        path.write_text(path.read_text().replace("generated: 16", "generated: 17"))
        report = root / REPORTS / "evaluate.json"
        report.write_text(report.read_text().replace(r"\"generated\":16", r"\"generated\":17"))
        report.write_text(re.sub(r'("fd_face": \{[^}]*"at_n": )[0-9.]+', r"\g<1>12.3456789", report.read_text()))
        commit(root)
        record_run(project)
    client = MlflowClient(project.server().uri)
    runs = client.search_runs([client.get_experiment_by_name("facegan").experiment_id], order_by=["start_time"])
    return root, [run.info.run_name for run in runs]


@pytest.fixture
def runs(two_runs: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the two runs; the current folder is a copy of their project."""
    root, names = two_runs
    copy = tmp_path / "project"
    copy.mkdir()
    shutil.copyfile(root / "dvc.yaml", copy / "dvc.yaml")
    shutil.copyfile(root / "mlflow.db", copy / "mlflow.db")  # its artifacts are where they were
    monkeypatch.chdir(copy)
    return names


class Page(HTMLParser):
    """The tags and texts of a page; refuses one that asks another place for anything."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pictures: list[bytes] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and value:
                assert value.startswith("data:image/png;base64,")
                self.pictures.append(base64.b64decode(value.partition(",")[2]))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def client() -> MlflowClient:
    return MlflowClient(Project.find().server().uri)


def run_id(name: str) -> str:
    found = client().search_runs([client().get_experiment_by_name("facegan").experiment_id])
    return str(next(run.info.run_id for run in found if run.info.run_name == name))


def test_the_table_shows_what_differs_and_the_scores_of_each_in_the_asked_order(
    runs: list[str], facegan: Command
) -> None:
    for order in (runs, runs[::-1]):
        ended = facegan("compare", *order)
        assert ended.code == 0
        lines = [re.split(r"  +", line) for line in ended.out.splitlines()]
        assert lines[0] == ["parameters that differ", *order]
        asked = {line[0]: line[1:] for line in lines}
        values = dict(zip(runs, ("16", "17"), strict=True))
        assert asked["evaluate.generated"] == [values[name] for name in order]
        assert "train.batch" not in asked and "seed" not in asked
        value, real = asked["fd_face"][order.index(runs[1])].split(" (real ")
        assert value.startswith("12.35 ±") and float(real.split(")")[0]) > 0
        assert {"kid_face", "sliced_wasserstein", "ms_ssim"} <= set(asked)
        assert not {"fd_face_n", "d_real", "step_loss_generator", "data/pictures_train"} & set(asked)
        assert lines[-1] == ["compare.html"]


def test_the_page_shows_the_same_with_the_last_grids_side_by_side(
    runs: list[str], facegan: Command, project_root: Path
) -> None:
    assert facegan("compare", *runs, "--out", "pages/two.html").out.endswith("pages/two.html\n")
    page = Page(Path("pages/two.html"))
    assert all(name in page.texts for name in runs)
    assert {"16", "17", "evaluate.generated", "fd_face"} <= set(page.texts)
    assert any(text.startswith("12.35 ±") for text in page.texts)
    last = (project_root / REPORTS / "train/samples/000000064.png").read_bytes()
    from PIL import Image

    assert len(page.pictures) == 2
    Path("shown.png").write_bytes(page.pictures[0])
    Path("last.png").write_bytes(last)
    with Image.open("shown.png") as shown, Image.open("last.png") as grid:
        assert shown.tobytes() == grid.tobytes()


def test_without_names_all_runs_are_compared_with_the_oldest(runs: list[str], facegan: Command) -> None:
    ended = facegan("compare")
    lines = ended.out.splitlines()
    assert re.split(r"  +", lines[0])[1:] == runs
    (row,) = (line for line in lines if line.startswith("kid_face "))
    assert row.index(" base") < row.index("≈")


def test_a_run_may_be_named_by_the_beginning_of_its_id_or_lineage_or_by_its_name(
    runs: list[str], facegan: Command
) -> None:
    by_id, lineage = run_id(runs[0]), client().get_run(run_id(runs[0])).data.tags["facegan.lineage"]
    expected = facegan("compare", runs[0]).out
    for name in (by_id, by_id[:10], lineage[:10]):
        assert facegan("compare", name).out == expected


def test_a_run_compared_alone_has_no_parameter_that_differs(runs: list[str], facegan: Command) -> None:
    ended = facegan("compare", runs[0])
    assert ended.code == 0 and "evaluate.generated" not in ended.out


def test_a_beginning_of_several_names_is_refused_and_they_are_named(runs: list[str], facegan: Command) -> None:
    error = facegan("compare", "conv 40x32px").error
    assert "'conv 40x32px' fits 2 runs" in error
    assert all(name in error and run_id(name)[:8] in error for name in runs)
    assert not Path("compare.html").exists()


def test_the_whole_name_of_a_run_is_not_ambiguous_when_another_begins_with_it(
    runs: list[str], facegan: Command
) -> None:
    client().update_run(run_id(runs[0]), name="mine")
    client().update_run(run_id(runs[1]), name="mine too")
    assert re.split(r"  +", facegan("compare", "mine").out.splitlines()[0])[1:] == ["mine"]


def test_two_runs_of_one_name_are_told_apart_by_their_ids(runs: list[str], facegan: Command) -> None:
    for name in runs:
        client().update_run(run_id(name), name=f"twin of {name}")
    ids = [run_id(f"twin of {name}") for name in runs]
    for run in ids:
        client().update_run(run, name="twin")
    error = facegan("compare", "twin").error
    assert all(run[:8] in error for run in ids)
    assert facegan("compare", *ids).code == 0


def test_an_unknown_run_is_refused_and_those_that_are_there_are_named(runs: list[str], facegan: Command) -> None:
    error = facegan("compare", runs[0], "nope").error
    assert "'nope' is not a run, experiment or revision" in error and all(name in error for name in runs)


def test_names_and_values_cannot_put_code_into_the_page(runs: list[str], facegan: Command) -> None:
    run = run_id(runs[0])
    client().update_run(run, name=EVIL)
    client().log_param(run, f"evil.{'x'}", f'"><img src=x onerror="{EVIL}">')
    ended = facegan("compare")
    assert ended.code == 0
    page = Page(Path("compare.html"))
    assert "script" not in page.tags
    assert page.tags.count("img") == 2
    assert EVIL in page.texts


def test_a_run_without_a_grid_is_compared_all_the_same(runs: list[str], facegan: Command) -> None:
    experiment = client().get_experiment_by_name("facegan").experiment_id
    client().create_run(experiment, run_name="bare")
    ended = facegan("compare", "bare", runs[0])
    assert ended.code == 0
    assert "no grid" in Page(Path("compare.html")).texts


def test_a_deleted_run_is_not_compared(runs: list[str], facegan: Command) -> None:
    client().delete_run(run_id(runs[0]))
    assert runs[0] not in facegan("compare").out


def test_an_experiment_without_runs_says_how_to_get_one(
    project: Project, empty_database: Path, facegan: Command
) -> None:
    shutil.copyfile(empty_database, project.root / "mlflow.db")
    assert "dvc repro" in facegan("compare").error


def test_a_dead_server_is_one_line_without_its_password(
    project: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{SECRET}@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ended = facegan("compare")
    assert SECRET not in ended.out + ended.err
    assert "MLflow failed" in ended.error


def test_other_formats_hold_the_same_scores(runs: list[str], facegan: Command) -> None:
    outs = [part for suffix in ("csv", "json", "md") for part in ("--out", f"two.{suffix}")]
    assert facegan("compare", *runs, *outs).out.split()[-3:] == ["two.csv", "two.json", "two.md"]
    document = json.loads(Path("two.json").read_text())
    assert [run["name"] for run in document["runs"]] == runs
    assert document["parameters"]["evaluate.generated"] == dict(zip(map(run_id, runs), ("16", "17"), strict=True))
    rows = list(csv.DictReader(Path("two.csv").read_text().splitlines()))
    assert [(row["score"], row["run"]) for row in rows] == [(row["score"], row["run"]) for row in document["scores"]]
    changed = next(row for row in document["scores"] if row["score"] == "fd_face" and row["run"] == runs[1])
    assert changed["at_n"] == 12.3456789 and float(rows[1]["at_n"]) == 12.3456789
    markdown = Path("two.md").read_text()
    assert f"| score | {runs[0]} | {runs[1]} |" in markdown and "| Frechet distance (`fd_face`) |" in markdown
    assert not Path("compare.html").exists()


def test_json_is_what_the_file_would_hold_and_writes_none(runs: list[str], facegan: Command) -> None:
    ended = facegan("compare", *runs, "--json")
    facegan("compare", *runs, "--out", "two.json")
    assert json.loads(ended.out) == json.loads(Path("two.json").read_text())
    assert not Path("compare.html").exists()


def test_a_format_that_does_not_exist_is_refused_before_any_work(runs: list[str], facegan: Command) -> None:
    assert "--out two.pdf: should end in .html, .md, .csv, .json" in facegan("compare", "--out", "two.pdf").error


def git(*arguments: str) -> None:
    who = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
    subprocess.run(["git", *arguments], check=True, capture_output=True, env={**os.environ, **who})


def test_git_revisions_and_experiments_are_compared_with_runs(
    runs: list[str], facegan: Command, two_runs: tuple[Path, list[str]]
) -> None:
    """A DVC experiment is a commit under refs/exps; the real one is in the system tests."""
    git("init", "-q", "-b", "main")
    shutil.copytree(two_runs[0] / REPORTS, REPORTS)
    path = Path("params.yaml")
    path.write_text((two_runs[0] / "params.yaml").read_text().replace("seed: 1", "seed: 77", 1))
    git("add", "params.yaml", "reports/evaluate.json")
    git("commit", "-q", "-m", "one")
    git("tag", "v1")
    path.write_text(path.read_text().replace("seed: 77", "seed: 78", 1))
    git("commit", "-q", "-a", "-m", "two")
    git("update-ref", "refs/exps/ab/cdef/silly-name", "HEAD")
    git("update-ref", "refs/exps/stash", "HEAD")
    ended = facegan("compare", "v1", "silly-name", runs[0])
    assert ended.code == 0
    lines = {line[0]: line[1:] for line in (re.split(r"  +", line) for line in ended.out.splitlines())}
    assert lines["parameters that differ"] == ["v1", "silly-name", runs[0]]
    assert lines["seed"][:2] == ["77", "78"]
    assert "no grid" in Page(Path("compare.html")).texts
    for unknown in ("stash", "--all", "v1:params.yaml"):
        assert "is not a run, experiment or revision" in facegan("compare", "--", unknown).error
    git("rm", "-q", "--cached", "reports/evaluate.json")
    git("commit", "-q", "-m", "without scores")
    assert "main holds no reports/evaluate.json; commit it" in facegan("compare", "main").error


def test_the_spread_that_is_shown_is_the_one_that_decides(runs: list[str], facegan: Command) -> None:
    """Of a kernel distance the standard error, not the published spread over subsets."""
    out = facegan("compare", *runs, "--out", "two.json").out
    shown = next(row for row in json.loads(Path("two.json").read_text())["scores"] if row["score"] == "kid_face")
    (line,) = (line for line in out.splitlines() if line.startswith("kid_face "))
    assert f"± {shown['error']:.2g} " in line and f"{shown['error']:.2g}" != f"{shown['std']:.2g}"
