"""`facegan recipe`: published systems and the default, as overlays on ``recipes/base.yaml``."""

import argparse
import itertools
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from facegan.files import json_digest, write_atomic
from facegan.params_yaml import parse_params
from facegan.repository.project import Project
from facegan.repository.recipes import heading, names, recipe
from facegan.repository.yaml_file import read_commented, text, write_commented


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("recipe", help="list, show or use a recipe", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="list|show|use")
    listing = actions.add_parser("list", help="all recipes, a line each")
    listing.set_defaults(run=lambda options: _list(Project.find()))
    show = actions.add_parser("show", help="print the params.yaml of a recipe")
    show.add_argument("name")
    show.set_defaults(run=lambda options: print(text(recipe(Project.find().root, options.name)), end=""))
    use = actions.add_parser("use", help="write the model, training and size of a recipe into params.yaml")
    use.add_argument("name")
    use.add_argument("--with-data", action="store_true", help="take its pictures too, and how they are prepared")
    use.set_defaults(run=lambda options: use_recipe(Project.find(), options.name, options.with_data))


def _list(project: Project) -> None:
    for name in names(project.root):
        first = heading(project.root / "recipes" / f"{name}.yaml").partition("\n")[0]
        print(f"{name:18s} {first}".rstrip())


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


_WRITTEN = "recipe-written"  # digest of the params.yaml that a recipe was written into last: nobody's edits


def _written(project: Project) -> str | None:
    path = project.state / _WRITTEN
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _free(path: Path) -> Path:
    """params.yaml.orig, or .orig2 and so on: an earlier one is kept too."""
    names = itertools.chain([".orig"], (f".orig{number}" for number in itertools.count(2)))
    return next(free for name in names if not (free := path.with_name(path.name + name)).exists())
