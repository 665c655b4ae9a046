"""`facegan data`: pin the pictures that a run uses."""

import argparse

from facegan.repository.pinning import pin_pictures
from facegan.repository.project import Project


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("data", help="pin the data set", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="pin")
    pin = actions.add_parser("pin", help="write the digest of the folder or Kaggle data set into params.yaml")
    pin.add_argument("--newest", action="store_true", help="of a Kaggle data set, take the newest version first")
    pin.set_defaults(run=lambda options: pin_pictures(Project.find(), options.newest))
