"""The manifest of the shards: what a stage may know of them without knowing how they were made."""

from pathlib import Path
from typing import Any

from facegan.files import read_json
from facegan.sizes import channels_of, height_and_width, size_of

MANIFEST = "manifest.json"
SPLITS = ("train", "held_out")
SCHEME = "source pixels"  # what decides which pictures are held out


def read_manifest(folder: Path) -> dict[str, Any]:
    """Size, counts, label values, rejects and the digest of every shard."""
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    return manifest


def shape_of(manifest: dict[str, Any]) -> tuple[int, int, int]:
    """Height, width and channels of a picture."""
    return *height_and_width(size_of(manifest)), channels_of(manifest)


def split_of(manifest: dict[str, Any]) -> tuple[str, float]:
    """How the held-out pictures were chosen, and which share of all; another way in shards of an earlier version."""
    split = manifest.get("split", {"scheme": "processed pixels", "held_out": 0.0})
    return str(split["scheme"]), float(split["held_out"])
