"""A run goes from one checkout to another by digest, through the real git and DVC."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from facegan.errors import FaceganError
from facegan.files import sha256
from facegan.repository.tools import dvc_status
from facegan.retraining.bundle import INDEX, Bundle, pack

PIPELINE = """
stages:
  data:
    cmd: cp params.yaml data
    params: [pictures]
    outs: [data]
    deps: [code]
  train:
    cmd: mkdir -p model && sort data params.yaml > model/weights && cp params.yaml model/config
    deps: [data]
    params: [seed]
    outs: [model]
"""


def run(folder: Path, *command: str | Path) -> str:
    if command[0] == "dvc":
        command = (sys.executable, "-m", *command)
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    if command[0] == "git":
        command = ("git", *identity, *command[1:])
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A repository whose commit has a run, and whose workspace has another, of the same pictures."""
    root = tmp_path / "trained"
    root.mkdir()
    run(root, "git", "init", "-q", "-b", "main")
    run(root, "dvc", "init", "-q")
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "code").write_text("")
    (root / "params.yaml").write_text("seed: 1\npictures: 5\n")
    run(root, "dvc", "repro", "-q")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "a run")
    (root / "params.yaml").write_text("seed: 2\npictures: 5\n")
    run(root, "dvc", "repro", "-q")
    return root


@pytest.fixture
def checkout(trained: Path) -> Callable[[str], Path]:
    def clone(name: str) -> Path:
        root = trained.with_name(name)
        run(trained.parent, "git", "clone", "-q", trained, root)
        return root

    return clone


def test_a_run_is_the_same_in_the_other_checkout(trained: Path, checkout: Callable[[str], Path]) -> None:
    digest = pack(trained, trained.parent / "bundle", "", shared=False)
    assert digest == sha256(trained.parent / "bundle" / INDEX)
    shutil.rmtree(trained / ".dvc/cache")  # nothing comes from where it was trained
    root = checkout("released")
    bundle = Bundle.open(trained.parent / "bundle", f"sha256:{digest}")
    bundle.install(root)
    run(root, "dvc", "checkout", "-q")
    assert (root / "model/config").read_text() == "seed: 2\npictures: 5\n"
    assert dvc_status(root) == {}
    assert (root / "dvc.lock").read_bytes() == (trained / "dvc.lock").read_bytes()
    bundle.remember(root)
    shutil.rmtree(root / "model")
    (root / "dvc.lock").unlink()
    assert "'train' is cached - skipping run" in run(root, "dvc", "repro")


def test_what_the_commit_has_stays_in_the_remote(trained: Path, checkout: Callable[[str], Path]) -> None:
    pack(trained, trained.parent / "bundle", "HEAD~1", shared=True)
    bundle = Bundle.open(trained.parent / "bundle", None)
    assert bundle.stages == ["train"] and bundle.base == "HEAD~1"
    store = trained.parent / "bundle/dvc/files/md5"
    texts = [path.read_text() for path in store.rglob("*") if path.is_file() and path.suffix != ".dir"]
    assert "seed: 2\npictures: 5\n" in texts
    root = checkout("released")
    bundle.install(root)
    with pytest.raises(subprocess.CalledProcessError):
        run(root, "dvc", "checkout", "-q", "data")


def test_a_run_that_changed_nothing_is_a_bundle_without_outputs(trained: Path) -> None:
    run(trained, "git", "commit", "-qam", "the other run")
    pack(trained, trained.parent / "bundle", "", shared=True)
    assert Bundle.open(trained.parent / "bundle", None).stages == []
    assert not (trained.parent / "bundle/dvc").exists()


def test_an_earlier_bundle_is_replaced_and_any_other_folder_is_not(trained: Path) -> None:
    folder = trained.parent / "bundle"
    folder.mkdir()
    first = pack(trained, folder, "", shared=False)
    (folder / "more").write_text("")
    assert pack(trained, folder, "", shared=False) == first and not (folder / "more").exists()
    (folder / INDEX).unlink()
    with pytest.raises(FaceganError, match="is not empty, and no bundle"):
        pack(trained, folder, "", shared=False)


Spoil = Callable[[Path], object]
FAULTS: dict[str, tuple[Spoil, str]] = {
    "no index": (lambda folder: (folder / INDEX).unlink(), "is not a bundle"),
    "cut off": (lambda folder: (folder / INDEX).write_text('{"version"'), "bundle.json is damaged"),
    "a file more": (lambda folder: (folder / "project/more").write_text(""), "project/more is not listed"),
    "a link more": (lambda folder: (folder / "link").symlink_to("/"), "link is not listed"),
    "a file less": (lambda folder: (folder / "project/dvc.lock").unlink(), "project/dvc.lock is missing"),
    "other scores": (
        lambda folder: (folder / "project/params.yaml").write_text("seed: 3\n"),
        "project/params.yaml is not the file that was packed",
    ),
    "other weights": (
        lambda folder: next(path for path in (folder / "dvc").rglob("*") if path.is_file()).write_text("forged"),
        "is not the file that was packed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_bundle_is_refused_before_anything_is_written(trained: Path, fault: str) -> None:
    folder = trained.parent / "bundle"
    pack(trained, folder, "", shared=False)
    spoil, words = FAULTS[fault]
    spoil(folder)
    with pytest.raises(FaceganError, match=words):
        Bundle.open(folder, None)


def test_another_bundle_than_the_one_asked_for_is_refused(trained: Path) -> None:
    folder = trained.parent / "bundle"
    pack(trained, folder, "", shared=False)
    with pytest.raises(FaceganError, match="not the one that was asked for"):
        Bundle.open(folder, "0" * 64)


def test_an_object_under_another_ones_name_is_no_output(trained: Path, checkout: Callable[[str], Path]) -> None:
    """Also where the index was made to agree: DVC's names are digests, and are checked."""
    folder = trained.parent / "bundle"
    pack(trained, folder, "", shared=False)
    target = next(path for path in (folder / "dvc/files/md5").rglob("*") if path.is_file() and path.suffix != ".dir")
    target.chmod(0o644)
    target.write_text("forged")
    index = json.loads((folder / INDEX).read_text())
    index["files"][target.relative_to(folder).as_posix()] = sha256(target)
    (folder / INDEX).write_text(json.dumps(index))
    root = checkout("released")
    with pytest.raises(FaceganError, match="DVC failed"):
        Bundle.open(folder, None).install(root)
    assert run(root, "git", "status", "--porcelain") == "" and "seed: 1" in (root / "params.yaml").read_text()
    assert "forged" not in [path.read_text() for path in (root / ".dvc").rglob("*") if path.is_file()]


def test_a_run_of_another_commit_is_refused(trained: Path, checkout: Callable[[str], Path]) -> None:
    pack(trained, trained.parent / "bundle", "", shared=False)
    bundle = Bundle.open(trained.parent / "bundle", None)
    root = checkout("released")
    run(root, "git", "commit", "-q", "--allow-empty", "-m", "meanwhile")
    with pytest.raises(FaceganError, match=r"it was trained from \w+, but HEAD is"):
        bundle.install(root)
    assert "seed: 1" in (root / "params.yaml").read_text()


def test_a_release_that_was_stopped_after_its_push_goes_on(trained: Path, checkout: Callable[[str], Path]) -> None:
    pack(trained, trained.parent / "bundle", "", shared=False)
    bundle = Bundle.open(trained.parent / "bundle", None)
    root = checkout("released")
    bundle.install(root)
    run(root, "git", "commit", "-qam", "Retrained: abc [skip ci]")
    bundle.install(root)
    assert run(root, "git", "status", "--porcelain") == ""
