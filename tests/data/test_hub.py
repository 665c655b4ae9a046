"""Data sets of the hub: the real client against a hub on this machine."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from hub_server import Hub, serving
from PIL import Image

from facegan.params_data import HubParams

NAME = "someone/faces"
OLD, NEW = "a" * 40, "b" * 40
CARD = b"---\nlicense: cc0-1.0\n---\n# Faces\n"
READ = """
import hashlib, json, sys
from facegan.errors import FaceganError
from facegan.params_data import HubParams
try:
    from facegan.data.hub import newest, open_hub
    asked = json.loads(sys.argv[1])
    if "newest" in asked:
        print(json.dumps(newest(asked["newest"])))
    elif "refused" in asked:
        told = []
        for each in asked["refused"]:
            try:
                with open_hub(HubParams.model_validate(each)):
                    told.append("nothing")
            except FaceganError as error:
                told.append(str(error))
        print(json.dumps(told))
    else:
        with open_hub(HubParams.model_validate(asked)) as pictures:
            read = {}
            for name in pictures.names:
                try:
                    read[name] = hashlib.sha256(pictures.read(name)).hexdigest()
                except ValueError as error:
                    read[name] = str(error)
        print(json.dumps({"read": read, "labels": pictures.labels, "description": pictures.description}))
except FaceganError as error:
    sys.exit(f"error: {error}")
"""


def png(value: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 32), (value, 0, 255 - value)).save(content, "PNG")
    return content.getvalue()


PICTURES = [png(value) for value in range(30)]


def parquet(pictures: list[bytes], folder: Path) -> bytes:
    """As ``push_to_hub`` stores them."""
    features = datasets.Features({"image": datasets.Image(), "hair": datasets.ClassLabel(names=["red", "blue"])})
    rows = {
        "image": [{"bytes": content, "path": None} for content in pictures],
        "hair": [number % 2 for number in range(len(pictures))],
    }
    datasets.Dataset.from_dict(rows, features).to_parquet(folder / "rows.parquet")
    return (folder / "rows.parquet").read_bytes()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    path = "data/train-00000-of-00001.parquet"
    commits = {
        OLD: {"README.md": CARD, path: parquet(PICTURES, tmp_path)},
        NEW: {"README.md": CARD, path: parquet(PICTURES[:10], tmp_path)},
    }
    with serving(Hub(NAME, commits)) as running:
        yield running


def asked(**changes: Any) -> dict[str, Any]:
    of_base = {"name": NAME, "revision": OLD, "config": None, "split": "train", "image": "image", "labels": []}
    return HubParams.model_validate({**of_base, **changes}).model_dump()


def ask(hub: Hub, tmp_path: Path, what: dict[str, Any], **env: str) -> subprocess.CompletedProcess[str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    places = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", READ, json.dumps(what)]
    return subprocess.run(command, env={**plain, **places, **env}, capture_output=True, text=True, timeout=300)


def answer(hub: Hub, tmp_path: Path, what: dict[str, Any], **env: str) -> Any:
    done = ask(hub, tmp_path, what, **env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(hub: Hub, tmp_path: Path, what: dict[str, Any], **env: str) -> str:
    done = ask(hub, tmp_path, what, **env)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: "), done.stderr
    return last.removeprefix("error: ")


def digests(pictures: list[bytes]) -> dict[str, str]:
    return {f"train/{row:07d}": hashlib.sha256(content).hexdigest() for row, content in enumerate(pictures)}


def test_a_commit_is_read_and_then_needs_no_connection(hub: Hub, tmp_path: Path) -> None:
    first = answer(hub, tmp_path, asked(labels=["hair"]))
    assert first["read"] == digests(PICTURES)
    assert first["labels"] == {f"train/{row:07d}": {"hair": ["red", "blue"][row % 2]} for row in range(30)}
    description = first["description"]
    assert description["licence"] == "cc0-1.0" and description["revision"] == OLD
    hub.status = 503  # an outage
    assert "the hub has a problem (503): run again later" in refusal(hub, tmp_path, asked())
    hub.status = None
    away = Hub(NAME, {}, url="http://127.0.0.1:9")  # nothing listens there
    assert answer(away, tmp_path, asked(labels=["hair"])) == first  # description and all
    assert answer(hub, tmp_path, asked(labels=["hair"]), HF_HUB_OFFLINE="1") == first
    line = refusal(away, tmp_path, asked(revision=NEW))  # datasets would give OLD, without a word
    assert line.startswith(f"{NAME}: no connection to the hub, and its cache has another commit than {NEW}")


def test_the_newest_commit_is_what_a_pin_writes(hub: Hub, tmp_path: Path) -> None:
    assert answer(hub, tmp_path, {"newest": NAME}) == NEW
    assert answer(hub, tmp_path, asked(revision=NEW))["read"] == digests(PICTURES[:10])


def test_a_download_that_breaks_off_is_continued(hub: Hub, tmp_path: Path) -> None:
    hub.cut = True
    assert answer(hub, tmp_path, asked())["read"] == digests(PICTURES)
    assert not hub.cut


def test_folders_of_pictures_are_read_too_and_no_other_file(hub: Hub, tmp_path: Path) -> None:
    """``datasets`` leaves them as files in its cache, and names their paths."""
    files = {f"train/{name}/{row}.png": PICTURES[row] for row, name in enumerate(["sad", "glad", "sad"])}
    hub.commits[OLD] = {"README.md": CARD, **files}
    found = answer(hub, tmp_path, asked(labels=["label"]))
    assert sorted(found["read"].values()) == sorted(digests(PICTURES[:3]).values())
    assert sorted(labels["label"] for labels in found["labels"].values()) == ["glad", "sad", "sad"]

    secrets = [tmp_path / "secret.png", tmp_path / "hf/token", tmp_path / "hf/hub/datasets--someone--else/x.png"]
    for secret in secrets:
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_bytes(b"hf_secret")
    features = datasets.Features({"image": datasets.Image()})
    rows = {"image": [{"bytes": None, "path": str(secret)} for secret in secrets]}
    written = datasets.Dataset.from_dict(rows, features)
    pq.write_table(written.data.table, tmp_path / "rows.parquet")
    hub.commits[NEW] = {"data/train-00000-of-00001.parquet": (tmp_path / "rows.parquet").read_bytes()}
    refused = answer(hub, tmp_path, asked(revision=NEW))["read"]
    assert refused == {f"train/{row:07d}": "the row has a path and no picture" for row in range(3)}


NOT_THERE: list[tuple[dict[str, Any], str]] = [
    ({"revision": None}, "data.hub.revision: null names no commit; `facegan data pin` writes the newest one"),
    ({"revision": "c" * 40}, f"data.hub.revision: {NAME} has no commit {'c' * 40}"),
    ({"name": "no/thing"}, "data.hub.name: no/thing does not exist on the hub, or is private; a token"),
    ({"split": "test"}, f"data.hub: {NAME} cannot be loaded: Unknown split"),
    ({"config": "large"}, f"data.hub: {NAME} cannot be loaded: BuilderConfig 'large' not found"),
    ({"image": "picture"}, "data.hub.image: no column 'picture'; the columns are image, hair"),
    ({"labels": ["eyes"]}, "data.hub.labels: no column 'eyes'"),
    ({"image": "hair"}, "data.hub.image: column 'hair' holds int64; pictures are encoded ones"),
]


def test_what_is_not_there_is_one_line(hub: Hub, tmp_path: Path) -> None:
    lines = answer(hub, tmp_path, {"refused": [asked(**changes) for changes, _ in NOT_THERE]})
    for found, (changes, line) in zip(lines, NOT_THERE, strict=True):
        assert found.startswith(line) and len(found.splitlines()) == 1, (changes, found)


def test_access_is_asked_for_and_tokens_stay_secret(hub: Hub, tmp_path: Path) -> None:
    hub.token = "hf_right"
    wrong = refusal(hub, tmp_path, asked(), HF_TOKEN="hf_wrong")
    assert "HF_TOKEN" in wrong and "hf_wrong" not in wrong
    assert answer(hub, tmp_path, asked(), HF_TOKEN="hf_right")["read"] == digests(PICTURES)
    for status, line in (
        (429, "too many requests (429)"),
        (403, "the hub refused (403)"),
        (500, "has a problem (500)"),
    ):
        hub.status = status
        assert line in refusal(hub, tmp_path, asked(), HF_TOKEN="hf_right")


def test_a_damaged_file_is_one_line(hub: Hub, tmp_path: Path) -> None:
    hub.commits[OLD]["data/train-00000-of-00001.parquet"] = b"PAR1 no more"
    assert refusal(hub, tmp_path, asked()).startswith(f"data.hub: {NAME} cannot be loaded: ")


def test_no_code_of_a_data_set_runs(hub: Hub, tmp_path: Path) -> None:
    hub.commits[OLD] = {"README.md": CARD, "faces.py": b"open('/tmp/ran', 'w')\nprint('ran')\n"}
    line = refusal(hub, tmp_path, asked())
    assert line.startswith(f"data.hub: {NAME} cannot be loaded: ") and "script" in line


def test_without_the_extra_it_says_what_to_install(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none/datasets.py").write_text("raise ImportError('none', name='datasets')")
    line = refusal(hub, tmp_path, asked(), PYTHONPATH=str(tmp_path / "none"))
    assert line == "data.source: hub needs the package datasets: pip install 'facegan[hub]' installs it"
