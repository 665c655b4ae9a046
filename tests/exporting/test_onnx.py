"""The ONNX generator draws what PyTorch draws, for any batch, and tells nothing of the machine that made it."""

import os
import socket
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from parameters import model_params
from torch import nn

import facegan
from facegan.errors import FaceganError
from facegan.exporting.onnx import export_onnx, parity
from facegan.networks import build_generator, initialise
from facegan.training.ema import reestimate_norms


def session(model: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def test_the_inputs_and_outputs_are_the_promised_ones(model: bytes) -> None:
    (given,), (drawn,) = session(model).get_inputs(), session(model).get_outputs()
    assert (given.name, given.type, given.shape) == ("latent", "tensor(float)", ["batch", 8])
    assert (drawn.name, drawn.type, drawn.shape[1:]) == ("pictures", "tensor(float)", [3, 32, 32])
    assert isinstance(drawn.shape[0], str)


@pytest.mark.parametrize("batch", [1, 2, 3, 64, 65])
def test_any_batch_draws_what_pytorch_draws(model: bytes, network: nn.Module, batch: int) -> None:
    latent = torch.randn(batch, 8, generator=torch.Generator().manual_seed(batch))
    with torch.no_grad():
        expected = network(latent).numpy()
    (found,) = session(model).run(None, {"latent": latent.numpy()})
    assert found.shape == (batch, 3, 32, 32)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5
    assert expected.std() > 0.1  # pictures, not grey


def test_the_same_weights_are_the_same_bytes_and_are_left_as_they_were(model: bytes, network: nn.Module) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert export_onnx(network, 8, {}, 18) == model
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_nothing_of_this_machine_is_in_the_bytes(model: bytes) -> None:
    source = Path(facegan.__file__).parent
    for word in (
        str(source),
        str(source.parents[1]),
        sys.prefix,
        sys.base_prefix,
        str(Path.home()) + "/",
        "site-packages",
        ".py",
        "File ",
        "pkg.torch",
        socket.gethostname() if len(socket.gethostname()) > 3 else "site-packages",
    ):
        assert word.encode() not in model, word
    read = onnx.load_from_string(model)
    assert not read.metadata_props
    assert not read.graph.metadata_props
    assert not read.doc_string
    assert not any(node.metadata_props or node.doc_string for node in read.graph.node)


def test_the_weights_are_inside(model: bytes) -> None:
    """One file is the whole model: nothing is looked for beside it."""
    read = onnx.load_from_string(model)
    assert not any(tensor.external_data for tensor in read.graph.initializer)
    assert len(model) > 4 * sum(np.prod(tensor.dims) for tensor in read.graph.initializer)


def test_the_oldest_and_the_newest_opset_that_parameters_allow_run(model: bytes, network: nn.Module) -> None:
    for opset, content in ((18, model), (23, export_onnx(network, 8, {}, 23))):
        assert {entry.version for entry in onnx.load_from_string(content).opset_import if not entry.domain} == {opset}
        assert parity(network, content, 8, {}, 1e-4)["agrees"]


def test_larger_pictures_are_exported_too() -> None:
    size = 64
    model = model_params(latent=5, channels=2)
    network = build_generator(model, size)
    initialise(network, model, 1, "any")
    reestimate_norms(network, [(torch.randn(16, 5),)])
    assert parity(network, export_onnx(network, 5, {}, 18), 5, {}, 1e-4)["agrees"]


def test_parity_tells_how_close_they_are(model: bytes, network: nn.Module) -> None:
    result = parity(network, model, 8, {}, 1e-3)
    assert result["agrees"] is True
    assert result["tolerance"] == 1e-3
    assert result["latents"] == 17
    assert 0 <= result["max_difference"] < 1e-5
    assert parity(network, model, 8, {}, 1e-3) == result


@pytest.mark.parametrize("name", ["layers.0.weight", "layers.9.weight", "layers.1.running_mean", "layers.4.bias"])
def test_parity_sees_any_weight_that_differs(model: bytes, network: nn.Module, name: str) -> None:
    with torch.no_grad():
        network.state_dict()[name].add_(0.1)
    with pytest.raises(
        FaceganError, match=r"^export: ONNX and PyTorch differ by .*more than export.tolerance \(0.001\)"
    ):
        parity(network, model, 8, {}, 1e-3)


def test_parity_sees_a_single_kernel_that_differs(model: bytes, network: nn.Module) -> None:
    with torch.no_grad():
        network.get_parameter("layers.0.weight")[3, 2, 1, 1] += 0.5
    with pytest.raises(FaceganError, match="differ"):
        parity(network, model, 8, {}, 1e-3)


def test_parity_keeps_to_the_tolerance(model: bytes, network: nn.Module) -> None:
    with torch.no_grad():
        network.get_parameter("layers.9.weight").mul_(1.001)
    with pytest.raises(FaceganError) as caught:
        parity(network, model, 8, {}, 1e-9)
    assert "\n" not in str(caught.value)
    assert parity(network, model, 8, {}, 0.1)["agrees"]


def test_onnx_runtime_was_told_not_to_report_before_it_was_imported() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
