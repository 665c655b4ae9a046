"""A feature space from an ONNX file: the numbers of the network inside, or one line that says what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from parameters import evaluate_params
from PIL import Image

from evaluation.doubles import WEIGHT, write_onnx
from facegan.errors import FaceganError
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.onnx_network import onnx_extractor
from facegan.files import sha256
from facegan.params import OnnxParams

CPU = torch.device("cpu")


def params(path: Path | None, **changes: Any) -> OnnxParams:
    size = {"sha256": sha256(path) if path else None, "size": 16}
    return evaluate_params(onnx={**size, **changes}).onnx


def build(path: Path, **changes: Any) -> Extractor:
    return onnx_extractor(path.name, params(path, **changes), path.parent, CPU)


def pictures(size: int = 16) -> torch.Tensor:
    return torch.randint(0, 256, (3, size, size, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_features_are_those_of_the_network_on_pictures_as_it_wants_them(tmp_path: Path) -> None:
    images = pictures()
    found = build(write_onnx(tmp_path / "a.onnx"), range=[-1.0, 1.0], mean=[0.1, 0.2, 0.3], deviation=[0.5, 1.0, 2.0])
    means = images.numpy().astype(np.float64).mean(axis=(1, 2)) / 127.5 - 1
    expected = (means - [0.1, 0.2, 0.3]) / [0.5, 1.0, 2.0] @ WEIGHT[:, :, 0, 0].T.astype(np.float64)
    np.testing.assert_allclose(found.extract(images).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert found.dimensions == 5


@pytest.mark.parametrize("size", [8, 64])
def test_pictures_of_another_size_are_resized_as_pillow_does(tmp_path: Path, size: int) -> None:
    """Maps at two places, not averages alone: those are the same however a picture is resized."""
    images = pictures(size)
    corner = WEIGHT[:, :, 0, 0]
    graph = onnx.load(write_onnx(tmp_path / "a.onnx", outputs=("maps",)))
    bounds = [
        numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in (("from", [3, 5]), ("to", [4, 6]), ("axes", [2, 3]))
    ]
    graph.graph.initializer.extend(bounds)
    graph.graph.node.append(helper.make_node("Slice", ["maps", "from", "to", "axes"], ["place"]))
    graph.graph.output.append(helper.make_tensor_value_info("place", TensorProto.FLOAT, ["n", 5, 1, 1]))
    onnx.save(graph, tmp_path / "a.onnx")
    found = build(tmp_path / "a.onnx", output="place", mean=[0.0] * 3, deviation=[1.0] * 3).extract(images)
    for image, features in zip(images, found):
        resized = np.asarray(Image.fromarray(image.numpy()).resize((16, 16), Image.Resampling.BILINEAR), np.float64)
        np.testing.assert_allclose(features.numpy(), corner @ (resized[3, 5] / 255), atol=0.02)  # Pillow rounds


def test_scores_are_named_after_the_digest(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "mine.onnx")
    found = build(path)
    assert (found.name, found.suffix, found.sha256) == ("mine.onnx", f"_{sha256(path)[:8]}", sha256(path))
    assert found.protocol["features"] == "pooled of mine.onnx"
    assert str(tmp_path) not in str(found.protocol)


def test_without_the_right_digest_it_says_which_it_is(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "a.onnx")
    for wrong in (None, "a" * 64):
        with pytest.raises(FaceganError, match=rf"evaluate\.onnx\.sha256: .*a\.onnx is {sha256(path)}; write that"):
            build(path, sha256=wrong)


@pytest.mark.parametrize(
    ("outputs", "changes", "words"),
    [
        (("pooled", "maps"), {}, r"evaluate\.onnx\.output: null, and a\.onnx has the outputs pooled, maps"),
        (("pooled",), {"output": "nope"}, r"evaluate\.onnx\.output: nope, and a\.onnx has the outputs pooled"),
        (("pooled",), {"input": "x"}, r"evaluate\.onnx\.input: x, and a\.onnx has the inputs image"),
        (("maps",), {}, r"'maps' of a\.onnx is \[2, 5, 16, 16\] for 2 pictures, and should be a vector for each"),
        (
            ("pooled",),
            {"size": 32},
            r"a\.onnx does not take float32 \[2, 3, 32, 32\] as 'image'; the size in evaluate",
        ),
    ],
)
def test_what_does_not_fit_the_network_is_one_line(
    tmp_path: Path, outputs: tuple[str, ...], changes: dict[str, Any], words: str
) -> None:
    path = write_onnx(tmp_path / "a.onnx", outputs=outputs)
    with pytest.raises(FaceganError, match=words) as caught:
        build(path, **changes)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"<!doctype html> not found")
    with pytest.raises(FaceganError, match=r"a\.onnx cannot be used as ONNX: ") as caught:
        build(path)
    assert "\n" not in str(caught.value)


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    """The digest would not notice when they change."""
    path = write_onnx(tmp_path / "a.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(FaceganError, match=r"a\.onnx keeps weights in other files"):
        build(path)


@pytest.mark.parametrize("inside_a_branch", [False, True])
def test_a_constant_in_another_file_is_refused_wherever_it_is(tmp_path: Path, inside_a_branch: bool) -> None:
    model = onnx.load(write_onnx(tmp_path / "a.onnx"))
    weight = model.graph.initializer.pop()
    (tmp_path / "weight").write_bytes(weight.raw_data)
    onnx.external_data_helper.set_external_data(weight, "weight")
    weight.ClearField("raw_data")
    constant = helper.make_node("Constant", [], ["weight"], value=weight)
    if inside_a_branch:
        told = helper.make_tensor_value_info("weight", TensorProto.FLOAT, list(weight.dims))
        branch = helper.make_graph([constant], "branch", [], [told])
        always = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
        model.graph.node.insert(0, helper.make_node("Constant", [], ["yes"], value=always))
        model.graph.node.insert(1, helper.make_node("If", ["yes"], ["weight"], then_branch=branch, else_branch=branch))
    else:
        model.graph.node.insert(0, constant)
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FaceganError, match=r"a\.onnx keeps weights in other files"):
        build(tmp_path / "a.onnx")
