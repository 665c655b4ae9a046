"""The parts of a run, in order of worth."""

from benchmarks.gpu import exact, faces, means, speed
from benchmarks.gpu.bench import Bench, Item

PARTS = {"exact": exact.items, "speed": speed.items, "means": means.items, "faces": faces.items}


def all_items(bench: Bench) -> list[Item]:
    return [item for items in PARTS.values() for item in items(bench)]
