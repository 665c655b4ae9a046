"""Record: make MLflow hold this run whole, from the outputs of the stages alone; fails when it could not."""

from facegan.repository.project import Project
from facegan.repository.recording import record_run
from facegan.repository.running import run_stage


def record(project: Project) -> None:
    record_run(project)


if __name__ == "__main__":
    run_stage(record)
