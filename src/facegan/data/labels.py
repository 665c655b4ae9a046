"""The labels of pictures that a model is trained with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from facegan.data.stored import ImageSet
from facegan.errors import FaceganError
from facegan.pictures import CLASS_ROWS


@dataclass(frozen=True)
class Labels:
    """``names`` of the classes by column, and the ``table`` int64 [pictures, columns]: a class each, -1 is unknown."""

    names: dict[str, list[str]]
    table: torch.Tensor

    @classmethod
    def to_train(
        cls, pictures: ImageSet, columns: Literal["all"] | Sequence[str], manifest: dict[str, Any]
    ) -> "Labels":
        """Of the pictures of a training; classes are those that occur among them.

        Raises FaceganError for a column that they do not have.
        """
        if not columns:
            return cls.none(len(pictures))
        there = {column: values for column, values in pictures.labels.items() if bool((values >= 0).any())}
        if columns == "all" and not there:
            raise FaceganError(
                "model.labels: the pictures have no labels; they come from a labels.csv or from class sub-folders, "
                "and [] trains without"
            )
        for column in columns if columns != "all" else ():
            if column not in there:
                has = f"those that they have are {', '.join(sorted(there))}" if there else "they have none"
                raise FaceganError(f"model.labels: the pictures have no label {column!r}; {has}")
        names = {
            column: [manifest["labels"][column][code] for code in there[column].unique().tolist() if code >= 0]
            for column in sorted(there if columns == "all" else columns)
        }
        return cls.of(pictures, names=names, manifest=manifest)

    @classmethod
    def of(cls, *sets: ImageSet, names: dict[str, list[str]], manifest: dict[str, Any]) -> "Labels":
        """Of the pictures of ``sets``, one after the other, in the classes ``names``; any other is unknown."""
        if not names:
            return cls.none(sum(map(len, sets)))
        columns = []
        for column, known in names.items():
            codes = {name: code for code, name in enumerate(known)}
            numbers = torch.tensor([codes.get(name, -1) for name in manifest["labels"][column]] + [-1])  # -1: the last
            columns.append(torch.cat([numbers[part.labels[column].long()] for part in sets]))
        return cls(names, torch.stack(columns, 1))

    @classmethod
    def none(cls, count: int) -> "Labels":
        """Of ``count`` pictures without labels."""
        return cls({}, torch.empty((count, 0), dtype=torch.int64))

    @property
    def classes(self) -> tuple[int, ...]:
        """How many there are in each column."""
        return tuple(len(names) for names in self.names.values())


def one_class_a_row(classes: Sequence[int], columns: int) -> torch.Tensor:
    """Labels int64 [rows * columns, len(classes)] of a grid: every class of every column, the others unknown.

    The first ``CLASS_ROWS`` of them.
    """
    rows = []
    for place, count in enumerate(classes):
        for value in range(count):
            rows.append([value if other == place else -1 for other in range(len(classes))])
    return torch.tensor(rows[:CLASS_ROWS], dtype=torch.int64).repeat_interleave(columns, 0)
