"""`facegan demo`: a page to draw faces on, from the champion of the registry or any exported model."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from facegan.cli.serve import champion, check_port, use_projects_server
from facegan.repository.project import EXPORTED


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("demo", help="a page to draw faces on", description=__doc__)
    parser.add_argument(
        "--model", help=f"an exported folder, or an MLflow URI; default {EXPORTED} where it is, else the champion"
    )
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine alone")
    parser.add_argument("--port", type=int, default=8501, help="default 8501")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    from facegan.serving.model import Source, to_stderr

    check_port(options.host, options.port)
    where = options.model or (str(EXPORTED) if (EXPORTED / "generator.onnx").is_file() else champion())
    use_projects_server(where)
    print(f"demo: loading {where}", flush=True)
    Source(where, to_stderr)  # a model that cannot be loaded is an error here, not on the page
    page = Path(__file__).parents[1] / "demo/app.py"
    settings = {
        "server.address": options.host,
        "server.port": options.port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",  # no telemetry
        "client.toolbarMode": "minimal",
    }
    command = [sys.executable, "-m", "streamlit", "run", str(page)]
    command += [f"--{name}={value}" for name, value in settings.items()]
    print(f"demo: {where} on http://{options.host}:{options.port}", flush=True)
    sys.exit(subprocess.run([*command, "--", "--model", where], env=os.environ).returncode)
