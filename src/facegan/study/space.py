"""What a study tries: recipes with changes, and parameters with the values to look among."""

import copy
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from facegan.errors import FaceganError
from facegan.params import Params
from facegan.params_yaml import check_value, kinds, nearest, parse_params
from facegan.repository.recipes import recipe
from facegan.repository.yaml_file import read_commented, text
from facegan.strict_yaml import read_yaml

OWN = "params.yaml"  # as the name of a contender: what it holds
SHOWN = {"train.duration": "--images", "train.tick": "--images", "train.evaluate_every": "--images", "seed": "--seeds"}


@dataclass(frozen=True)
class Contender:
    """A recipe with changes as complete parameters, and its name in the table."""

    name: str
    document: CommentedMap


@dataclass(frozen=True)
class Dimension:
    """A parameter and its values: some to choose from, or all from ``low`` to ``high``."""

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @classmethod
    def parse(cls, given: str) -> "Dimension":
        """Of ``KEY=a,b,c``, ``KEY=low..high`` or ``KEY=low..high:log``. Raises FaceganError."""
        key, equals, values = given.partition("=")
        if not equals or not values:
            raise FaceganError(f"study: --search {given}: should be KEY=a,b,c or KEY=low..high or KEY=low..high:log")
        _check_key(key, f"--search {given}")
        if ".." in values and kinds(key) & {int, float}:
            return cls._between(key, values, given)
        found = read_yaml(values if values.startswith("[") and values.endswith("]") else f"[{values}]", given)
        if len({label(value) for value in found}) < max(2, len(found)):
            raise FaceganError(f"study: --search {given}: needs two values or more, each once")
        _check_values(key, found, f"--search {given}")
        return cls(key, tuple(found))

    @classmethod
    def _between(cls, key: str, values: str, given: str) -> "Dimension":
        span, _, scale = values.partition(":")
        ends = span.split("..")
        whole = float not in kinds(key)
        try:
            low, high = (float(end) for end in ends)
            if not (-math.inf < low < high < math.inf and (low > 0 or not scale) and scale in ("", "log")):
                raise ValueError
            if whole and (low != int(low) or high != int(high)):
                raise ValueError
        except ValueError:
            raise FaceganError(
                f"study: --search {given}: should be low..high, two {'whole ' if whole else ''}numbers, the lower first"
                + (", or low..high:log above 0" if scale else "")
            ) from None
        _check_values(key, [int(low), int(high)] if whole else [low, high], f"--search {given}")
        between = range(int(low), min(int(high), int(low) + 1000)) if whole else ()
        if (wrong := next((value for value in between if check_value(key, value)), None)) is not None:
            raise FaceganError(
                f"study: --search {given}: not every number in between can be used, such as {wrong}; "
                f"list those that can: {key}={int(low)},{int(high)}"
            )
        return cls(key, (), low, high, scale == "log", whole)

    def rounded(self, value: float) -> float | int:
        """To four digits (eight between ends that are near to each other), as it is written and told."""
        digits = 4 if self.high - self.low > 0.01 * abs(self.high) else 8
        return int(value) if self.whole else min(max(float(f"{value:.{digits}g}"), self.low), self.high)


@dataclass(frozen=True)
class Setting:
    """One point of the space: a contender, and a value for each dimension."""

    contender: Contender
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return ", ".join([self.contender.name, *(f"{key}={label(value)}" for key, value in self.values.items())])

    def params_yaml(self, seed: int) -> str:
        """The complete parameters as text. Raises FaceganError when these values do not go together."""
        document = copy.deepcopy(self.contender.document)
        for key, value in (*self.values.items(), ("seed", seed)):
            assign(document, key, value)
        content = text(document)
        parse_params(content, f"study: {self.name}")
        return content


@dataclass(frozen=True)
class Space:
    contenders: tuple[Contender, ...]
    dimensions: tuple[Dimension, ...]

    @cached_property
    def by_name(self) -> dict[str, Contender]:
        return {contender.name: contender for contender in self.contenders}

    def grid(self) -> list[Setting]:
        """Every combination. Raises FaceganError when a dimension has no choices."""
        for dimension in self.dimensions:
            if not dimension.choices:
                raise FaceganError(
                    f"study: --sampler grid needs values to choose from: write --search {dimension.key}=a,b,c, "
                    "or take --sampler tpe"
                )
        keys = [dimension.key for dimension in self.dimensions]
        return [
            Setting(contender, dict(zip(keys, values, strict=True)))
            for contender, *values in product(self.contenders, *(dimension.choices for dimension in self.dimensions))
        ]

    def setting(self, contender: str, values: dict[str, Any]) -> Setting:
        return Setting(self.by_name[contender], {d.key: values[d.key] for d in self.dimensions})  # in their order

    def described(self) -> list[Any]:
        """What makes two spaces the same, as JSON."""
        documents = [[one.name, _of_run(one.document)] for one in self.contenders]
        return [documents, [[d.key, d.choices, d.low, d.high, d.log, d.whole] for d in self.dimensions]]


def read_space(root: Path, contenders: list[str], search: list[str], images: int) -> Space:
    """Of the command's arguments. Raises FaceganError."""
    dimensions = tuple(Dimension.parse(given) for given in search)
    keys = [dimension.key for dimension in dimensions]
    for key in keys:
        if keys.count(key) > 1:
            raise FaceganError(f"study: --search: {key} stands twice")
        if given := next(
            (text for text in contenders for change in _changes(text) if change.startswith(f"{key}=")), None
        ):
            raise FaceganError(f"study: --search {key}: {given} sets it already")
    found: list[Contender] = []
    for given, name in short_names(list(dict.fromkeys(contenders))).items():
        contender = Contender(name, _document(root, given, images))
        if all(_of_run(contender.document) != _of_run(other.document) for other in found):  # in other words the same
            found.append(contender)
    return Space(tuple(found), dimensions)


def short_names(texts: list[str]) -> dict[str, str]:
    """A name for each contender: its recipe and those of its changes that not every contender has."""
    parts = {given: (given.partition(":")[0], _changes(given)) for given in texts}
    common = set.intersection(*(set(changes) for _, changes in parts.values())) if len(texts) > 1 else set()
    names = {}
    for given, (name, changes) in parts.items():
        own = ",".join(change for change in changes if change not in common)
        names[given] = f"{name}:{own}" if own else name
    return names


def label(value: Any) -> str:
    """A value as it stands in a table."""
    return value if isinstance(value, str) else json.dumps(value)


def assign(document: CommentedMap, key: str, value: Any) -> None:
    """Put ``value`` at a dotted key. Raises FaceganError when there is no such place."""
    *blocks, last = key.split(".")
    block: Any = document
    for part in blocks:
        block = block.get(part) if isinstance(block, dict) else None
    if not isinstance(block, dict) or last not in block:
        raise FaceganError(f"study: {key}: {'.'.join(blocks)} holds no {last} here")
    block[last] = value


def _document(root: Path, given: str, images: int) -> CommentedMap:
    """The project's parameters with model and training of a recipe, its changes, and ``images`` to show."""
    document = read_commented(root / OWN)
    name = given.partition(":")[0]
    if name != OWN:
        chosen = recipe(root, name)
        for block in ("model", "train"):
            document[block] = chosen[block]
    for change in _changes(given):
        key, equals, value = change.partition("=")
        if not equals:
            raise FaceganError(f"study: {given}: {change!r} should be key=value")
        _check_key(key, given)
        assign(document, key, read_yaml(value, f"study: {key}"))
    params = parse_params(text(document), f"study: {given}")
    _stretch(document, params, images)
    return document


def _changes(given: str) -> list[str]:
    """``a=1,b=[x, y]`` at its commas, but for those within brackets."""
    changes, depth = [""], 0
    for letter in given.partition(":")[2]:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            changes.append("")
        else:
            changes[-1] += letter
    return [change for change in changes if change]


def _check_key(key: str, where: str) -> None:
    if key in SHOWN:
        raise FaceganError(f"study: {where}: {SHOWN[key]} decides {key}")
    if key.startswith("promotion"):
        raise FaceganError(f"study: {where}: {key} is not part of a run")
    if not kinds(key):
        near = nearest(key)
        raise FaceganError(f"study: {where}: {key} is not a parameter" + (f"; did you mean {near}?" if near else ""))


def _check_values(key: str, values: list[Any], where: str) -> None:
    for value in values:
        if reason := check_value(key, value):
            raise FaceganError(f"study: {where}: {reason}")


def _stretch(document: CommentedMap, params: Params, images: int) -> None:
    """To ``images``, with twenty ticks and ten scores; schedules keep their share of the training."""
    train = document["train"]
    number, unit = params.train.duration.split()
    for key, value in train.items():
        if isinstance(value, dict) and "over" in value:  # a schedule
            over, its_unit = value["over"].split()
            if its_unit.rstrip("s") != unit.rstrip("s"):
                raise FaceganError(
                    f"study: train.{key}.over is in {its_unit} and train.duration in {unit}, so that its share of the "
                    "training is not known; write both in one unit"
                )
            value["over"] = _kimg(float(over) * images / float(number))
    train["duration"], train["tick"], train["evaluate_every"] = _kimg(images), _kimg(images / 20), _kimg(images / 10)


def _kimg(images: float) -> str:
    return f"{images / 1000:.6f}".rstrip("0").rstrip(".") + " kimg"


def _of_run(document: CommentedMap) -> dict[str, Any]:
    values = parse_params(text(document)).of_run()
    del values["seed"]
    return values
