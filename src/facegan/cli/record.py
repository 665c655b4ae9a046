"""`facegan record`: the run that the outputs hold, in MLflow."""

from facegan.cli.project import EXPORTED, RAW, REPORTS, SHARDS, TRAINED, Project
from facegan.errors import FaceganError
from facegan.files import read_json
from facegan.tracking.errors import one_line
from facegan.tracking.lineage import RunSpec, environment_tags, read_environments


def record_run(project: Project) -> str:
    """Send what earlier trainings could not, then fill the run of these outputs; gives its id. Raises FaceganError."""
    from facegan.tracking.feed import send_backlog
    from facegan.tracking.record import Outputs, record

    outputs = Outputs(*(project.root / folder for folder in (RAW, SHARDS, TRAINED, EXPORTED, REPORTS)))
    try:
        config = read_json(outputs.trained / "config.json")
        tags = environment_tags(read_environments(project.state, config["training_key"])) | project.tags()
        spec = RunSpec.of(project.params(), config["training_key"], config["size"], tags)
        params_yaml = (project.root / "params.yaml").read_text(encoding="utf-8")
        server = project.server()
        send_backlog(project.state, server)
        run_id = record(server, spec, outputs, params_yaml, project.changes())
    except FileNotFoundError as error:
        raise FaceganError(
            f"record: {error.filename} is missing; run `dvc repro`, or `dvc pull` for a run that exists"
        ) from error
    except FaceganError:
        raise
    except Exception as error:  # MLflow lets those of its database, of HTTP and of its stores through
        raise FaceganError(
            f"record: MLflow did not take the run ({one_line(error)}); when it is back: `facegan record`"
        ) from error
    print(f"record: run {run_id} ({spec.name}) in experiment {server.experiment}")
    return run_id
