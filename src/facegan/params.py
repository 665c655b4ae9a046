"""The schema of ``params.yaml``: one frozen, validated value per block.

There are no defaults. What is not written in ``params.yaml`` is an error, so that an upgrade of facegan
cannot change a result silently; ``facegan recipe use base`` writes a complete file.
"""

import difflib
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facegan.errors import FaceganError

SIZES = (32, 64, 128, 256)
SHA256 = r"^[0-9a-f]{64}$"

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Digest = Annotated[str, Field(pattern=SHA256)]
Span = Annotated[str, Field(pattern=r"^\d+(\.\d+)? (kimg|epochs?)$")]  # a stretch of training


class Block(BaseModel):
    """A block of ``params.yaml``: frozen, every key required, no other key allowed, no type coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SyntheticParams(Block):
    count: Count
    size: Annotated[int, Field(ge=64, le=256)]  # pixels
    seed: Seed


class FolderParams(Block):
    path: str | None  # a folder, .zip or .tar; relative to the repository
    digest: Digest | None  # written by `facegan data pin`


class KaggleParams(Block):
    handle: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+/versions/[1-9]\d*$")]
    digest: Digest | None


class DataParams(Block):
    source: Literal["synthetic", "folder", "kaggle"]
    limit: Count | None  # keep this many pictures, chosen by `seed`
    seed: Seed
    synthetic: SyntheticParams
    folder: FolderParams
    kaggle: KaggleParams

    @model_validator(mode="after")
    def _folder_needs_a_path(self) -> Self:
        if self.source == "folder" and not self.folder.path:
            raise ValueError("data.folder.path: must name a folder, .zip or .tar when data.source is folder")
        return self


class PreprocessParams(Block):
    size: int  # pixels
    filter: Literal["lanczos", "bicubic"]
    min_side: Count  # pixels; smaller pictures are rejected
    deduplicate: bool
    held_out: Annotated[float, Field(ge=0.0, le=0.5)]  # share of pictures that no training sees
    max_reject_fraction: Share

    @model_validator(mode="after")
    def _size_is_supported(self) -> Self:
        if self.size not in SIZES:
            raise ValueError(f"preprocess.size: {self.size} is not one of {', '.join(map(str, SIZES))}")
        return self


class GeneratorParams(Block):
    channels: Annotated[int, Field(ge=1, le=1024)]  # at the largest resolution


class DiscriminatorParams(Block):
    channels: Annotated[int, Field(ge=1, le=1024)]  # at the largest resolution
    first_norm: bool  # batch norm in the first block too


class ModelParams(Block):
    network: Literal["conv"]
    latent: Annotated[int, Field(ge=1, le=4096)]
    generator: GeneratorParams
    discriminator: DiscriminatorParams


class TrainParams(Block):
    duration: Span
    batch: Annotated[int, Field(ge=2)]  # batch statistics need two
    precision: Literal["fp32", "bf16"]
    objective: Literal["bce"]
    lr_generator: Positive
    lr_discriminator: Positive
    beta1: Beta
    beta2: Beta
    flip: bool  # mirror half of the pictures
    ema_kimg: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]  # half-life; 0 keeps no average
    tick: Span  # between rows of the history and sample grids
    evaluate_every: Span  # between scores that choose the best weights; a whole number of ticks
    samples: Annotated[int, Field(ge=1, le=1024)]  # pictures in a sample grid

    @model_validator(mode="after")
    def _spans_are_not_empty(self) -> Self:
        for key in ("duration", "tick", "evaluate_every"):
            if float(getattr(self, key).split()[0]) <= 0:
                raise ValueError(f"train.{key}: {getattr(self, key)!r} is nothing; write for example '4 kimg'")
        (tick, of_tick), (every, of_every) = self.tick.split(), self.evaluate_every.split()
        ticks = float(every) / float(tick)
        if of_tick[:4] == of_every[:4] and (ticks < 0.999 or abs(ticks - round(ticks)) > 1e-6 * ticks):
            raise ValueError(
                f"train.evaluate_every: {self.evaluate_every!r} should be a whole number of ticks ({self.tick!r})"
            )
        return self


class InceptionParams(Block):
    weights: str | None  # a file; null looks in torch hub's cache, then downloads
    sha256: Digest


class EvaluateParams(Block):
    extractor: Literal["random", "inception"]
    generated: Annotated[int, Field(ge=2)]
    inception: InceptionParams


class ExportParams(Block):
    opset: Annotated[int, Field(ge=18, le=23)]
    tolerance: Positive  # largest difference allowed between ONNX and PyTorch, pictures in [-1, 1]
    samples: Annotated[int, Field(ge=1, le=1024)]


class Params(Block):
    seed: Seed
    data: DataParams
    preprocess: PreprocessParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    export: ExportParams


class _Loader(yaml.SafeLoader):
    """PyYAML reading YAML 1.2 as DVC does: ``2e-4`` is a number, ``on`` is text, keys are unique."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class declares it
        first: [entry for entry in entries if entry[0].rsplit(":", 1)[1] not in ("bool", "int", "float")]
        for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key must be a scalar", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"{key!r} stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def _int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node).replace("_", "")
        digits = text.lstrip("+-")
        base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 10)
        return int(digits[2:] if base != 10 else digits, base) * (-1 if text[0] == "-" else 1)

    def _float(self, node: yaml.ScalarNode) -> float:
        return float(re.sub(r"\.(inf|nan)", r"\1", self.construct_scalar(node).replace("_", "").lower()))


_NUMBER_STARTS = list("-+0123456789")
_FLOAT = r"[-+]?(\d[\d_]*\.[\d_]*([eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+|\.[\d_]+([eE][-+]\d+)?|\.(inf|Inf|INF))"
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$", re.ASCII), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"^({_FLOAT}|\.(nan|NaN|NAN))$", re.ASCII), [*_NUMBER_STARTS, "."]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0b[01_]+|0o[0-7_]+|[\d_]+|0x[\da-fA-F_]+)$", re.ASCII),
    _NUMBER_STARTS,
)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader._int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader._float)


def read_yaml(text: str, name: str) -> Any:
    """Values of a YAML 1.2 document. Raises FaceganError naming ``name`` and the line."""
    try:
        if re.search(r"^%YAML", text, re.MULTILINE):  # DVC would follow it
            raise ValueError("a %YAML line is not allowed: this file is read as YAML 1.2")
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())  # some take two lines
        raise FaceganError(f"{name}{where}: {problem}") from error


def load_params(path: Path) -> Params:
    """Read and validate a ``params.yaml``. Raises FaceganError with one line for the first problem."""
    if not path.is_file():
        raise FaceganError(f"{path.name} is missing: write one with `facegan recipe use base`")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FaceganError(f"{path.name}: is not UTF-8: {error.reason} at byte {error.start}") from error
    return parse_params(text, path.name)


def parse_params(text: str, name: str = "params.yaml") -> Params:
    """Validate the text of a ``params.yaml``; ``name`` begins the error's line."""
    return validate_params(read_yaml(text, name), name)


def validate_params(values: object, name: str) -> Params:
    if not isinstance(values, dict):
        raise FaceganError(f"{name} must hold the blocks {', '.join(Params.model_fields)}")
    try:
        return Params.model_validate(_widen(values))
    except ValidationError as error:
        problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise FaceganError(f"{name}: {_explain(problems[0])}{more}") from error


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"train": {"batch": 32}}`` to ``{"train.batch": 32}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _widen(values: Any) -> Any:
    """JSON-like values only: a date or a set in YAML becomes the text that was written."""
    if isinstance(values, dict):
        return {str(key): _widen(value) for key, value in values.items()}
    return values if values is None or isinstance(values, bool | int | float | str | list) else str(values)


def _keys(block: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in block.model_fields.items():
        keys.append(prefix + name)
        kind = field.annotation
        for inner in (kind, *get_args(kind)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys += _keys(inner, f"{prefix}{name}.")
    return keys


def _nearest(key: str) -> str | None:
    keys = _keys(Params)
    longer = [known for known in keys if known.startswith(f"{key}_")]  # train.lr: train.lr_generator
    near = longer or difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    return near[0] if near else None


def _explain(problem: Any) -> str:
    key = ".".join(map(str, problem["loc"]))
    match problem["type"]:
        case "extra_forbidden":
            near = _nearest(key)
            return f"{key}: unknown key" + (f"; did you mean {near}?" if near else "")
        case "missing":
            return f"{key}: missing; `facegan recipe show base` shows a complete file"
        case "value_error":  # ours: the message names the key
            return str(problem["msg"]).removeprefix("Value error, ")
        case "model_type":
            return f"{key}: {problem['input']!r} should be a block of keys"
        case "string_pattern_mismatch":
            return f"{key}: {problem['input']!r} {_PATTERNS.get(key, 'should be 64 hexadecimal digits')}"
        case _:
            message = problem["msg"].removeprefix("Input ")
            return f"{key}: {problem['input']!r} {message}"


_PATTERNS = {
    **dict.fromkeys(
        ("train.duration", "train.tick", "train.evaluate_every"),
        "should be a number and a unit, such as '60 kimg' or '25 epochs'",
    ),
    "data.kaggle.handle": "should be pinned, such as 'splcher/animefacedataset/versions/3'",
}
