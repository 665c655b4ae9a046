"""The run that the outputs hold, in MLflow."""

from facegan.files import json_digest, locked, read_json
from facegan.repository.agreement import check_outputs
from facegan.repository.project import EXPORTED, RAW, REPORTS, SHARDS, TRAINED, Project
from facegan.tracking.errors import mlflow_guarded
from facegan.tracking.lineage import RunSpec, attempt_of, environment_tags, lineage_key, read_trained


def record_run(project: Project, command: str = "record") -> str:
    """Send what earlier trainings could not, then fill the run of these outputs; gives its id.

    Raises FaceganError, and writes nothing, for outputs that are not those of what is here.
    """
    with (
        mlflow_guarded("rerun `facegan record` when it is back"),
        locked(project.state / "record.lock"),
    ):
        check_outputs(project, command)
        server = project.server()  # first: it quiets MLflow before the import
        from facegan.tracking.feed import send_backlog
        from facegan.tracking.record import Outputs, record
        from facegan.tracking.view import DIGEST

        outputs = Outputs(*(project.root / folder for folder in (RAW, SHARDS, TRAINED, EXPORTED, REPORTS)))
        config, params = read_json(outputs.trained / "config.json"), project.params()
        key = config["training_key"]
        digests = outputs.digests()
        trained, environments = read_trained(project.state, key, digests[DIGEST + "generator"])
        tags = environment_tags(environments) | project.tags()
        own = [trained] if trained else []
        own.append(json_digest([lineage_key(key, params), digests]))  # what an interrupted one began
        specs = [RunSpec.of(params, key, config["size"], attempt_of(project.home, name), tags) for name in own]
        send_backlog(project.state, server, wait=True)
        params_yaml = (project.root / "params.yaml").read_text(encoding="utf-8")
        run_id = record(server, specs, outputs, params_yaml, project.changes())
    print(f"{command}: run {run_id} ({specs[0].name}) in experiment {server.experiment}")
    return run_id
