"""Recipes: published systems and the default, as overlays on ``recipes/base.yaml``."""

from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from facegan.errors import FaceganError
from facegan.repository.yaml_file import overlay, read_commented


def recipe(root: Path, name: str) -> CommentedMap:
    """The complete parameters of a recipe: the base with the overlay's values and comments. Raises FaceganError."""
    folder = root / "recipes"
    document = read_commented(folder / "base.yaml")
    if name != "base":
        if name not in names(root):
            near = get_close_matches(name, names(root), 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise FaceganError(f"unknown recipe {name!r}; {hint}the recipes are {', '.join(names(root))}")
        path = folder / f"{name}.yaml"
        overlay(document, read_commented(path), f"recipes/{name}.yaml")
        document.yaml_set_start_comment((heading(path) or name) + "\n\n")  # and a blank line
    return document


def heading(path: Path) -> str:
    """What a recipe says of itself before its first key, without the signs."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)


def names(root: Path) -> list[str]:
    """Recipes by name, the base first."""
    found = sorted(path.stem for path in (root / "recipes").glob("*.yaml"))
    return sorted(found, key=lambda name: name != "base")
