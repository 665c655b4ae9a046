"""A generator that draws what it is asked for is told from one that does not, class by class."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.doubles import colours, means, noise
from facegan.data.labels import Labels
from facegan.data.synthetic import draw, sample_factors
from facegan.evaluation import labels as module
from facegan.evaluation.labels import class_scores, label_accuracy, train_classifier
from facegan.evaluation.reference import reference

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def labelled() -> tuple[torch.Tensor, Labels]:
    """Drawn faces with two of their factors, a fifth of which is not known."""
    faces = [sample_factors(3, index) for index in range(700)]
    images = torch.from_numpy(np.stack([np.asarray(draw(face, 64).resize((32, 32))) for face in faces]))
    names, columns = {}, []
    for column in ("hair_colour", "eye_colour"):
        values = [getattr(face, column) for face in faces]
        names[column] = sorted(set(values))
        columns.append(torch.tensor([names[column].index(value) for value in values]))
    table = torch.stack(columns, 1)
    table[torch.rand(table.shape, generator=torch.Generator().manual_seed(0)) < 0.2] = -1
    return images, Labels(names, table)


def test_pictures_of_what_was_asked_for_are_right_as_often_as_real_ones(labelled: tuple[torch.Tensor, Labels]) -> None:
    images, labels = labelled
    parts = [Labels(labels.names, labels.table[part]) for part in (slice(400), slice(400, 550), slice(550, 700))]
    network = train_classifier(images[:400], parts[0], 1)
    obeying = label_accuracy(network, images[400:550], parts[1].table, images[550:], parts[2])
    shuffled = parts[1].table[torch.randperm(150, generator=torch.Generator().manual_seed(1))]
    deaf = label_accuracy(network, images[400:550], shuffled, images[550:], parts[2])
    name = "label_accuracy_hair_colour"
    assert obeying[name]["floor"] > 0.9 and obeying[name]["value"] > 0.9
    assert deaf[name]["value"] < 0.4
    assert deaf[name]["n"] == int((shuffled[:, 0] >= 0).sum())
    assert set(obeying) == {name, "label_accuracy_eye_colour"}


def test_the_classifier_is_the_same_every_time(
    labelled: tuple[torch.Tensor, Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEPS", 20)
    images, labels = labelled
    networks = [train_classifier(images[:64], Labels(labels.names, labels.table[:64]), 1) for _ in range(2)]
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_labels_that_nobody_knows_have_no_accuracy_and_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 3)
    images, unknown = noise(40), Labels({"hair": ["a", "b"]}, torch.full((40, 1), -1))
    network = train_classifier(images, unknown, 1)
    assert label_accuracy(network, images, unknown.table, images, unknown) == {}


def test_a_label_of_one_class_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 3)
    images, labels = noise(40), Labels({"hair": ["a"]}, torch.zeros((40, 1), dtype=torch.int64))
    network = train_classifier(images, labels, 1)
    assert label_accuracy(network, images, labels.table, images, labels) == {}


def test_classes_with_enough_pictures_are_scored_against_their_own(tmp_path: Path) -> None:
    real = noise(600, 1)
    table = torch.arange(600)[:, None] % 3
    table[table == 2] = torch.where(torch.arange(200) < 20, 2, -1)  # the third class has 20 pictures
    labels = Labels({"shade": ["dark", "light", "rare"]}, table)
    real[table[:, 0] == 1] |= 128
    held = reference(real, colours(), 300, 1, tmp_path, ["a"], "here", lambda _: None)
    asked = torch.arange(300)[:, None] % 2
    fake = noise(300, 2)
    fake[asked[:, 0] == 1] |= 128
    rows = class_scores(held, means(fake), asked, labels, 1)
    assert [(row["label"], row["class"]) for row in rows] == [("shade", "dark"), ("shade", "light")]
    for row in rows:
        assert 60 < row["n"] < 140
        assert abs(row["kid"]["value"] - row["kid"]["floor"]) < 4 * row["kid"]["std"]
    swapped = class_scores(held, means(fake), 1 - asked, labels, 1)
    assert all(row["kid"]["value"] > 10 * abs(row["kid"]["floor"]) + 1 for row in swapped)


def test_parts_of_a_batch_teach_what_the_batch_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = noise(64, 1, 32), Labels({"hair": ["red", "blue"]}, torch.arange(64)[:, None] % 3 - 1)
    monkeypatch.setattr("facegan.evaluation.labels.STEPS", 3)
    networks = []
    for parts in (1, 4):
        monkeypatch.setattr("facegan.evaluation.labels.PARTS", parts)
        networks.append(train_classifier(images, labels, 1))
    for whole, shared in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(whole, shared, rtol=1e-3, atol=1e-4)
