"""The generator as ONNX with a dynamic batch, and how far it is from PyTorch."""

import io
import os
import warnings
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from facegan.errors import FaceganError
from facegan.randomness import latents

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import: it writes a device id to the home directory
import onnxruntime

INPUT, OUTPUT = "latent", "pictures"


def export_onnx(network: nn.Module, dimensions: int, opset: int) -> bytes:
    """``latent`` float32 [batch, dimensions] to ``pictures`` float32 [batch, 3, size, size] in [-1, 1].

    The exporter's notes (stack traces with paths of this machine) are taken out: the same weights, the same bytes.
    """
    example = latents(2, dimensions, 0, "export")
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=opset,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: batch},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    onnx.checker.check_model(model)
    content = io.BytesIO(model.SerializeToString(deterministic=True))
    return content.getvalue()


def parity(network: nn.Module, model: bytes, dimensions: int, tolerance: float) -> dict[str, Any]:
    """Largest difference between ONNX Runtime and PyTorch on seeded latents, at batches of 1 and 16.

    Raises FaceganError above ``tolerance`` (pictures lie in [-1, 1]).
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    largest = 0.0
    for batch in (1, 16):
        latent = latents(batch, dimensions, 1, "parity")
        with torch.inference_mode():
            expected = network(latent).numpy()
        largest = max(largest, float(np.abs(session.run(None, {INPUT: latent.numpy()})[0] - expected).max()))
    result = {"latents": 17, "max_difference": largest, "tolerance": tolerance, "agrees": largest <= tolerance}
    if not result["agrees"]:
        raise FaceganError(
            f"export: ONNX and PyTorch differ by {largest:.2g}, more than export.tolerance ({tolerance:.2g}) allows"
        )
    return result
