"""The generator as ONNX with a dynamic batch, and how far it is from PyTorch."""

import io
import json
import os
import warnings
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from facegan.errors import FaceganError
from facegan.randomness import Inputs, generator

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import: it writes a device id to the home directory
import onnxruntime

INPUTS, OUTPUT = ("latent", "labels"), "pictures"
NAMES = "facegan.labels"  # metadata: the names of the classes by column, as JSON


def export_onnx(network: nn.Module, dimensions: int, labels: dict[str, list[str]], opset: int) -> bytes:
    """``latent`` float32 [batch, dimensions] to ``pictures`` float32 [batch, 3, height, width] in [-1, 1].

    With ``labels``, names of the classes by column, it takes ``labels`` int64 [batch, columns] too; -1 is unknown.
    The exporter's notes (stack traces with paths of this machine) are taken out: the same weights, the same bytes.
    """
    example = _inputs(2, dimensions, labels, 0, "export")
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            example,
            dynamo=True,
            opset_version=opset,
            input_names=INPUTS[: len(example)],
            output_names=[OUTPUT],
            dynamic_shapes=tuple({0: batch} for _ in example),
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
    if labels:
        onnx.helper.set_model_props(model, {NAMES: json.dumps(labels)})
    onnx.checker.check_model(model)
    content = io.BytesIO(model.SerializeToString(deterministic=True))
    return content.getvalue()


def parity(
    network: nn.Module, model: bytes, dimensions: int, labels: dict[str, list[str]], tolerance: float
) -> dict[str, Any]:
    """Largest difference between ONNX Runtime and PyTorch on seeded inputs, at batches of 1 and 16.

    Raises FaceganError above ``tolerance`` (pictures lie in [-1, 1]).
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    largest = 0.0
    for batch in (1, 16):
        inputs = _inputs(batch, dimensions, labels, 1, "parity")
        with torch.inference_mode():
            expected = network(*inputs).numpy()
        found = session.run(None, {name: values.numpy() for name, values in zip(INPUTS, inputs)})[0]
        largest = max(largest, float(np.abs(found - expected).max()))
    result = {"latents": 17, "max_difference": largest, "tolerance": tolerance, "agrees": largest <= tolerance}
    if not result["agrees"]:
        raise FaceganError(
            f"export: ONNX and PyTorch differ by {largest:.2g}, more than export.tolerance ({tolerance:.2g}) allows"
        )
    return result


def _inputs(
    count: int, dimensions: int, labels: dict[str, list[str]], seed: int, purpose: str
) -> tuple[torch.Tensor, ...]:
    """Latents and, where there are labels, classes of any kind and unknown ones."""
    if not labels:
        return Inputs(dimensions).draw(count, seed, purpose)
    source = generator(seed, f"{purpose} classes")
    columns = [torch.randint(-1, len(names), (count,), generator=source) for names in labels.values()]
    return Inputs(dimensions, torch.stack(columns, 1)).draw(count, seed, purpose)
