"""`facegan upgrade`: give the params.yaml of an earlier version what it lacks, so that it means what it meant."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.comments import CommentedMap

from facegan.repository.project import Project
from facegan.repository.yaml_file import read_commented, write_commented


@dataclass(frozen=True)
class Addition:
    """A key that was added to ``params.yaml``: where it goes, what it was before in effect, and what is said of it."""

    block: str
    key: str
    after: str
    value: Callable[[CommentedMap], Any]
    comment: str


def _judge(document: CommentedMap) -> str:
    """The random network judged until there was the face encoder, which came with the extractor of that name."""
    evaluate = document.get("evaluate")
    return "fd_face" if isinstance(evaluate, dict) and evaluate.get("extractor") == "face" else "fd_random"


def _source(**keys: Any) -> Callable[[CommentedMap], CommentedMap]:
    """A source of pictures that is not used."""

    def block(_: CommentedMap) -> CommentedMap:
        value = CommentedMap(keys)
        value.fa.set_flow_style()  # one line
        return value

    return block


_COLUMNS: dict[str, Any] = {"image": "image", "labels": []}
_PARQUET: dict[str, Any] = {"path": None, **_COLUMNS, "digest": None}
_HUB: dict[str, Any] = {"name": None, "revision": None, "config": None, "split": "train", **_COLUMNS}
# In the order of their coming; none is ever taken away.
ADDITIONS = (
    Addition("data", "hub", "folder", _source(**_HUB), "a data set of the Hugging Face hub; needs facegan[hub]"),
    Addition("data", "parquet", "hub", _source(**_PARQUET), "pictures in a column of Parquet files"),
    Addition("data", "webdataset", "parquet", _source(path=None, labels=[], digest=None), "pictures in .tar shards"),
    Addition("preprocess", "channels", "size", lambda _: 3, "1 (gray) | 3 (colour) | 4 (colour and transparency)"),
    Addition("train", "judge", "evaluate_every", _judge, "the score that chooses the best weights"),
    Addition("train", "microbatch", "batch", lambda _: None, "pictures that are computed at once; null is the batch"),
)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "upgrade", help="bring params.yaml of an earlier version up to date", description=__doc__
    )
    parser.set_defaults(run=lambda options: upgrade(Project.find()))


def upgrade(project: Project) -> None:
    """Add to params.yaml what it lacks; comments stay. Raises FaceganError, and writes nothing, for a broken file."""
    path = project.root / "params.yaml"
    document = read_commented(path)
    added = added_to(document)
    if added:
        write_commented(path, document)
        for name, value in added.items():
            known = json.dumps(value) if value is None or isinstance(value, dict) else value
            print(f"params.yaml: {name}: {known} added, which is what it was before there was a choice")
        print("`git diff params.yaml` shows the change; the next `dvc repro` trains again, as the code has changed too")
    else:
        project.params()
        print("params.yaml is up to date")


def added_to(document: CommentedMap) -> dict[str, Any]:
    """Add what ``document`` lacks; gives the values by dotted key."""
    added = {}
    for addition in ADDITIONS:
        block = document.get(addition.block)
        if not isinstance(block, CommentedMap) or addition.key in block:
            continue
        keys = list(block)
        place = keys.index(addition.after) + 1 if addition.after in block else len(keys)
        place -= place == len(keys)  # what follows the last key belongs to the next block
        value = addition.value(document)
        comment = None if block.fa.flow_style() else addition.comment
        block.insert(place, addition.key, value, comment=comment)
        added[f"{addition.block}.{addition.key}"] = value
    return added
