"""The stage that scores: the same bytes every time, and one line for what cannot be scored."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from ruamel.yaml import YAML

from facegan.errors import FaceganError
from facegan.repository.project import REPORTS, Project
from pipeline.evaluate import evaluate

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(project_root: Path, tmp_path: Path) -> Project:
    root = Path(shutil.copytree(project_root, tmp_path / "project"))
    return Project(root, root)


def change(project: Project, **values: object) -> None:
    yaml, path = YAML(), project.root / "params.yaml"
    document = yaml.load(path)
    for key, value in values.items():
        *blocks, last = key.split("__")
        block = document
        for part in blocks:
            block = block[part]
        block[last] = value
    yaml.dump(document, path)


def digests(project: Project) -> dict[str, str]:
    paths = [project.root / REPORTS / "evaluate.json", *(project.root / REPORTS / "evaluate").iterdir()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_again_it_leaves_the_same_bytes_with_the_cache_or_without(project: Project) -> None:
    before = digests(project)
    for _ in range(2):
        evaluate(project)
        assert digests(project) == before
    assert (project.root / ".facegan/cache").is_dir()


def test_every_score_has_a_protocol_a_spread_and_a_floor(project: Project) -> None:
    report = json.loads((project.root / REPORTS / "evaluate.json").read_text())
    scores = set(report) - {"protocol", "warnings"}
    assert scores >= {"fd_face", "sliced_wasserstein", "ms_ssim", "color_distance", "checkerboard_energy"}
    assert set(report["protocol"]["scores"]) == scores
    for name in scores:
        assert {"value", "std", "floor", "n"} <= set(report[name]), name


def test_an_extractor_that_gives_no_numbers_is_one_line(project: Project) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("Neg", ["mean"], ["negative"]),
            helper.make_node("Sqrt", ["negative"], ["features"]),
        ],
        "nan",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3])],
    )
    path = project.root / "nan.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    change(
        project,
        evaluate__extractor="nan.onnx",
        evaluate__onnx__sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        evaluate__onnx__size=16,
        evaluate__onnx__mean=[0.0, 0.0, 0.0],
        evaluate__onnx__deviation=[1.0, 1.0, 1.0],
    )
    before = digests(project)
    with pytest.raises(FaceganError, match=r"evaluate: features are not finite: what evaluate.extractor \(nan.onnx\)"):
        evaluate(project)
    assert digests(project) == before


def test_any_number_of_processes_leaves_the_same_bytes(project: Project) -> None:
    """Of scores and figures; each with one thread, so that sums are taken alike."""
    found = {}
    for count in (1, 2, 4, 2):  # the last one with what the others left in the cache
        (project.root / REPORTS / "evaluate.json").unlink()
        if count != 2 or 2 not in found:
            shutil.rmtree(project.root / ".facegan/cache", ignore_errors=True)
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.evaluate"],
            cwd=project.root,
            env={**os.environ, "FACEGAN_PROCESSES": str(count), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("evaluate: checkerboard_energy") == 1, count  # one of them tells
        assert found.setdefault(count, digests(project)) == digests(project)
    assert found[1] == found[2] == found[4]
    report = json.loads((project.root / REPORTS / "evaluate.json").read_text())
    assert {"fd_face", "kid_face", "recall_face", "ms_ssim", "sliced_wasserstein"} <= set(report)


def test_the_report_shows_the_last_weights_where_another_score_prefers_them(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last weights of this training are others than the best."""
    report = project.root / REPORTS / "evaluate"
    for verdict, shown in (("worse", False), ("better", True)):
        monkeypatch.setattr("facegan.evaluation.last.verdict", lambda *_, verdict=verdict: verdict)
        capsys.readouterr()
        evaluate(project)
        assert json.loads((report / "last.json").read_text())["better"] == (["sliced_wasserstein"] if shown else [])
        page = (report / "index.html").read_text()
        assert ("Best and last" in page) == ('alt="a grid of the last weights"' in page) == shown
        assert ("the last weights are better than the best" in capsys.readouterr().out) == shown
    assert (report / "generated-last.png").read_bytes() != (report / "generated.png").read_bytes()


def test_processes_that_are_no_number_are_one_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGAN_PROCESSES", "all")
    with pytest.raises(FaceganError, match="FACEGAN_PROCESSES: 'all' should be a whole number from 1"):
        evaluate(project)


def test_the_failure_of_one_of_several_is_the_stages(project: Project) -> None:
    (project.root / "models/train/generator.safetensors").write_bytes(b"cut")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.evaluate"],
        cwd=project.root,
        env={**os.environ, "FACEGAN_PROCESSES": "2", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1 and "models/train holds a damaged model" in done.stderr


def test_what_one_of_several_died_of_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one finds no parameters; this one has them."""
    elsewhere = project.root.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("FACEGAN_PROCESSES", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(elsewhere)
    with pytest.raises(FaceganError, match=r"evaluate: process 2 of 2 failed: .*is not inside a facegan proj"):
        evaluate(project)
