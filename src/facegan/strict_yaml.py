"""YAML as DVC reads it (1.2, unique keys), through PyYAML, which reads 1.1."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from facegan.errors import FaceganError


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
