"""An extractor reads pictures a batch at a time, in order, and leaves the caller's modes alone."""

import torch

from evaluation.doubles import colours, means, noise
from facegan.evaluation.extractor import BATCH


def test_features_come_in_batches_and_in_order() -> None:
    images = noise(2 * BATCH + 5)
    parts = list(colours().batches(images))
    assert [len(part) for part in parts] == [BATCH, BATCH, 5]
    assert torch.equal(torch.cat(parts), means(images))


def test_no_graph_is_kept() -> None:
    weight = torch.ones(3, requires_grad=True)
    (features,) = colours(extract=lambda images: means(images) * weight).batches(noise(4))
    assert not features.requires_grad


def test_whoever_reads_a_batch_stays_in_the_mode_they_were_in() -> None:
    for _ in colours().batches(noise(BATCH + 1)):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
