"""A set of pictures as their source holds them: names, encoded bytes, labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class PictureSet:
    """Encoded pictures by name.

    ``names`` are unique relative POSIX paths, sorted; ``read`` gives the bytes of one; ``labels`` maps a name to
    its labels by column (a missing column is an unknown label); ``description`` goes into the manifest as it is;
    ``unreadable`` maps names that the source lists and cannot give to the reason. ``drawn`` says that ``read``
    computes, so that it pays to call it in several processes (it can then be pickled). ``notes`` are for whoever
    runs the stage.
    """

    names: tuple[str, ...]
    read: Callable[[str], bytes]
    labels: Mapping[str, Mapping[str, str]]
    description: Mapping[str, Any]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    drawn: bool = False
    notes: tuple[str, ...] = ()
