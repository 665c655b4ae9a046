"""The remotes that teams use, each a real client against a server of this machine: S3, SSH, MLflow with logins."""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import mlflow
import pytest
from conftest import REPOSITORY, Clone, assert_whole
from ruamel.yaml import YAML
from servers import free_port, mlflow_server, postgresql, serving

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
S3 = """
import sys, threading
from moto.server import ThreadedMotoServer
ThreadedMotoServer("127.0.0.1", int(sys.argv[1])).start()
threading.Event().wait()
"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server with the buckets dvc and mlflow."""
    import boto3

    port = free_port()
    with serving([sys.executable, "-c", S3, str(port)], port, tmp_path_factory.mktemp("s3") / "s3.log"):
        endpoint = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        for name in ("dvc", "mlflow"):
            client.create_bucket(Bucket=name)
        yield endpoint


class Shell(asyncssh.SSHServer):
    """Lets one key in."""


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """An SSH server with SFTP, and the key of its one user."""
    folder = tmp_path_factory.mktemp("ssh")
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    key = folder / "id_ed25519"
    user.write_private_key(key)
    (folder / "authorized").write_bytes(user.export_public_key())
    port, loop = free_port(), asyncio.new_event_loop()

    async def listen() -> Any:
        return await asyncssh.listen(
            "127.0.0.1",
            port,
            server_host_keys=[host],
            authorized_client_keys=str(folder / "authorized"),
            sftp_factory=True,
        )

    server = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield port, key
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def another_machine(clone: Clone) -> Clone:
    """A fresh clone with the same environment and nothing else."""
    root = clone.root.with_name("another")
    subprocess.run(["git", "clone", "-q", clone.root, root], check=True)
    return Clone(root, dict(clone.environment))


@pytest.mark.parametrize("kind", ["s3", "ssh"])
def test_a_run_goes_through_the_remote_to_another_machine(
    kind: str, finished: Clone, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    clone = finished.copy(tmp_path / "clone")
    local: dict[str, str] = {}
    if kind == "s3":
        clone.environment |= KEYS
        clone.run("dvc", "remote", "add", "-q", "-d", "team", "s3://dvc/faces")
        clone.run("dvc", "remote", "modify", "-q", "team", "endpointurl", request.getfixturevalue("s3"))
    else:
        port, key = request.getfixturevalue("ssh")
        clone.run("dvc", "remote", "add", "-q", "-d", "team", f"ssh://dvc@127.0.0.1:{port}{tmp_path}/remote")
        local = {"keyfile": str(key)}
    for machine in (clone, None):
        machine = machine or another_machine(clone)
        for name, value in local.items():
            machine.run("dvc", "remote", "modify", "-q", "--local", "team", name, value)
        doctor = machine.run("facegan", "doctor", code=None)
        assert "ok    dvc remote   team" in doctor, doctor
        if machine is clone:
            machine.run("git", "commit", "-q", "-am", "a remote")
            assert "secret" not in (machine.root / ".dvc/config").read_text()
            machine.run("dvc", "push", "-q")
    another = Clone(clone.root.with_name("another"), dict(clone.environment))
    another.run("dvc", "pull", "-q")
    assert another.sha() == clone.sha()
    another.run("facegan", "record")
    assert_whole(another, another.runs()[0].info.run_id)


@pytest.mark.parametrize(
    ("url", "settings", "said"),
    [
        ("s3://dvc/faces", {"endpointurl": "http://127.0.0.1:9"}, "team (s3://dvc/faces)"),
        ("s3://missing-bucket/faces", {"endpointurl": "S3"}, "team (s3://missing-bucket/faces)"),
        ("ssh://nobody@127.0.0.1:9/x", {}, "team (ssh://***@127.0.0.1:9/x)"),
        ("/proc/nowhere", {}, "team (/proc/nowhere)"),
    ],
)
def test_doctor_says_what_is_wrong_with_a_remote(
    finished: Clone, tmp_path: Path, s3: str, url: str, settings: dict[str, str], said: str
) -> None:
    clone = finished.copy(tmp_path / "clone")
    clone.environment |= KEYS | {"AWS_MAX_ATTEMPTS": "1"}
    clone.run("dvc", "remote", "add", "-q", "-d", "team", url)
    for name, value in settings.items():
        clone.run("dvc", "remote", "modify", "-q", "team", name, s3 if value == "S3" else value)
    output = clone.run("facegan", "doctor", code=1)
    (line,) = [line for line in output.splitlines() if "dvc remote" in line]
    assert line.startswith("fail  dvc remote") and said in line and "credentials come from the environment" in line


@pytest.fixture(scope="module")
def guarded(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server as deploy/compose.yaml starts it: logins, PostgreSQL, artifacts through it into S3."""
    compose = YAML(typ="safe").load((REPOSITORY / "deploy/compose.yaml").read_text())
    folder = tmp_path_factory.mktemp("guarded")
    with postgresql(folder / "postgresql", "mlflow", "mlflow_auth") as store:
        auth = compose["configs"]["auth"]["content"].replace("${MLFLOW_ADMIN_PASSWORD:?}", "s3cret-admin-password")
        lines = [
            f"database_uri = {store}_auth" if line.startswith("database_uri") else line for line in auth.splitlines()
        ]
        (folder / "auth.ini").write_text("\n".join(lines))
        port = free_port()
        command = mlflow_server(folder, port, store)
        command[command.index("--artifacts-destination") + 1] = "s3://mlflow"
        env = os.environ | KEYS | {
            "MLFLOW_S3_ENDPOINT_URL": s3,
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a secret",
        }  # fmt: skip
        assert "--app-name basic-auth" in compose["services"]["mlflow"]["command"]
        command += ["--app-name", "basic-auth", "--allowed-hosts", f"127.0.0.1:{port}"]
        with serving(command, port, folder / "mlflow.log", env):
            yield f"http://127.0.0.1:{port}"


def test_a_run_goes_to_a_server_with_logins_and_its_files_through_it(
    guarded: str, finished: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = finished.copy(tmp_path / "clone")
    clone.environment |= {"MLFLOW_TRACKING_URI": guarded}  # no key of S3
    refused = clone.run("facegan", "record", code=1)
    assert "MLflow failed" in refused and refused.count("Traceback") == 0
    doctor = clone.run("facegan", "doctor", code=1)
    assert "wants another login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in doctor
    wrong = clone.copy(tmp_path / "wrong")
    wrong.environment["MLFLOW_TRACKING_URI"] = guarded.replace("127.0.0.1", "localhost")
    assert "does not know its name: start it with --allowed-hosts localhost:" in wrong.run("facegan", "doctor", code=1)
    login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "s3cret-admin-password"}
    clone.environment |= login
    assert "ok    mlflow" in clone.run("facegan", "doctor")
    clone.run("facegan", "record")
    for name, value in login.items():
        monkeypatch.setenv(name, value)
    client = mlflow.MlflowClient(guarded)
    (run,) = clone.runs()
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert_whole(clone, run.info.run_id)
    assert "s3cret-admin-password" not in str(client.get_run(run.info.run_id).to_dictionary())


def test_the_compose_file_fits_its_schema_and_says_no_password() -> None:
    path = REPOSITORY / "deploy/compose.yaml"
    check = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec", path]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    example = (REPOSITORY / "deploy/team.env.example").read_text().splitlines()
    names = {line.removesuffix("=") for line in example if line.endswith("=")}
    text = path.read_text()
    assert all(f"${{{name}" in text for name in names) and len(names) == 10


def test_servers_answer_this_machine_alone_with_the_least_rights_and_no_image_moves() -> None:
    compose = YAML(typ="safe").load((REPOSITORY / "deploy/compose.yaml").read_text())
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2 and all(port.startswith("${LISTEN:-127.0.0.1}:") for port in ports)
    assert "default_permission = READ" in compose["configs"]["auth"]["content"]
    identities = json.loads(re.sub(r"\$\{(\w+)[^}]*\}", r"\1", compose["configs"]["s3"]["content"]))["identities"]
    assert {entry["name"]: entry["actions"] for entry in identities if entry["name"] != "admin"} == {
        name: [f"{right}:{name}" for right in ("Read", "Write", "List")] for name in ("mlflow", "dvc")
    }
    files = [
        compose["services"]["mlflow"]["build"]["dockerfile_inline"],
        (REPOSITORY / "deploy/Dockerfile").read_text(),
        (REPOSITORY / "deploy/Dockerfile.train").read_text(),
    ]
    assert all("\nUSER 10001:10001\n" in file for file in files)
    images = [service["image"] for service in compose["services"].values() if "image" in service]
    images += re.findall(r"^FROM (\S+)", "\n".join(files), re.MULTILINE)
    assert len(images) == 6 and all(re.search(r":\d+\.\d+", image) for image in images)
    for name, file in zip(("Dockerfile", "Dockerfile.train"), files[1:], strict=True):
        ignored = (REPOSITORY / f"deploy/{name}.dockerignore").read_text().splitlines()
        copied = re.findall(r"^COPY (.+) \S+$", file, re.MULTILINE)
        assert ignored[1] == "*" and {f"!{name}" for names in copied for name in names.split()} <= set(ignored)
    assert re.search(r"^UV := uv==\d", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
