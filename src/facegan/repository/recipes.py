"""Recipes: published systems and the default, as overlays on ``recipes/base.yaml``."""

import itertools
from difflib import get_close_matches
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from facegan.errors import FaceganError
from facegan.files import json_digest, write_atomic
from facegan.params_yaml import parse_params
from facegan.repository.project import Project
from facegan.repository.yaml_file import overlay, read_commented, text, write_commented

_WRITTEN = "recipe-written"  # digest of the params.yaml that a recipe was written into last: nobody's edits


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
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)


def names(root: Path) -> list[str]:
    """Recipes by name, the base first."""
    found = sorted(path.stem for path in (root / "recipes").glob("*.yaml"))
    return sorted(found, key=lambda name: name != "base")


def use_recipe(project: Project, name: str, with_data: bool) -> None:
    """Write the model, the training and the size of a recipe into params.yaml; the rest stays the user's.

    ``with_data`` takes its pictures too, and how they are prepared. A params.yaml with changes that git does not have
    is kept beside the new one, as params.yaml.orig. Raises FaceganError, and writes nothing, for what does not fit.
    """
    document = recipe(project.root, name)
    path = project.root / "params.yaml"
    kept = ""
    if path.is_file():
        current = read_commented(path)
        for block in ("seed", "evaluate", "export", "promotion", *(() if with_data else ("data", "preprocess"))):
            if block in current and block in document:
                size = document[block]["size"] if block == "preprocess" else None
                document[block] = current[block]
                if size is not None and isinstance(document[block], CommentedMap):
                    document[block]["size"] = size
        content = path.read_bytes()
        parse_params(text(document), path.name)  # before anything is written
        if project.changed("params.yaml") and json_digest(content.hex()) != _written(project):
            kept_as = _free(path)
            write_atomic(kept_as, content)
            kept = f"; your uncommitted one is kept as {kept_as.name}"
    write_commented(path, document)
    if kept:  # the new one holds some of these edits
        (project.state / _WRITTEN).unlink(missing_ok=True)
    else:
        write_atomic(project.state / _WRITTEN, json_digest(path.read_bytes().hex()))
    own = "" if with_data else f", data.source {document['data']['source']} as it was"
    print(f"params.yaml is now {name}{own}{kept}; `git diff params.yaml` shows the change, `dvc repro` runs it")


def _written(project: Project) -> str | None:
    path = project.state / _WRITTEN
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _free(path: Path) -> Path:
    """params.yaml.orig, or .orig2 and so on: an earlier one is kept too."""
    names = itertools.chain([".orig"], (f".orig{number}" for number in itertools.count(2)))
    return next(free for name in names if not (free := path.with_name(path.name + name)).exists())
