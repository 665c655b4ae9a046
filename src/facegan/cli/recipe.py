"""`facegan recipe`: published systems and the default, as overlays on ``recipes/base.yaml``."""

import argparse
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from facegan.cli.project import Project
from facegan.cli.yaml_file import overlay, read_commented, text, write_commented
from facegan.errors import FaceganError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("recipe", help="list, show or use a recipe", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="list|show|use")
    listing = actions.add_parser("list", help="all recipes, a line each")
    listing.set_defaults(run=lambda options: _list(Project.find()))
    show = actions.add_parser("show", help="print the params.yaml of a recipe")
    show.add_argument("name")
    show.set_defaults(run=lambda options: print(text(recipe(Project.find().root, options.name)), end=""))
    use = actions.add_parser("use", help="write a recipe into params.yaml")
    use.add_argument("name")
    use.add_argument("--with-data", action="store_true", help="take the recipe's own data set too, not keep yours")
    use.set_defaults(run=lambda options: use_recipe(Project.find(), options.name, options.with_data))


def recipe(root: Path, name: str) -> CommentedMap:
    """The complete parameters of a recipe: the base with the overlay's values and comments. Raises FaceganError."""
    folder = root / "recipes"
    document = read_commented(folder / "base.yaml")
    if name != "base":
        if name not in names(root):
            near = get_close_matches(name, names(root), 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise FaceganError(f"there is no recipe {name!r}; {hint}there are {', '.join(names(root))}")
        path = folder / f"{name}.yaml"
        overlay(document, read_commented(path), f"recipes/{name}.yaml")
        document.yaml_set_start_comment((_heading(path) or name) + "\n\n")  # and a blank line
    return document


def _heading(path: Path) -> str:
    """What a recipe says of itself before its first key, without the signs."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)


def names(root: Path) -> list[str]:
    """Recipes by name, the base first."""
    found = sorted(path.stem for path in (root / "recipes").glob("*.yaml"))
    return sorted(found, key=lambda name: name != "base")


def _list(project: Project) -> None:
    for name in names(project.root):
        first = _heading(project.root / "recipes" / f"{name}.yaml").partition("\n")[0]
        print(f"{name:18s} {first}".rstrip())


def use_recipe(project: Project, name: str, with_data: bool) -> None:
    """Write a recipe into params.yaml; the ``data`` block stays unless ``with_data``."""
    document = recipe(project.root, name)
    path = project.root / "params.yaml"
    if path.is_file() and not with_data:
        current = read_commented(path)
        if "data" in current:
            document["data"] = current["data"]
    write_commented(path, document)
    kept = "" if with_data else f", data.source {document['data']['source']} as it was"
    print(f"params.yaml is now {name}{kept}; `git diff params.yaml` shows the change, `dvc repro` runs it")
