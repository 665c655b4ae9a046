"""Parameters that change during a training, as functions of the images shown."""

import math

from facegan.params import Schedule


def images_in(span: str, training_pictures: int) -> int:
    """How many images a span such as "60 kimg" or "25 epochs" shows, given the size of the training set."""
    number, unit = span.split()
    return max(1, round(float(number) * (1000 if unit == "kimg" else training_pictures)))


def value_at(value: float | Schedule, images: int, training_pictures: int) -> float:
    """The value once ``images`` were shown."""
    if not isinstance(value, Schedule):
        return value
    share = min(1.0, images / images_in(value.over, training_pictures))
    if value.shape == "cosine":
        share = (1 - math.cos(math.pi * share)) / 2
    return value.start + (value.end - value.start) * share
