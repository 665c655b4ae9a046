"""The manifest of the shards: what a stage may know of them without knowing how they were made."""

from pathlib import Path
from typing import Any

from facegan.files import read_json

MANIFEST = "manifest.json"
SPLITS = ("train", "held_out")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Size, counts, label values, rejects and the digest of every shard."""
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    return manifest
