"""Changing a ``params.yaml`` and keeping its comments."""

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from facegan.errors import FaceganError
from facegan.files import write_atomic
from facegan.params_yaml import parse_params


def read_commented(path: Path) -> CommentedMap:
    """The document with its comments. Raises FaceganError when it is not a mapping."""
    try:
        document = _yaml().load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FaceganError(f"{path} does not exist") from error
    except Exception as error:
        raise FaceganError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, CommentedMap):
        raise FaceganError(f"{path.name} should hold blocks of keys and values")
    return document


def overlay(base: CommentedMap, changes: CommentedMap, name: str, prefix: str = "") -> None:
    """Put the values of ``changes`` (and their comments) into ``base``; a key that ``base`` lacks is refused."""
    for key, value in changes.items():
        if key not in base:
            raise FaceganError(f"{name}: {prefix}{key} is not a key of the base recipe")
        if isinstance(value, CommentedMap) and isinstance(base[key], CommentedMap):
            overlay(base[key], value, name, f"{prefix}{key}.")
            continue
        base[key] = value
        comment = (changes.ca.items.get(key) or [None] * 4)[2]
        if comment is not None and comment.value.startswith("#"):
            kept = (base.ca.items.get(key) or [None] * 4)[2]
            # What follows the line stays as it was: blank lines, the next block's heading.
            _, _, after = (kept.value if kept is not None else "\n").partition("\n")
            comment.value = comment.value.partition("\n")[0] + "\n" + after
            base.ca.items[key] = changes.ca.items[key]


def write_commented(path: Path, document: CommentedMap) -> None:
    """Validate, then write whole. Raises FaceganError for values that ``params.yaml`` may not hold."""
    content = text(document)
    parse_params(content, path.name)
    write_atomic(path, content)


def text(document: CommentedMap) -> str:
    """The document as YAML."""
    stream = io.StringIO()
    _yaml().dump(document, stream)
    return stream.getvalue()


def _yaml() -> Any:
    yaml = YAML()  # round trip
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml
