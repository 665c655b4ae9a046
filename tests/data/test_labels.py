"""The labels that a model is told of, and the rows of its grids."""

import pytest
import torch

from facegan.data.labels import Labels, one_class_a_row
from facegan.data.stored import ImageSet
from facegan.errors import FaceganError
from facegan.pictures import CLASS_ROWS

MANIFEST = {"labels": {"eyes": ["blue", "red"], "hair": ["black", "pink", "teal"]}}


def images(eyes: list[int], hair: list[int]) -> ImageSet:
    count = len(eyes)
    labels = {"eyes": torch.tensor(eyes, dtype=torch.int32), "hair": torch.tensor(hair, dtype=torch.int32)}
    return ImageSet(torch.zeros((count, 4, 4, 3), dtype=torch.uint8), torch.arange(count, dtype=torch.int32), labels)


def test_columns_stand_in_the_order_of_their_names_whatever_was_asked() -> None:
    """Names are kept as JSON with sorted keys."""
    for columns in (["hair", "eyes"], ["eyes", "hair"], "all"):
        labels = Labels.to_train(images([0, -1, 1], [2, 1, 0]), columns, MANIFEST)
        assert labels.names == MANIFEST["labels"] and list(labels.names) == ["eyes", "hair"]
        assert labels.table.tolist() == [[0, 2], [-1, 1], [1, 0]]
        assert labels.table.dtype == torch.int64
        assert labels.classes == (2, 3)


def test_one_column_may_be_chosen_and_none() -> None:
    assert Labels.to_train(images([0, 1], [2, 1]), ["hair"], MANIFEST).table.tolist() == [[1], [0]]
    none = Labels.to_train(images([0, 1], [2, 1]), [], MANIFEST)
    assert (none.names, none.classes, tuple(none.table.shape)) == ({}, (), (2, 0))


def test_classes_are_those_of_the_training() -> None:
    """One that only a held-out picture has could never be learned."""
    train, held_out = images([1, -1, 1], [-1, -1, -1]), images([0, 1], [2, -1])
    labels = Labels.to_train(train, "all", MANIFEST)
    assert labels.names == {"eyes": ["red"]}
    assert labels.table.tolist() == [[0], [-1], [0]]
    both = Labels.of(train, held_out, names=labels.names, manifest=MANIFEST)
    assert both.table.tolist() == [[0], [-1], [0], [-1], [0]]
    with pytest.raises(FaceganError, match=r"have no label 'hair'; those that they have are eyes"):
        Labels.to_train(train, ["hair"], MANIFEST)


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
        pictures = images([0], [0])
        if not there["labels"]:
            pictures.labels.clear()
        Labels.to_train(pictures, columns, there)
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)


def test_a_grid_has_a_class_in_each_row_and_the_others_unknown() -> None:
    rows = one_class_a_row((2, 3), 2).view(5, 2, 2)
    assert torch.equal(rows[:, 0], rows[:, 1])
    assert rows[:, 0].tolist() == [[0, -1], [1, -1], [-1, 0], [-1, 1], [-1, 2]]


def test_a_grid_of_many_classes_ends() -> None:
    assert len(one_class_a_row((1000,), 3)) == 3 * CLASS_ROWS
