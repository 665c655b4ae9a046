"""Record: make MLflow hold this run whole, from the outputs of the stages alone; fails when it could not."""

from facegan.cli.command import run_stage
from facegan.cli.project import Project
from facegan.cli.record import record_run


def record(project: Project) -> None:
    record_run(project)


if __name__ == "__main__":
    run_stage(record)
