"""A study trains every contender alike, says which is best, and goes on where it was stopped."""

import hashlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from evaluation.doubles import write_onnx

from cli.running import Command
from facegan.cli import study_run
from facegan.cli.project import Project
from facegan.cli.study import _params, _short
from facegan.files import sha256
from facegan.params import Schedule

TINY = "model.latent=8,model.generator.channels=4,model.discriminator.channels=4,train.batch=4,train.samples=4"
CONTENDERS = (f"base:{TINY}", f"base:{TINY},train.objective=least-squares")
NAMES = ["base", "base:train.objective=least-squares"]  # what all have is left out
OPTIONS = ("--images", "64", "--generated", "16", "--pictures", "20")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """A study takes over signals and torch's settings, as the process of a command may."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(deterministic)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def generators(folder: Path) -> dict[str, str]:
    paths = folder.glob("*/models/generator.safetensors")
    return {path.parts[-3]: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_every_contender_is_trained_scored_and_told(finished: Project, facegan: Command) -> None:
    ended = facegan("study", *CONTENDERS, *OPTIONS, "--seeds", "2", "--out", "out")
    assert ended.code == 0, ended.err
    table = ended.out[ended.out.index("fd_random") :].splitlines()
    assert sorted(line.split()[0] for line in table if line.startswith("base")) == NAMES
    assert " +- " in ended.out
    assert len(generators(finished.root / "out")) == 4
    page = (finished.root / "out/index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3  # two grids and the curves
    assert "20 at 32x32" in page and "16 generated" in page
    assert "http" not in page  # opens anywhere
    results = [json.loads(path.read_text()) for path in (finished.root / "out").glob("*/result-16-*.json")]
    assert sorted((run["name"], run["seed"]) for run in results) == [(n, s) for n in NAMES for s in (1, 2)]

    before = generators(finished.root / "out")
    again = facegan("study", *CONTENDERS, *OPTIONS, "--seeds", "2", "--out", "out")
    assert again.err.count("done before") == 4
    assert again.out.splitlines()[-5:] == ended.out.splitlines()[-5:]  # the table and the page
    assert generators(finished.root / "out") == before


def test_the_extractor_of_the_parameters_scores_too(finished: Project, facegan: Command) -> None:
    """Without another training, when there was one."""
    assert facegan("study", *CONTENDERS, *OPTIONS, "--out", "out").code == 0
    before = generators(finished.root / "out")
    path = write_onnx(finished.root / "mine.onnx")
    params_yaml = finished.root / "params.yaml"
    values = yaml.safe_load(params_yaml.read_text(encoding="utf-8"))
    values["evaluate"] |= {"extractor": path.name}
    values["evaluate"]["onnx"] |= {"sha256": sha256(path), "size": 16}
    params_yaml.write_text(yaml.safe_dump(values), encoding="utf-8")
    ended = facegan("study", *CONTENDERS, *OPTIONS, "--out", "out")
    assert ended.code == 0, ended.err
    assert f"fd_{sha256(path)[:8]}" in ended.out and "fd_random" in ended.out
    assert generators(finished.root / "out") == before


def test_it_goes_on_where_it_was_stopped(finished: Project, facegan: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    class AfterThree:
        signal, asked = 2, 0

        def __call__(self) -> bool:
            self.asked += 1
            return self.asked == 3

    assert facegan("study", CONTENDERS[0], *OPTIONS, "--out", "whole").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(study_run, "Stop", AfterThree)
        stopped = facegan("study", CONTENDERS[0], *OPTIONS, "--out", "parts")
    assert stopped.code == 130 and "goes on from here" in stopped.err
    assert not generators(finished.root / "parts")
    assert "going on at" in facegan("study", CONTENDERS[0], *OPTIONS, "--out", "parts").out
    assert generators(finished.root / "parts") == generators(finished.root / "whole")


def test_one_that_diverges_is_a_result_too(finished: Project, facegan: Command) -> None:
    wild = f"base:{TINY},train.lr_generator=1.0e+15,train.lr_discriminator=1.0e+15"
    ended = facegan("study", CONTENDERS[0], wild, *OPTIONS, "--out", "out")
    assert ended.code == 0
    assert any(line.startswith("base:train.lr_") and "diverged" in line for line in ended.out.splitlines())
    assert (finished.root / "out/index.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope", "--images", "64"], "there is no recipe 'nope'"),
        (["base:train.bach=3", "--images", "64"], "'train.bach=3' should be key=value"),
        (["base:train.batch", "--images", "64"], "'train.batch' should be key=value"),
        (["base:train.batch=1", "--images", "64"], "train.batch: 1 should be greater"),
        (["base", "--images", "0"], "--images: 0 is too few"),
        (["base", "--images", "64", "--pictures", "1"], "--pictures: 1 is too few"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_training(
    finished: Project, facegan: Command, arguments: list[str], words: str
) -> None:
    assert words in facegan("study", *arguments).error
    assert not (finished.root / "study").exists()


def test_schedules_keep_their_share_of_a_shorter_training(project: Project) -> None:
    train = _params(project, "r3gan-64", 100_000).train
    assert (train.duration, train.tick, train.evaluate_every) == ("100.000000 kimg", "5.000000 kimg", "10.000000 kimg")
    assert isinstance(train.r1, Schedule) and train.r1.over == "100.000000 kimg"  # all of it, as published
    assert isinstance(train.lr_generator, Schedule) and train.lr_generator.start == 2e-4


def test_without_shards_it_says_how_to_make_them(project: Project, facegan: Command) -> None:
    assert "dvc repro" in facegan("study", "base", "--images", "64").error


def test_names_tell_only_what_sets_a_contender_apart() -> None:
    assert _short(["a:x=1,y=2", "b:y=2", "a:x=3,y=2"]) == {"a:x=1,y=2": "a:x=1", "b:y=2": "b", "a:x=3,y=2": "a:x=3"}
    assert _short(["a:x=1"]) == {"a:x=1": "a:x=1"}
    assert _short(["a", "b:x=1"]) == {"a": "a", "b:x=1": "b:x=1"}
