"""The labels that a model is told of, and the rows of its grids."""

import pytest
import torch

from facegan.data.batches import ImageSet
from facegan.data.labels import ROWS, Labels, one_class_a_row
from facegan.errors import FaceganError

MANIFEST = {"labels": {"eyes": ["blue", "red"], "hair": ["black", "pink", "teal"]}}


def images(eyes: list[int], hair: list[int]) -> ImageSet:
    count = len(eyes)
    labels = {"eyes": torch.tensor(eyes, dtype=torch.int32), "hair": torch.tensor(hair, dtype=torch.int32)}
    return ImageSet(torch.zeros((count, 4, 4, 3), dtype=torch.uint8), torch.arange(count, dtype=torch.int32), labels)


def test_columns_stand_in_the_order_of_their_names_whatever_was_asked() -> None:
    """Names are kept as JSON with sorted keys."""
    sets = images([0, -1], [2, 1]), images([1], [-1])
    for columns in (["hair", "eyes"], ["eyes", "hair"], "all"):
        labels = Labels.of(*sets, columns=columns, manifest=MANIFEST)
        assert list(labels.names) == ["eyes", "hair"]
        assert labels.table.tolist() == [[0, 2], [-1, 1], [1, -1]]
        assert labels.table.dtype == torch.int64
        assert labels.classes == (2, 3)


def test_one_column_may_be_chosen_and_none() -> None:
    assert Labels.of(images([0, 1], [2, 1]), columns=["hair"], manifest=MANIFEST).table.tolist() == [[2], [1]]
    none = Labels.of(images([0, 1], [2, 1]), columns=[], manifest=MANIFEST)
    assert (none.names, none.classes, tuple(none.table.shape)) == ({}, (), (2, 0))


@pytest.mark.parametrize(
    ("columns", "there", "words"),
    [
        (["har"], MANIFEST, "model.labels: the pictures have no label 'har'; those that they have are eyes, hair"),
        (["hair"], {"labels": {}}, "model.labels: the pictures have no label 'hair'; they have none"),
        ("all", {"labels": {}}, "model.labels: the pictures have no labels; they come from a labels.csv"),
    ],
)
def test_labels_that_the_pictures_lack_are_refused_in_one_line(
    columns: list[str], there: dict[str, object], words: str
) -> None:
    with pytest.raises(FaceganError) as caught:
        Labels.of(images([0], [0]), columns=columns, manifest=there)
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)


def test_a_grid_has_a_class_in_each_row_and_the_others_unknown() -> None:
    rows = one_class_a_row((2, 3), 2).view(5, 2, 2)
    assert torch.equal(rows[:, 0], rows[:, 1])
    assert rows[:, 0].tolist() == [[0, -1], [1, -1], [-1, 0], [-1, 1], [-1, 2]]


def test_a_grid_of_many_classes_ends() -> None:
    assert len(one_class_a_row((1000,), 3)) == 3 * ROWS
