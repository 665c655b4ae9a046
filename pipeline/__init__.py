"""The stages of ``dvc.yaml``, one module each; ``python -m pipeline.STAGE`` runs one."""

import sys
from importlib.util import find_spec

if find_spec("facegan") is None:
    sys.exit(f"{sys.executable} has no facegan: run `. .venv/bin/activate` first (`make setup` makes .venv)")

import facegan.processes  # noqa: F401 - first of all: it notes who the parent is
from facegan.startup import start_quickly

start_quickly()
