"""Batches: each picture once an epoch, the same batch for the same step whoever asks and when."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facegan.data.batches import BatchSequence, to_network, to_uint8
from facegan.randomness import generator

COUNTS = st.integers(1, 40)
BATCHES = st.integers(1, 100)
SEEDS = st.integers(0, 2**63 - 1)


def shown(sequence: BatchSequence, steps: range) -> list[int]:
    return [index for step in steps for index in sequence.indices(step).tolist()]


# The sequence


@given(COUNTS, BATCHES, SEEDS)
def test_an_epoch_shows_every_picture_once(count: int, batch: int, seed: int) -> None:
    steps = -(-3 * count // batch)
    order = shown(BatchSequence(count, batch, seed), range(steps))
    for epoch in range(3):
        assert sorted(order[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(COUNTS, BATCHES, SEEDS, st.lists(st.integers(0, 10**6), max_size=8))
def test_a_batch_is_the_same_whatever_was_asked_before(count: int, batch: int, seed: int, steps: list[int]) -> None:
    used = BatchSequence(count, batch, seed)
    for step in [*steps, *reversed(steps)]:
        indices = used.indices(step)
        assert (indices.dtype, indices.shape) == (torch.int64, (batch,))
        assert torch.equal(indices, BatchSequence(count, batch, seed).indices(step))


@given(COUNTS, SEEDS, st.integers(1, 6), st.integers(1, 8))
def test_the_order_of_pictures_does_not_depend_on_the_batch(count: int, seed: int, small: int, times: int) -> None:
    """Processes that share a batch see together what one alone would see."""
    large = BatchSequence(count, small * times, seed)
    parts = BatchSequence(count, small, seed)
    for step in range(4):
        assert large.indices(step).tolist() == shown(parts, range(step * times, (step + 1) * times))


@given(st.integers(1, 12), st.integers(2, 9))
def test_a_batch_larger_than_the_set_repeats_it_evenly(count: int, times: int) -> None:
    indices = BatchSequence(count, count * times, 1).indices(3)
    assert set(Counter(indices.tolist()).values()) == {times}


def test_epochs_are_shuffled_anew_and_seeds_differ() -> None:
    orders = [shown(BatchSequence(100, 100, seed), range(epoch, epoch + 1)) for seed in range(3) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 9
    assert list(range(100)) not in orders


def test_the_sequence_is_the_promised_one() -> None:
    # A change here changes every training that exists, and breaks resuming those under way.
    epochs = [torch.randperm(10, generator=generator(7, "order", epoch)) for epoch in range(2)]
    assert shown(BatchSequence(10, 4, 7), range(5)) == torch.cat(epochs).tolist()


def test_the_global_generator_is_not_touched() -> None:
    state = torch.get_rng_state()
    BatchSequence(10, 4, 1).indices(5)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_batches_come_of_no_pictures() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        BatchSequence(0, 4, 1)


# Values


def test_every_grey_level_survives_the_way_to_the_network_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(4, 8, 8, 1).expand(4, 8, 8, 3)
    assert torch.equal(to_uint8(to_network(levels)), levels)


def test_the_network_sees_minus_one_to_one_channels_last() -> None:
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).repeat(2, 5, 7, 1)
    seen = to_network(images)
    assert (seen.shape, seen.dtype) == ((2, 3, 5, 7), torch.float32)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert (seen[:, 0] == -1).all()
    assert torch.allclose(seen[:, 1], torch.tensor(128 / 127.5 - 1), atol=1e-6)
    assert (seen[:, 2] == 1).all()
    assert (images[..., 2] == 255).all()  # and the set in memory is as it was


def test_pictures_are_rounded_and_clamped_but_not_stretched() -> None:
    values = torch.tensor([-3.0, -1.0, -0.997, 0.0, 0.5, 0.998, 1.0, 7.0]).reshape(1, 1, 1, 8).expand(1, 3, 1, 8)
    pictures = to_uint8(values)
    assert (pictures.dtype, pictures.shape) == (torch.uint8, (1, 1, 8, 3))
    assert pictures[0, 0, :, 0].tolist() == [0, 0, 0, 128, 191, 255, 255, 255]


def test_pictures_are_taken_from_half_precision_and_leave_no_gradient() -> None:
    values = torch.zeros(1, 3, 2, 2, dtype=torch.bfloat16, requires_grad=True)
    pictures = to_uint8(values)
    assert not pictures.requires_grad
    assert (pictures == 128).all()
