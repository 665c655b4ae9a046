"""`facegan doctor`: what this machine has and lacks for the pipeline, with what to do about it."""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from facegan.errors import FaceganError
from facegan.repository.project import Project
from facegan.repository.running import add_json, as_json
from facegan.sizes import in_words
from facegan.tracking.errors import one_line, redact

Finding = tuple[str, str, str]  # "ok" | "note" | "fail", what was looked at, what was found

LOGIN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
_CREDENTIALS = (
    "credentials come from the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or an SSH agent) or from "
    "`dvc remote modify --local`"
)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("doctor", help="check this machine and project", description=__doc__)
    add_json(parser)
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> None:
    checks = (_python, _packages, _device, _disk, _project, _pictures, _tracking, _remote, _kaggle, _inception)
    with as_json(options.json) as answer:
        answer["findings"] = []
        for check in checks:
            for level, what, found in _safely(check):
                print(f"{level:5s} {what:12s} {found}")
                answer["findings"].append({"level": level, "what": what, "found": found})
        failed = sum(finding["level"] == "fail" for finding in answer["findings"])
        if failed:
            print(f"error: doctor: {failed} of these must be fixed first", file=sys.stderr)
            sys.exit(1)


def _safely(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:
        yield "fail", check.__name__.strip("_"), one_line(error)


def _python() -> Iterator[Finding]:
    fine = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield (
        "ok" if fine else "fail",
        "python",
        f"{sys.version.split()[0]}" + ("" if fine else "; 3.11 to 3.13 are supported"),
    )


def _packages() -> Iterator[Finding]:
    import torch
    import torchvision  # fails to import beside a torch that it was not built for

    yield "ok", "torch", f"{torch.__version__}, torchvision {torchvision.__version__}"


def _device() -> Iterator[Finding]:
    import torch

    from facegan.training.device import choose_device, describe

    device = choose_device(os.environ.get("FACEGAN_DEVICE"))
    fast = device.type == "cuda" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    yield "ok", "device", f"{device}: {describe(device)}, {torch.get_num_threads()} threads"
    yield "ok" if fast else "note", "precision", "bf16 is fast here" if fast else "bf16 may be slow here: keep fp32"


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield "ok" if free > 5 else "note", "disk", f"{free:.1f} GiB free"


def _project() -> Iterator[Finding]:
    project = Project.find()
    yield "ok", "project", str(project.root)
    missing = [tool for tool in ("dvc", "git") if shutil.which(tool) is None]
    yield "fail" if missing else "ok", "tools", f"not installed: {', '.join(missing)}" if missing else "dvc, git"
    params = project.params()
    yield (
        "ok",
        "params.yaml",
        f"{params.data.source} pictures, {in_words(params.preprocess.size)}, {params.train.duration}",
    )


def _pictures() -> Iterator[Finding]:
    from facegan.data.source import LOCAL, open_source

    project = Project.find()
    params = project.params().data
    if params.source in LOCAL:
        asked = getattr(params, params.source)
        with open_source(params, project.home) as pictures:
            pinned = "as pinned" if asked.digest else "not pinned: `facegan data pin` does"
            yield "ok", "pictures", f"{len(pictures.names):,} in {asked.path}, {pinned}"
            yield from (("note", "pictures", note) for note in pictures.notes)


def _tracking() -> Iterator[Finding]:
    from facegan.tracking.feed import HTTP, unsent

    for name, value in HTTP.items():
        os.environ.setdefault(name, value)
    project = Project.find()
    server = project.server()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if server.local and not (project.home / "mlflow.db").exists():
        yield "ok", "mlflow", "a local database is made by the first run"
    else:
        try:
            found = MlflowClient(server.uri).search_experiments(max_results=1)
        except MlflowException as error:
            if "Invalid Host" in str(error):
                name = redact(server.uri).partition("://")[2]
                yield "fail", "mlflow", f"the server does not know its name: start it with --allowed-hosts {name}"
                return
            if re.search(r"\b40[13]\b", str(error)):
                yield "fail", "mlflow", f"{redact(server.uri)} wants another login: {LOGIN}"
                return
            raise
        yield "ok", "mlflow", f"{redact(server.uri)}, experiment {server.experiment}"
        if found and not server.local and not found[0].artifact_location.startswith("mlflow-artifacts:"):
            where = found[0].artifact_location.partition(":")[0]
            yield (
                "note",
                "mlflow",
                f"artifacts do not go through the server: every user needs access to its {where} store",
            )
    if waiting := unsent(project.state):
        yield (
            "note",
            "mlflow",
            f"{len(waiting)} trainings have rows that MLflow lacks; the next run or `facegan record` sends them",
        )


def _remote() -> Iterator[Finding]:
    """DVC's default remote, which is written to."""
    from facegan.repository.preflight import reach_remote

    home = Project.find().home
    if not (home / ".dvc").is_dir():
        yield "note", "dvc remote", "none: this is no DVC repository; `dvc init` makes it one"
        return
    try:
        named = reach_remote(home, write=True)
    except FaceganError as error:
        yield "fail", "dvc remote", f"{error}; {_CREDENTIALS}"
        return
    if named is None:
        yield "note", "dvc remote", "none: `dvc remote add -d NAME URL` shares data with others"
    else:
        yield "ok", "dvc remote", f"{named} can be written"


def _kaggle() -> Iterator[Finding]:
    token = any(os.environ.get(name) for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY")) or any(
        (Path.home() / ".kaggle" / name).is_file() for name in ("access_token", "kaggle.json")
    )
    yield "ok" if token else "note", "kaggle", "a token is there" if token else "no token; public data sets need none"


def _inception() -> Iterator[Finding]:
    import torch
    from pytorch_fid.inception import FID_WEIGHTS_URL

    there = Path(torch.hub.get_dir(), "checkpoints", FID_WEIGHTS_URL.rsplit("/", 1)[1]).is_file()
    yield (
        "ok" if there else "note",
        "inception",
        "weights are in torch hub's cache" if there else "weights are not here; FID downloads them",
    )
