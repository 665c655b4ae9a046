"""``params.yaml`` read and validated, or one line that says what is wrong with it."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from facegan.errors import FaceganError
from facegan.params import Params
from facegan.strict_yaml import read_yaml

ADDED = (  # keys that earlier versions did not have, and `facegan upgrade` adds
    "data.hub", "data.parquet", "data.webdataset", "preprocess.channels", "train.judge", "train.microbatch",
)  # fmt: skip


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
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


def _widen(values: Any) -> Any:
    """JSON-like values only: a date or a set in YAML becomes the text that was written."""
    if isinstance(values, dict):
        return {str(key): _widen(value) for key, value in values.items()}
    return values if values is None or isinstance(values, bool | int | float | str | list) else str(values)


def known_keys(block: type[BaseModel] = Params, prefix: str = "") -> list[str]:
    """Dotted names of every parameter, and of the blocks that hold them."""
    keys: list[str] = []
    for name, field in block.model_fields.items():
        keys.append(prefix + name)
        kind = field.annotation
        for inner in (kind, *get_args(kind)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys += known_keys(inner, f"{prefix}{name}.")
    return keys


def kinds(key: str) -> set[Any]:
    """The types that a parameter may have, by its dotted key; none for a key that is not a parameter."""
    found = _field(key)
    return set(_parts(found.annotation)) if found else set()


def check_value(key: str, value: Any) -> str | None:
    """Why a parameter cannot have a value, whatever the others are; None when it can."""
    found = _field(key)
    assert found is not None, key
    kind: Any = Annotated[found.annotation, *found.metadata] if found.metadata else found.annotation
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        return _explain({**error.errors()[0], "loc": key.split(".")})
    return None


def _field(key: str) -> FieldInfo | None:
    *blocks, last = key.split(".")
    block: Any = Params
    for part in blocks:
        within = block.model_fields.get(part) if block else None
        block = next((kind for kind in _parts(within.annotation) if _is_block(kind)), None) if within else None
    return block.model_fields.get(last) if block else None


def _parts(kind: Any) -> Iterator[Any]:
    """A type, or those that it is a union of."""
    if isinstance(kind, type) or get_origin(kind) in (Literal, tuple, list):
        yield kind
    for part in get_args(kind) if get_origin(kind) is not Literal else ():
        yield from _parts(part)


def _is_block(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def nearest(key: str) -> str | None:
    """The parameter that may have been meant."""
    keys = known_keys()
    longer = [known for known in keys if known.startswith(f"{key}_")]  # train.lr: train.lr_generator
    near = longer or difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    return near[0] if near else None


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"] if part not in ("number", "schedule"))
    key = key.removesuffix(".score") if key == "train.judge.score" else key.replace("judge.file.", "judge.")
    match problem["type"]:
        case "extra_forbidden":
            near = nearest(key)
            return f"{key}: unknown key" + (f"; did you mean {near}?" if near else "")
        case "missing":
            adds = "`facegan upgrade` adds it, " if key in ADDED else ""
            return f"{key}: missing; {adds}`facegan recipe show base` shows a complete file"
        case "value_error":  # ours: the message names the key
            return str(problem["msg"]).removeprefix("Value error, ")
        case "model_type":
            return f"{key}: {problem['input']!r} should be a block of keys"
        case "string_pattern_mismatch":
            right = _PATTERNS.get(key.rpartition(".")[2], "should be 64 hexadecimal digits")
            return f"{key}: {problem['input']!r} {right}"
        case _:
            message = problem["msg"].removeprefix("Input ")
            return f"{key}: {problem['input']!r} {message}"


_PATTERNS = {
    **dict.fromkeys(
        ("duration", "tick", "evaluate_every", "over"),
        "should be a number and a unit, such as '60 kimg' or '25 epochs'",
    ),
    "file": "should be the path of an .onnx file",
    "extractor": "should be face, random, inception or the path of an .onnx file",
    "handle": "should be pinned, such as 'splcher/animefacedataset/versions/3'",
}
