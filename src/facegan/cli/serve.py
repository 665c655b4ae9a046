"""`facegan serve`: faces over HTTP, from the champion of the registry or any exported model."""

import argparse
import os
import socket
from pathlib import Path

from facegan.errors import FaceganError
from facegan.repository.project import Project


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("serve", help="answer requests for faces over HTTP", description=__doc__)
    parser.add_argument(
        "--model",
        help="an exported folder, or an MLflow URI; one with an alias, such as models:/facegan@champion (the default), "
        "is followed when it moves",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine alone")
    port = os.environ.get("FACEGAN_PORT", "8000")
    parser.add_argument("--port", type=int, default=port, help="default FACEGAN_PORT, or 8000")
    parser.add_argument("--max-count", type=int, default=64, help="pictures in one request; default 64")
    parser.add_argument("--threads", type=int, default=0, help="that draw; default every core")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for a request; default 10")
    parser.add_argument("--reload", type=float, default=10.0, help="seconds between looks at the alias; default 10")
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facegan",
        help="folder of a copy of what an alias names, for a start without MLflow; default ~/.cache/facegan",
    )
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> None:
    check_port(options.host, options.port)
    for name, least in (("max_count", 1), ("threads", 0)):
        if getattr(options, name) < least:
            raise FaceganError(f"serve: --{name.replace('_', '-')}: should be at least {least}")
    if not (options.timeout > 0 and options.reload > 0):
        raise FaceganError("serve: --timeout and --reload should be seconds above 0")
    where = options.model or champion()
    use_projects_server(where)
    import uvicorn

    from facegan.repository.project import cores
    from facegan.serving.app import create_app
    from facegan.serving.connections import BoundedProtocol, allow_files
    from facegan.serving.middleware import Limits
    from facegan.serving.model import Source, to_stderr

    allow_files()
    threads = options.threads or cores()
    source = Source(where, to_stderr, options.keep)
    limits = Limits(count=options.max_count, seconds=options.timeout, threads=threads)
    if source.refreshes:
        source.watch(options.reload)
    to_stderr(f"{source.model.name} on http://{options.host}:{options.port}")
    uvicorn.run(
        create_app(source, limits),
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        http=BoundedProtocol,
    )


def check_port(host: str, port: int) -> None:
    """Raises FaceganError for one that nothing can listen on."""
    if not 1 <= port <= 65535:
        raise FaceganError(f"--port {port}: should be 1 to 65535")
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FaceganError(f"--host {host} --port {port}: cannot be listened on: {reason}") from error


def champion() -> str:
    """Of the project around the current folder; outside of one, a model of the default name."""
    try:
        return f"models:/{Project.find().params().promotion.model}@champion"
    except FaceganError:
        return "models:/facegan@champion"


def use_projects_server(where: str) -> None:
    """The project's MLflow, unless the environment names another."""
    if ":/" not in where or os.environ.get("MLFLOW_TRACKING_URI"):
        return
    uri = Project.find().tracking()[0]
    os.environ["MLFLOW_TRACKING_URI"] = uri
