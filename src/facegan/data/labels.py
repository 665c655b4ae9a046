"""The labels of pictures that a model is told of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from facegan.data.batches import ImageSet
from facegan.errors import FaceganError

ROWS = 24  # of a grid, at most


@dataclass(frozen=True)
class Labels:
    """``names`` of the classes by column, and the ``table`` int64 [pictures, columns]: a class each, -1 is unknown."""

    names: dict[str, list[str]]
    table: torch.Tensor

    @classmethod
    def of(cls, *sets: ImageSet, columns: Literal["all"] | Sequence[str], manifest: dict[str, Any]) -> "Labels":
        """Of the pictures of ``sets``, one after the other. Raises FaceganError for a column that they do not have."""
        there: dict[str, list[str]] = manifest["labels"]
        if columns == "all" and not there:
            raise FaceganError(
                "model.labels: the pictures have no labels; they come from a labels.csv or from class sub-folders, "
                "and [] trains without"
            )
        for column in columns if columns != "all" else ():
            if column not in there:
                has = f"those that they have are {', '.join(there)}" if there else "they have none"
                raise FaceganError(f"model.labels: the pictures have no label {column!r}; {has}")
        if not columns:
            return cls.none(sum(map(len, sets)))
        names = {column: there[column] for column in sorted(there if columns == "all" else columns)}
        rows = [torch.stack([part.labels[column] for column in names], 1) for part in sets]
        return cls(names, torch.cat(rows).to(torch.int64))

    @classmethod
    def none(cls, count: int) -> "Labels":
        """Of ``count`` pictures that nothing is told of."""
        return cls({}, torch.empty((count, 0), dtype=torch.int64))

    @property
    def classes(self) -> tuple[int, ...]:
        """How many there are in each column."""
        return tuple(len(names) for names in self.names.values())


def one_class_a_row(classes: Sequence[int], columns: int) -> torch.Tensor:
    """Labels int64 [rows * columns, len(classes)] of a grid: every class of every column, the others unknown.

    The first ``ROWS`` of them.
    """
    rows = []
    for place, count in enumerate(classes):
        for value in range(count):
            rows.append([value if other == place else -1 for other in range(len(classes))])
    return torch.tensor(rows[:ROWS], dtype=torch.int64).repeat_interleave(columns, 0)
