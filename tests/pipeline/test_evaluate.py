"""The stage that scores: the same bytes every time, and one line for what cannot be scored."""

import hashlib
import json
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from ruamel.yaml import YAML

from facegan.cli.project import REPORTS, Project
from facegan.errors import FaceganError
from pipeline.evaluate import evaluate


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
    assert scores >= {"fd_random", "sliced_wasserstein", "ms_ssim", "color_distance", "checkerboard_energy"}
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
