"""`facegan serve` under load: requests for single faces over HTTP, as many a second as it must answer, and more."""

import http.client
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from facegan.exporting.onnx import export_onnx
from facegan.networks import build_generator
from facegan.params_yaml import load_params

Rows = list[tuple[str, str, str]]
RATE, SECONDS, MANY = 50, 20, 10_000
ROOT = Path(__file__).parents[1]


def measure(folder: Path) -> Rows:
    """The generator of the base recipe, untrained: its speed is that of a trained one."""
    params = load_params(ROOT / "recipes/base.yaml")
    network = build_generator(params.model, params.preprocess.size, ())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "generator.onnx").write_bytes(export_onnx(network.eval(), params.model.latent, {}, params.export.opset))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["serve", "--model", str(folder), "--port", str(port)]
    process = subprocess.Popen([sys.executable, "-c", "from facegan.cli.main import main; main()", *command])
    try:
        _wait(port)
        _ask(port, 500)  # warm
        paced = _paced(port)
        before, began = _memory(process.pid), time.monotonic()
        _together(port, MANY, 4)
        rate = MANY / (time.monotonic() - began)
        after = _memory(process.pid)
    finally:
        process.terminate()
        process.wait()
    return [
        (f"single faces over HTTP, {RATE} requests a second: median", f"{1000 * statistics.median(paced):.1f} ms", ""),
        ("  95th percentile", f"{1000 * statistics.quantiles(paced, n=20)[-1]:.1f} ms", "under 150 ms"),
        ("  as fast as four clients can", f"{rate:.0f}/s", f"{RATE}/s"),
        (f"  memory after {MANY:,} more requests, over that before", f"{after / before:.2f}", "1"),
    ]


def _paced(port: int) -> list[float]:
    """Seconds for each request, from when it was due: one that waits for others counts its waiting."""
    taken: list[float] = []
    start = time.monotonic() + 0.1

    def client(number: int, clients: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for turn in range(number, RATE * SECONDS, clients):
            due = start + turn / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            _get(connection, turn)
            taken.append(time.monotonic() - due)

    threads = [threading.Thread(target=client, args=(number, 8)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def _together(port: int, count: int, clients: int) -> None:
    threads = [threading.Thread(target=_ask, args=(port, count // clients)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ask(port: int, count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(count):
        _get(connection, number)


def _get(connection: http.client.HTTPConnection, seed: int) -> None:
    connection.request("GET", f"/pictures.png?seed={seed}")
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200 or content[1:4] != b"PNG":
        raise RuntimeError(f"the service answered {answer.status}: {content[:200]!r}")


def _wait(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the service did not start")


def _memory(pid: int) -> int:
    """Resident, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
