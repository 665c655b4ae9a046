"""Values over the course of a training."""

import math

import pytest

from facegan.params import Schedule
from facegan.training.schedule import images_in, value_at


@pytest.mark.parametrize(
    ("span", "images"),
    [
        ("60 kimg", 60_000),
        ("0.5 kimg", 500),
        ("25 epochs", 25 * 17),
        ("1 epoch", 17),
        ("0.1 epochs", 2),
        ("0.001 epochs", 1),
    ],
)
def test_a_span_is_counted_in_images(span: str, images: int) -> None:
    assert images_in(span, training_pictures=17) == images


def test_a_number_stays() -> None:
    assert [value_at(0.3, images, 10) for images in (0, 7, 10**9)] == [0.3] * 3


@pytest.mark.parametrize(("shape", "quarter"), [("linear", 0.25), ("cosine", (1 - math.cos(math.pi / 4)) / 2)])
def test_a_schedule_goes_from_start_to_end_and_stays(shape: str, quarter: float) -> None:
    schedule = Schedule(start=2.0, end=1.0, over="4 epochs", shape=shape)  # type: ignore[arg-type]
    expected = {0: 2.0, 10: 2.0 - quarter, 20: 1.5, 40: 1.0, 41: 1.0, 10**9: 1.0}
    for images, value in expected.items():
        assert value_at(schedule, images, training_pictures=10) == pytest.approx(value)
