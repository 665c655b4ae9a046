"""Scoring: against scipy and pytorch-fid on the same input, in seconds and in memory."""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pytorch_fid.fid_score import calculate_frechet_distance, get_activations

from facegan.data.synthetic import draw, sample_factors
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.inception import build, features_of
from facegan.evaluation.neighbors import manifold_scores
from facegan.evaluation.pixels import RealPictures, copies, pixel_scores
from facegan.evaluation.random_network import random_extractor
from facegan.evaluation.reference import reference
from facegan.evaluation.scores import extracted, feature_scores, measured
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance

Rows = list[tuple[str, str, str]]
CPU = torch.device("cpu")


def measure(device: torch.device) -> Rows:
    seconds, memory = _alone(_weight_free)
    neighbours, neighbours_memory = _alone(_neighbours)
    first, second = _cached()
    return [
        ("scores without a download, 5,000 a side at 64x64", f"{seconds:.0f} s", "under 180 s"),
        ("  memory of that", f"{memory:.2f} GB", "under 2 GB"),
        ("Frechet distance at 2,048 dimensions over scipy's sqrtm", f"{_frechet():.1f}x", "5x"),
        ("Inception features over pytorch-fid's", f"{_inception(device):.2f}x", "1.3x"),
        ("precision and recall, 50,000 a side at 2,048 dimensions", f"{neighbours:.0f} s", ""),
        ("  memory of that", f"{neighbours_memory:.2f} GB", "under 4 GB"),
        ("real features of 5,000 pictures again, over the first time", f"{second / first:.3f}", "cached"),
    ]


def _faces(count: int) -> torch.Tensor:
    """Drawn ones, repeated with noise beyond a thousand."""
    drawn = torch.from_numpy(np.stack([np.asarray(draw(sample_factors(1, index), 64)) for index in range(1000)]))
    pictures = drawn[torch.arange(count) % 1000]
    source = torch.Generator().manual_seed(0)
    for part in pictures.split(1000):  # a few at a time: the memory that is measured is not for this
        grain = torch.randint(-6, 7, part.shape, generator=source, dtype=torch.int16)
        part.copy_((grain + part).clamp(0, 255))
    return pictures


def _alone(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and GB that a process of its own came to above what it had after its imports."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(work, sender))
    process.start()
    sender.close()
    result: tuple[float, float] = receiver.recv()  # EOFError when it died
    process.join()
    return result


def _measured(work: Callable[[], None], sender: Connection) -> None:
    before, began = _memory("VmRSS"), time.perf_counter()
    work()
    sender.send((time.perf_counter() - began, _memory("VmHWM") - before))


def _memory(name: str) -> float:
    """GB, as Linux counts it: ``ru_maxrss`` of a child begins at its parent's."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1e6


def _weight_free() -> None:
    pictures, generated, extractor = _faces(11_000), _faces(5000), random_extractor(CPU)
    with tempfile.TemporaryDirectory() as cache:
        real = reference(pictures, extractor, 5000, 1, Path(cache), ["a"], "", lambda _: None)
        fake = measured(extracted(generated, extractor), extractor, 5000, 5000, lambda _: None)
        feature_scores(real, fake, extractor, 1)
        split = RealPictures.of(pictures[:10_000], pictures[10_000:], 5000, 1)
        pixel_scores(split, fake.pictures, 1)
        copies(split, fake.pictures)


def _neighbours() -> None:
    source = torch.Generator().manual_seed(0)
    real, fake = (torch.randn((50_000, 2048), generator=source) for _ in range(2))
    manifold_scores(real, fake)


def _frechet() -> float:
    source = torch.Generator().manual_seed(0)
    sides = [torch.randn((4096, 2048), generator=source, dtype=torch.float64) * scale for scale in (1.0, 1.3)]
    statistics_of = [FeatureStatistics("a").update(side) for side in sides]
    began = time.perf_counter()
    ours = frechet_distance(*statistics_of)
    ours_took = time.perf_counter() - began
    arrays = [(side.mean.numpy(), side.covariance.numpy()) for side in statistics_of]
    began = time.perf_counter()
    theirs = calculate_frechet_distance(*arrays[0], *arrays[1])
    theirs_took = time.perf_counter() - began
    assert abs(ours - theirs) < 1e-9 * abs(theirs), (ours, theirs)
    return theirs_took / ours_took


def _inception(device: torch.device) -> float:
    """On random weights, which take as long: pytorch-fid's function that its command calls, on files, and ours."""
    import torchvision

    weights = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    pictures = _faces(256)
    extractor = Extractor("inception", "", "a" * 64, 2048, {}, features_of(weights.state_dict(), device))
    theirs = build(weights.state_dict()).to(device)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for index, picture in enumerate(pictures.numpy()):
            files.append(str(Path(folder, f"{index}.png")))
            Image.fromarray(picture).save(files[-1])
        for _ in range(3):
            began = time.perf_counter()
            for _ in extractor.batches(pictures):
                pass
            ours_took = time.perf_counter() - began
            began = time.perf_counter()
            get_activations(files, theirs, batch_size=50, dims=2048, device=device, num_workers=2)
            ratios.append((time.perf_counter() - began) / ours_took)
    return statistics.median(ratios)


def _cached() -> tuple[float, float]:
    pictures, extractor = _faces(5000), random_extractor(CPU)
    took = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            began = time.perf_counter()
            reference(pictures, extractor, 2500, 1, Path(cache), ["a"], "", lambda _: None)
            took.append(time.perf_counter() - began)
    return took[0], took[1]
