"""The repository around the library: found from below, its parts where they belong, its state told without secrets."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from facegan.errors import FaceganError
from facegan.repository.project import Project
from facegan.study.executor import Snapshot
from facegan.tracking.errors import redact


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def versioned(project: Project) -> Project:
    """The project in a git repository of its own, all of it committed."""
    git(project.root, "init", "--quiet")
    git(project.root, "add", "--all")
    git(project.root, "commit", "--quiet", "--message", "Begin")
    return project


def test_a_project_is_found_from_anywhere_inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = project.root / "data/deep/er"
    deep.mkdir(parents=True)
    for folder in (project.root, deep):
        monkeypatch.chdir(folder)
        assert Project.find() == project


def test_outside_of_a_project_is_said_with_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FaceganError, match=rf"^{tmp_path} is not inside a facegan project"):
        Project.find()


def test_an_experiment_in_a_copy_keeps_its_state_and_runs_in_the_repository(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `dvc exp run --queue` works in a temporary copy, and says where the repository is.
    copy = Path(shutil.copytree(project.root, tmp_path / "copy"))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(project.root))
    found = Project.find()
    assert (found.root, found.home) == (copy, project.root)
    assert found.state == project.root / ".facegan"
    uri, experiment, artifacts, lock = found.tracking()
    assert uri == f"sqlite:///{project.root}/mlflow.db"
    assert (experiment, artifacts) == ("facegan", project.root / "mlartifacts")
    assert lock.is_relative_to(project.root)


def test_mlflow_is_where_the_environment_says(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "faces")
    assert project.tracking()[:2] == ("http://mlflow.example:5000", "faces")
    assert project.server().experiment == "faces"
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(name, "")  # as good as unset
    assert project.tracking()[:2] == (f"sqlite:///{project.root}/mlflow.db", "facegan")


def test_parameters_are_read_from_the_root_and_missed_by_name(project: Project) -> None:
    assert project.params().train.batch == 8
    (project.root / "params.yaml").unlink()
    with pytest.raises(FaceganError, match=r"params.yaml is missing"):
        project.params()


def test_data_stages_use_every_core_unless_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.workers == len(os.sched_getaffinity(0))
    monkeypatch.setenv("FACEGAN_WORKERS", "3")
    assert project.workers == 3


@pytest.mark.parametrize("given", ["", "0", "-1", "two", "1.5", "²"])
def test_a_number_of_workers_that_is_none_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("FACEGAN_WORKERS", given)
    with pytest.raises(FaceganError, match="FACEGAN_WORKERS"):
        _ = project.workers


@pytest.fixture
def coded(project: Project) -> Project:
    """The project with the library's code beside it, as in a clone."""
    return project


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("src/facegan/training/step.py", True),
        ("src/facegan/networks/conv.py", True),
        ("pipeline/train.py", True),
        ("pipeline/export.py", False),
        ("src/facegan/tracking/view.py", False),
        ("src/facegan/cli/compare.py", False),
        ("params.yaml", False),
        ("dvc.yaml", False),
    ],
)
def test_the_code_of_a_training_is_what_dvc_lists_for_it(coded: Project, file: str, counts: bool) -> None:
    before = coded.code("train")
    with (coded.root / file).open("a") as content:
        content.write("\n# changed\n")
    assert (coded.code("train") != before) == counts


def test_the_code_has_the_same_digest_in_every_clone(coded: Project, tmp_path: Path) -> None:
    other = Path(shutil.copytree(coded.root, tmp_path / "another clone"))
    assert Project(other, other).code("train") == coded.code("train")


def test_a_clean_tree_is_told_by_its_commit(versioned: Project) -> None:
    tags = versioned.tags()
    assert tags["mlflow.source.git.commit"] == git(versioned.root, "rev-parse", "HEAD")
    assert tags["facegan.git_dirty"] == "false"
    assert tags["facegan.params_yaml"] == (versioned.root / "params.yaml").read_text()
    assert versioned.changes() == ""


@pytest.mark.parametrize("file", ["params.yaml", "dvc.yaml", "pipeline/train.py", "recipes/base.yaml"])
@pytest.mark.parametrize("staged", [False, True], ids=["in the tree", "staged"])
def test_a_change_that_is_not_committed_is_told(versioned: Project, file: str, staged: bool) -> None:
    with (versioned.root / file).open("a") as content:
        content.write("\n# mine\n")
    if staged:
        git(versioned.root, "add", file)
    assert "+# mine" in versioned.changes()
    assert versioned.tags()["facegan.git_dirty"] == "true"


def test_code_that_git_does_not_know_makes_the_tree_dirty(versioned: Project) -> None:
    # Otherwise the commit in the tags would claim to be all that ran.
    (versioned.root / "pipeline/extra.py").write_text("mine = 1\n")
    assert versioned.tags()["facegan.git_dirty"] == "true"


def test_code_that_git_does_not_know_is_in_the_diff_or_named(versioned: Project) -> None:
    """Whoever has the commit and the diff can run what ran."""
    new = {
        "pipeline/extra.py": "mine = 1\n",
        "helper.py": "used = 2\n",
        "src/big.py": "# " + "x" * 2**20,
        "src/aws_credentials.py": "s3cret",
        "src/.env": "s3cret",
        "notes.txt": "no code",
    }
    for name, content in new.items():
        (versioned.root / name).write_text(content)
    before = git(versioned.root, "status", "--porcelain"), git(versioned.root, "count-objects")
    changes = versioned.changes()
    assert "+mine = 1" in changes and "+used = 2" in changes and "notes.txt" not in changes
    for name in ("src/big.py", "src/aws_credentials.py", "src/.env"):
        size = len(new[name])
        digest = hashlib.sha256(new[name].encode()).hexdigest()
        assert f"# not shown: {name}, {size:,} bytes, {digest}" in changes
    assert "s3cret" not in changes and "xxxx" not in changes
    assert (git(versioned.root, "status", "--porcelain"), git(versioned.root, "count-objects")) == before
    (versioned.root / "change.diff").write_text(changes + "\n")
    for name in ("pipeline/extra.py", "helper.py"):
        (versioned.root / name).unlink()
    git(versioned.root, "apply", "change.diff")
    assert (versioned.root / "helper.py").read_text() == "used = 2\n"


def test_a_study_takes_code_into_git_and_neither_secrets_nor_large_files(
    versioned: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (versioned.root / "recipes/base.yaml").write_text("changed: true\n")
    (versioned.root / "pipeline/extra.py").write_text("mine = 1\n")
    (versioned.root / ".env").write_text("s3cret\n")
    (versioned.root / "src/.env").write_text("s3cret\n")
    (versioned.root / "faces.bin").write_bytes(os.urandom(2**21))
    snapshot = Snapshot(versioned)
    there = git(versioned.root, "ls-tree", "-r", "--name-only", snapshot.tree).splitlines()
    assert "pipeline/extra.py" in there and not {".env", "src/.env", "faces.bin"} & set(there)
    assert git(versioned.root, "show", f"{snapshot.tree}:recipes/base.yaml") == "changed: true"
    everything = ["git", "cat-file", "--batch-all-objects", "--batch"]
    assert b"s3cret" not in subprocess.run(everything, cwd=versioned.root, check=True, capture_output=True).stdout
    size = sum(path.stat().st_size for path in (versioned.root / ".git/objects").rglob("*") if path.is_file())
    assert size < 5 * 2**20
    assert "its trainings do not see src/.env: large or secret" in capsys.readouterr().out


def test_what_is_told_of_changes_holds_no_file_of_secrets(versioned: Project) -> None:
    for name in (".env", ".dvc/config", "notes.txt"):
        path = versioned.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("nothing\n")
    git(versioned.root, "add", "--all")
    git(versioned.root, "commit", "--quiet", "--message", "More")
    for name in (".env", ".dvc/config", "notes.txt"):
        (versioned.root / name).write_text("KAGGLE_KEY=s3cret\n")
    assert "s3cret" not in versioned.changes() + str(versioned.tags())


def test_outside_of_git_nothing_is_told_and_nothing_fails(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(project.tags()) == {"facegan.params_yaml"}
    assert project.changes() == ""
    monkeypatch.setenv("PATH", "/nowhere")
    assert project.changes() == ""


def test_a_repository_without_a_commit_fails_nothing(project: Project) -> None:
    git(project.root, "init", "--quiet")
    assert set(project.tags()) == {"facegan.params_yaml"}


def test_bytes_in_a_change_that_are_not_text_fail_nothing(versioned: Project) -> None:
    with (versioned.root / "pipeline/train.py").open("ab") as content:
        content.write(b"# \xff\xfe\n")
    assert "pipeline/train.py" in versioned.changes()


def test_an_address_without_secrets_is_left_as_it_is(project: Project) -> None:
    assert redact(project.tracking()[0]) == project.tracking()[0]
