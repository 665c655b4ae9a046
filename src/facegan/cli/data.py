"""`facegan data`: pin the pictures that a run uses."""

import argparse

from facegan.repository.pinning import pin_pictures
from facegan.repository.project import Project


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("data", help="pin the data set", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="pin")
    pin = actions.add_parser("pin", help="write what identifies the pictures (a digest, a commit) into params.yaml")
    pin.add_argument("--newest", action="store_true", help="of Kaggle or the hub, take the newest version first")
    pin.set_defaults(run=lambda options: pin_pictures(Project.find(), options.newest))
