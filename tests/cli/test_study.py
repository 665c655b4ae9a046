"""What a study refuses before any work, in one line."""

import subprocess

import pytest

from cli.running import Command
from facegan.repository.project import Project

LONG = ("--images", "64")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "unknown recipe 'nope'"),
        (["base:train.bach=3"], "train.bach is not a parameter; did you mean train.batch?"),
        (["base:train.batch"], "'train.batch' should be key=value"),
        (["base:train.batch=1"], "train.batch: 1 should be greater"),
        (["base:train.duration=5 kimg"], "--images decides train.duration"),
        (["base:train.lr_generator.start=1"], "train.lr_generator holds no start here"),
        (["base", "--seeds", "0"], "--seeds: 0 is too few"),
        (["base", "--images", "0"], "--images: 0 is too few"),
        (["base", "--search", "train.batch"], "should be KEY=a,b,c or KEY=low..high"),
        (["base", "--search", "train.batch=16"], "needs two values or more"),
        (["base", "--search", "train.batch=16,16"], "needs two values or more, each once"),
        (["base", "--search", "train.r1=3..1"], "two numbers, the lower first"),
        (["base", "--search", "train.r1=0..1:log"], "low..high:log above 0"),
        (["base", "--search", "train.r1=0..inf"], "two numbers"),
        (["base", "--search", "train.r1=-1..1"], "train.r1: -1.0 should be greater than or equal to 0"),
        (["base", "--search", "train.batch=8..16.5"], "two whole numbers"),
        (["base", "--search", "train.objective=bce,hing"], "train.objective: 'hing' should be"),
        (["base", "--search", "train.batch.start=1,2"], "train.batch.start is not a parameter"),
        (["base", "--search", "preprocess.size=32,64", "--trials", "2"], "cannot be set against each other"),
        (["base", "--search", "train.r1=a..b"], "two numbers"),
        (["base", "--search", "seed=1..9"], "--seeds decides seed"),
        (["base", "--search", "promotion.certain=1,2"], "is not part of a run"),
        (["base", "--search", "train.r1=1..2"], "write --search train.r1=a,b,c, or take --sampler tpe"),
        (["base", *["--search", "train.r1=1,2"] * 2], "train.r1 stands twice"),
        (["base:train.r1=1.0", "--search", "train.r1=1,2"], "--search train.r1: base:train.r1=1.0 sets it already"),
        (["base:train.lr=1.0"], "train.lr is not a parameter; did you mean train.lr_generator?"),
        (["base", "--sampler", "tpe", "--trials", "3"], "needs a --search"),
        (["base", "--trials", "3"], "--trials needs a --search"),
        (["base", "--sampler", "random", "--search", "train.r1=1,2"], "needs --trials"),
        (["base", "--devices", "cuda:99"], "'cuda:99' is not here; there are cpu"),
    ],
)
def test_what_makes_no_sense(finished: Project, facegan: Command, arguments: list[str], words: str) -> None:
    given = arguments if "--images" in arguments else [*arguments, *LONG]
    assert words in facegan("study", *given).error
    assert not (finished.root / "study").exists()


def test_it_needs_git_and_a_commit(finished: Project, facegan: Command) -> None:
    assert "not a git repository" in facegan("study", "base", *LONG).error
    subprocess.run(["git", "init", "-q"], cwd=finished.root, check=True)
    assert "need a commit" in facegan("study", "base", *LONG).error


def test_out_must_be_a_folder(finished: Project, facegan: Command) -> None:
    assert "--out params.yaml: not a folder" in facegan("study", "base", *LONG, "--out", "params.yaml").error


def test_a_device_of_the_environment_must_be_here(
    finished: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGAN_DEVICE", "cuda:99")
    assert "FACEGAN_DEVICE: 'cuda:99' is not here" in facegan("study", "base", *LONG).error


def test_one_at_a_time_in_a_folder(finished: Project, facegan: Command) -> None:
    import fcntl

    (finished.root / "study").mkdir()
    with (finished.root / "study/lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another study is at work" in facegan("study", "base", *LONG).error
