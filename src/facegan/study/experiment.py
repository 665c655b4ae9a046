"""`python -m facegan.study.experiment PARENT ARGUMENTS`: dvc, which ends when the process PARENT is gone."""

import os
import signal
import sys

from facegan.processes import end_with

if __name__ == "__main__":
    end_with(int(sys.argv[1]), lambda: os.kill(os.getpid(), signal.SIGTERM))
    from dvc.cli import main  # seconds, in which the parent may go

    sys.exit(main(sys.argv[2:]))
