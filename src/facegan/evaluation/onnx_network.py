"""Any network in an ONNX file as a feature space: DINOv2, CLIP's or a network of one's own."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from facegan.errors import FaceganError
from facegan.evaluation.extractor import Extractor
from facegan.files import sha256
from facegan.params import OnnxParams

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import: it writes a device id to the home directory
import onnx
import onnxruntime


def onnx_extractor(
    file: str,
    params: OnnxParams,
    root: Path,
    device: torch.device,
    key: str = "evaluate.extractor",
    block: str = "evaluate.onnx",
) -> Extractor:
    """The features that the network in ``file`` gives for pictures resized, scaled and normalised as ``params`` say.

    Runs in ONNX Runtime on the CPU, on as many threads as torch has. Raises FaceganError in one line, which names the
    ``key`` or the ``block`` of params.yaml that asked for it.
    """
    network = _Network(file, params, root, key, block)
    low, high = params.range
    mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (params.mean, params.deviation))

    def extract(images: torch.Tensor) -> torch.Tensor:
        pictures = images.to(device).permute(0, 3, 1, 2).to(torch.float32)
        shape = (params.size, params.size)
        if pictures.shape[2:] != shape:
            pictures = functional.interpolate(pictures, shape, mode="bilinear", antialias=True)
        pictures = low + pictures * ((high - low) / 255)
        return network((pictures - mean) / deviation).to(device)

    dimensions = extract(torch.zeros((2, params.size, params.size, 3), dtype=torch.uint8)).shape[1]
    protocol = {
        "resize": f"bilinear, antialiased, to {params.size}x{params.size}",
        "range": f"{low:g} to {high:g}, less mean {list(params.mean)}, over deviation {list(params.deviation)}",
        "features": f"{network.output} of {Path(file).name}",
    }
    return Extractor(Path(file).name, f"_{network.sha256[:8]}", network.sha256, dimensions, protocol, extract)


class _Network:
    """A session of ONNX Runtime: float32 [n, 3, size, size] to float32 [n, dimensions]."""

    def __init__(self, file: str, params: OnnxParams, root: Path, key: str, block: str) -> None:
        path = root / file
        if not path.is_file():
            raise FaceganError(f"{key}: {file} does not exist")
        self.sha256 = sha256(path)
        if params.sha256 != self.sha256:
            raise FaceganError(
                f"{block}.sha256: params.yaml has {params.sha256 or 'null'}, and {file} is {self.sha256}; "
                "write that if it is the network you mean"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            graph = onnx.load(path, load_external_data=False)
            if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(graph)):
                raise FaceganError(
                    f"{key}: {file} keeps weights in other files, which its digest does not cover; save it as one file"
                )
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except FaceganError:
            raise
        except Exception as error:
            raise FaceganError(f"{key}: {file} cannot be used as ONNX: {_line(error)}") from error
        self._file, self._key, self._block = file, key, block
        self._input = _one(f"{block}.input", params.input, self._session.get_inputs(), file)
        self.output = _one(f"{block}.output", params.output, self._session.get_outputs(), file)

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        try:
            (given,) = self._session.run([self.output], {self._input: pictures.cpu().contiguous().numpy()})
        except Exception as error:
            raise FaceganError(
                f"{self._key}: {self._file} does not take float32 {list(pictures.shape)} as {self._input!r}; "
                f"the size in {self._block} may be wrong: {_line(error)}"
            ) from error
        features = torch.from_numpy(given)
        if features.dim() < 2 or len(features) != len(pictures) or features[0].numel() != features.shape[1]:
            raise FaceganError(
                f"{self._block}.output: {self.output!r} of {self._file} is {list(features.shape)} for "
                f"{len(pictures)} pictures, and should be a vector for each; outputs that it has: "
                f"{', '.join(value.name for value in self._session.get_outputs())}"
            )
        return features.flatten(1).to(torch.float32)


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a protobuf message: initializers, constants of nodes, and those of subgraphs and functions."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(part)


def _one(key: str, name: str | None, there: list[Any], file: str) -> str:
    """The name asked for, or that of the only one."""
    names = [value.name for value in there]
    if name in names or (name is None and len(names) == 1):
        return name or str(names[0])
    kind = key.rpartition(".")[2]
    raise FaceganError(f"{key}: {name or 'null'}, and {file} has the {kind}s {', '.join(names)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
