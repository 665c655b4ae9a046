"""`facegan recipe`: published systems and the default, as overlays on ``recipes/base.yaml``."""

import argparse

from facegan.repository.project import Project
from facegan.repository.recipes import heading, names, recipe, use_recipe
from facegan.repository.yaml_file import text


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
