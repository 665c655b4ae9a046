"""`python -m facegan.cli.experiment NAME`: `dvc exp run`, which ends when the process that started it is gone."""

import os
import signal
import sys

from dvc.cli import main as dvc

from facegan.processes import PARENT, end_with

if __name__ == "__main__":
    end_with(PARENT, lambda: os.kill(os.getpid(), signal.SIGTERM))
    sys.exit(dvc(["exp", "run", "--name", sys.argv[1]]))
