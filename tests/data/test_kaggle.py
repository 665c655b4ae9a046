"""The real kagglehub client against a small Kaggle on the loopback interface."""

import hashlib
import os
import random
import shutil
import signal
import socket
import stat
import threading
import time
import traceback
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import kagglehub
import pytest
from kaggle_server import SIGNATURE, KaggleServer, zipped

from facegan.data import kaggle
from facegan.data.kaggle import fetch, tree_digest
from facegan.errors import FaceganError

HANDLE = "drawn/faces/versions/3"
TOKEN = "KGAT_0123456789-the-secret"
FILES = {
    "faces/1.jpg": b"one",
    "faces/0.jpg": b"zero",
    "README.md": b"drawn faces",
    "faces/empty.jpg": b"",
    "faces/\N{HIRAGANA LETTER KA}.png": bytes(range(256)),
}
MIB = 2**20
# kagglehub writes a download in steps of 1 MiB: less than that leaves nothing to continue.
LARGE = {"large.png": random.Random(0).randbytes(3 * MIB)}


@pytest.fixture(autouse=True)
def clean_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials but the test's, a cache of its own, and no way out to the network."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("KAGGLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home" / ".kaggle"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    go_offline(monkeypatch)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    with KaggleServer(zipped(FILES)) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where kagglehub keeps the files of HANDLE."""
    return tmp_path / "cache/datasets/drawn/faces/versions/3"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Where kagglehub downloads the archive of HANDLE to."""
    return tmp_path / "cache/datasets/drawn/faces/3.archive"


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("http_proxy", closed)
    monkeypatch.setenv("https_proxy", closed)


def refusal(handle: str = HANDLE, digest: str | None = None) -> str:
    """The one line that `fetch` raises; neither it nor its traceback may give a secret away."""
    with pytest.raises(FaceganError) as caught:
        fetch(handle, digest)
    trace = "".join(traceback.format_exception(caught.value))
    for secret in (os.environ.get("KAGGLE_API_TOKEN", TOKEN)[:40], TOKEN, SIGNATURE):
        assert secret not in trace
    message = str(caught.value)
    assert message.isprintable() and message  # so also: one line
    return message


def read(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# What comes


def test_the_files_come_as_they_are_with_their_description_and_digest(
    server: KaggleServer, folder: Path, archive: Path
) -> None:
    fetched = fetch(HANDLE, None)

    assert fetched.path == folder
    assert read(folder) == FILES
    assert fetched.description == {
        "handle": HANDLE,
        "version": 3,
        "title": "Drawn Faces",
        "licence": "CC0-1.0",
        "url": "https://www.kaggle.com/datasets/drawn/faces/versions/3",
        "files": 5,
        "bytes": sum(map(len, FILES.values())),
        "note": None,
    }
    assert server.requests[0].body["datasetVersionNumber"] == 3
    assert not archive.exists()


def test_the_digest_is_sha256_over_name_size_and_sha256_of_each_file_in_order_of_name(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(content)
    (tmp_path / "tree" / "nothing in here").mkdir()

    lines = [f"{name}\0{len(FILES[name])}\0{hashlib.sha256(FILES[name]).hexdigest()}\n" for name in sorted(FILES)]
    assert tree_digest(tmp_path / "tree") == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_digest_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"one")
    assert len(tree_digest(tmp_path)) == 64


def test_a_link_in_the_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to("/etc/hostname")
    with pytest.raises(FaceganError, match="link"):
        tree_digest(tmp_path)


def test_the_pinned_digest_is_accepted(server: KaggleServer) -> None:
    digest = fetch(HANDLE, None).digest
    assert fetch(HANDLE, digest).digest == digest


def test_the_token_goes_to_kaggle_and_not_to_the_storage(server: KaggleServer) -> None:
    fetch(HANDLE, None)
    assert {request.host: request.authorization for request in server.requests} == {
        "localhost": f"Bearer {TOKEN}",
        "storage.example": None,
    }


def test_a_public_data_set_needs_no_token(server: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    fetch(HANDLE, None)
    assert {request.authorization for request in server.requests} == {None}


def test_nothing_is_asked_but_the_data_set_and_nothing_printed_about_versions(
    server: KaggleServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.headers["X-Kaggle-HubVersion"] = "99.0.0"
    fetch(HANDLE, None)
    assert server.calls == ["DownloadDataset", "storage", "GetDataset"]
    assert {request.user_agent for request in server.requests} == {f"kagglehub/{kagglehub.__version__}"}
    assert "outdated" not in "".join(capsys.readouterr())


def test_progress_is_shown(server: KaggleServer, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(HANDLE, None)
    shown = capsys.readouterr().err
    size = len(server.archive)
    assert f"{size}/{size}" in shown  # bytes of the archive
    assert "unpack: 100%" in shown and "5/5" in shown


@pytest.mark.parametrize("call", ["status", "json", "types", "nothing"])
def test_a_failure_to_get_the_metadata_does_not_cost_the_download(server: KaggleServer, call: str) -> None:
    match call:
        case "status":
            server.status["GetDataset"] = 500
        case "json":
            server.json["GetDataset"] = [1]
        case "types":
            server.dataset = {"title": 7, "licenseName": {}}
        case "nothing":
            server.dataset = {}
    description = fetch(HANDLE, None).description
    assert (description["title"], description["licence"], description["files"]) == (None, None, 5)
    assert "url" in str(description["note"])


# The handle


@pytest.mark.parametrize(
    "handle",
    [
        "drawn/faces",
        "drawn/faces/versions",
        "drawn/faces/versions/",
        "drawn/faces/versions/0",
        "drawn/faces/versions/-1",
        "drawn/faces/versions/03",
        "drawn/faces/versions/latest",
        "drawn/faces/versions/3/",
        "drawn/faces/versions/3\n",
        "drawn/faces/versions/\u0663",
        "../faces/versions/3",
        "drawn/../versions/3",
        "drawn/f\u00e4ces/versions/3",
        "/drawn/faces/versions/3",
        "https://www.kaggle.com/datasets/drawn/faces/versions/3",
        "",
    ],
)
def test_an_unpinned_handle_is_refused_before_the_network_is_asked(
    server: KaggleServer, tmp_path: Path, handle: str
) -> None:
    message = refusal(handle)
    assert repr(handle) in message and "owner/dataset/versions/N" in message
    assert server.requests == []
    assert not (tmp_path / "cache").exists()


# The cache


def test_a_complete_copy_needs_no_network_and_gives_the_same_description(
    server: KaggleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch(HANDLE, None)
    server.requests.clear()
    assert fetch(HANDLE, first.digest) == first
    assert server.requests == []
    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    assert fetch(HANDLE, first.digest) == first


def no_network(*args: object, **options: object) -> NoReturn:
    raise AssertionError("the network was used")


def test_a_complete_copy_is_not_written_to(server: KaggleServer, folder: Path) -> None:
    first = fetch(HANDLE, None)
    before = {path: path.stat().st_mtime_ns for path in folder.parents[1].rglob("*")}
    assert fetch(HANDLE, None) == first
    assert {path: path.stat().st_mtime_ns for path in folder.parents[1].rglob("*")} == before


def test_what_kagglehub_has_cached_is_taken_without_title_and_licence(
    server: KaggleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kagglehub.dataset_download(HANDLE)
    go_offline(monkeypatch)
    fetched = fetch(HANDLE, tree_digest(Path(path)))
    assert str(fetched.path) == path
    assert (fetched.description["title"], fetched.description["licence"]) == (None, None)
    assert "licence" in str(fetched.description["note"])


def test_kagglehub_finds_what_was_fetched(server: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = fetch(HANDLE, None)
    go_offline(monkeypatch)
    assert kagglehub.dataset_download(HANDLE) == str(fetched.path)


def test_two_at_once_download_once(server: KaggleServer) -> None:
    server.archive = zipped(LARGE)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: fetch(HANDLE, None), range(2))
    assert first == second
    assert server.calls.count("storage") == 1


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("damage", ["truncated", "changed", "removed", "added", "emptied"])
def test_a_damaged_cache_is_an_error_and_deleting_it_helps(
    server: KaggleServer, folder: Path, damage: str, pinned: bool
) -> None:
    digest = fetch(HANDLE, None).digest
    match damage:
        case "truncated":
            (folder / "faces/0.jpg").write_bytes(b"zer")
        case "changed":
            (folder / "faces/0.jpg").write_bytes(b"zerp")
        case "removed":
            (folder / "faces/0.jpg").unlink()
        case "added":
            (folder / "faces/2.jpg").write_bytes(b"two")
        case "emptied":
            shutil.rmtree(folder / "faces")
            (folder / "README.md").unlink()
    server.requests.clear()

    message = refusal(HANDLE, digest if pinned else None)
    assert "damaged" in message and str(folder) in message and "delete that folder" in message
    assert digest in message and tree_digest(folder) in message
    assert server.requests == []

    shutil.rmtree(folder)
    assert fetch(HANDLE, digest).digest == digest


def test_a_cache_that_kagglehub_filled_and_that_differs_is_changed_or_damaged(
    server: KaggleServer, folder: Path
) -> None:
    kagglehub.dataset_download(HANDLE)
    message = refusal(HANDLE, "0" * 64)
    assert "damaged" in message and str(folder) in message and "facegan data pin" in message


def test_changed_content_names_both_digests_and_how_to_accept_it(server: KaggleServer) -> None:
    pinned = fetch("drawn/faces/versions/2", None).digest
    server.archive = zipped(FILES | {"faces/0.jpg": b"another"})
    message = refusal(HANDLE, pinned)
    found = fetch(HANDLE, None).digest
    assert found != pinned
    assert pinned in message and found in message and "facegan data pin" in message
    assert "damaged" not in message
    assert refusal(HANDLE, pinned) == message  # from the cache as well
    assert fetch(HANDLE, found).digest == found


# The network


def test_offline_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no connection to Kaggle" in refusal()


def test_a_name_that_does_not_resolve_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no_dns(host: str, *args: object, **options: object) -> NoReturn:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.delenv("http_proxy")
    monkeypatch.delenv("https_proxy")
    monkeypatch.setattr(socket, "getaddrinfo", no_dns)
    assert "no connection to Kaggle" in refusal()
    assert asked == ["api.kaggle.com"]


def test_a_server_that_falls_silent_is_not_waited_for_for_ever(
    server: KaggleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    awake, gave_up = threading.Event(), []

    def fall_silent() -> None:
        gave_up.append(not awake.wait(5))

    server.archive, server.cut_at, server.when_cut = zipped(LARGE), 5 * MIB // 2, fall_silent
    monkeypatch.setattr(kaggle, "TIMEOUT", (0.5, 0.2))
    message = refusal()
    assert gave_up == []  # the server was still silent
    awake.set()
    assert "no connection to Kaggle" in message and f"{2 * MIB:,} bytes are kept" in message


@pytest.mark.parametrize("call", ["DownloadDataset", "storage"])
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "KAGGLE_API_TOKEN"),
        (403, "~/.kaggle/access_token"),
        (404, "not found"),
        (429, "too many requests"),
        (500, "a problem (500)"),
        (503, "a problem (503)"),
    ],
)
def test_a_refusal_is_one_line(server: KaggleServer, archive: Path, call: str, status: int, said: str) -> None:
    server.status[call] = status
    message = refusal()
    assert HANDLE in message and said in message and str(status) in message
    assert not archive.exists()
    server.status.clear()
    assert fetch(HANDLE, None).description["files"] == 5


def test_a_refusal_inside_an_answer_of_status_200_is_understood(server: KaggleServer) -> None:
    server.json["DownloadDataset"] = {"code": 404, "message": f"no {TOKEN}\nhere"}
    assert "not found (404)" in refusal()


def test_a_storage_that_cannot_be_reached_does_not_give_the_signed_url_away(server: KaggleServer) -> None:
    server.storage = "https://storage.example"  # the server is no proxy for https: requests quotes the URL
    assert "no connection to Kaggle" in refusal()


@pytest.mark.parametrize("token", ["x" * 300, "two\nlines-of-it", "w\N{SNOWMAN}nter-token"])
def test_an_impossible_token_is_not_quoted(server: KaggleServer, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    # Path(token).exists() raises "File name too long: <the token>" in Python below 3.14.
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    assert "KAGGLE_API_TOKEN" in refusal()


def test_damaged_credentials_are_one_line(
    server: KaggleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    (tmp_path / "home/.kaggle").mkdir(parents=True)
    (tmp_path / "home/.kaggle/kaggle.json").write_text(f'{{"key": "{TOKEN}')
    assert "credentials" in refusal()


# A download that breaks off


def test_a_download_that_broke_off_is_continued(server: KaggleServer, archive: Path) -> None:
    server.archive, server.cut_at = zipped(LARGE), 5 * MIB // 2
    message = refusal()
    assert "continues" in message and f"{2 * MIB:,} bytes are kept" in message
    assert archive.read_bytes() == server.archive[: 2 * MIB]

    fetched = fetch(HANDLE, None)
    assert [request.range for request in server.requests if request.range] == [f"bytes={2 * MIB}-"]
    assert read(fetched.path) == LARGE


def test_an_interrupt_leaves_what_the_next_call_continues(server: KaggleServer, archive: Path) -> None:
    def interrupt() -> None:
        deadline = time.monotonic() + 10
        while not (archive.exists() and archive.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.002)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        threading.Event().wait(0.2)

    server.archive, server.cut_at, server.when_cut = zipped(LARGE), 5 * MIB // 2, interrupt
    with pytest.raises(KeyboardInterrupt):
        fetch(HANDLE, None)
    size = archive.stat().st_size
    assert 0 < size < len(server.archive)

    fetched = fetch(HANDLE, None)
    assert [request.range for request in server.requests if request.range] == [f"bytes={size}-"]
    assert read(fetched.path) == LARGE


def test_an_interrupt_while_unpacking_leaves_no_half_copy(
    server: KaggleServer, folder: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract = zipfile.ZipFile.extract

    def interrupted(self: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> str:
        if member.filename == "README.md":
            raise KeyboardInterrupt
        return extract(self, member, path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(zipfile.ZipFile, "extract", interrupted)
        fetch(HANDLE, None)
    assert not folder.exists()
    assert archive.read_bytes() == server.archive

    server.requests.clear()
    assert read(fetch(HANDLE, None).path) == FILES
    assert {request.range for request in server.requests} == {None}  # all of it was there


@pytest.mark.parametrize("status", [403, 416, 503])
def test_an_error_page_in_answer_to_the_range_request_is_not_taken_for_data(
    server: KaggleServer, archive: Path, status: int
) -> None:
    server.archive, server.cut_at = zipped(LARGE), 5 * MIB // 2
    refusal()
    server.status["storage-range"] = status
    assert "run again" in refusal()
    assert archive.read_bytes() == server.archive[: 2 * MIB]
    server.status.clear()
    assert read(fetch(HANDLE, None).path) == LARGE


def test_a_server_that_ignores_the_range_is_asked_for_the_whole(server: KaggleServer, archive: Path) -> None:
    server.archive, server.cut_at, server.honours_range = zipped(LARGE), 5 * MIB // 2, False
    refusal()
    assert "run again" in refusal()
    assert archive.stat().st_size == 0
    assert read(fetch(HANDLE, None).path) == LARGE


def test_without_announced_size_and_ranges_the_download_starts_anew(server: KaggleServer, archive: Path) -> None:
    server.announces = False
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"of an earlier download")
    assert read(fetch(HANDLE, None).path) == FILES


@pytest.mark.parametrize("left", ["longer", "another"])
@pytest.mark.parametrize("md5", [True, False])
def test_the_beginning_of_another_archive_does_not_get_into_this_one(
    server: KaggleServer, archive: Path, left: str, md5: bool
) -> None:
    server.archive, server.sends_md5 = zipped(LARGE), md5
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"?" * (4 * MIB if left == "longer" else MIB))
    if left == "another":
        assert "run again" in refusal()
        assert not archive.exists()
    assert read(fetch(HANDLE, None).path) == LARGE


# The archive


@pytest.mark.parametrize(
    "name",
    ["../../evil", "faces/../../../evil", "/tmp/evil", "..\\..\\evil", "C:\\evil", "C:evil", "..", "\\evil"],
)
def test_an_archive_that_points_outside_is_refused_before_anything_is_unpacked(
    server: KaggleServer, tmp_path: Path, folder: Path, name: str
) -> None:
    server.archive = zipped(FILES | {name: b"evil"})
    message = refusal()
    assert "outside" in message and repr(name) in message
    assert not folder.exists()
    assert everything_below(tmp_path) == {"cache/datasets/drawn/faces/3.lock"}


def test_a_name_with_control_characters_stays_on_one_line(server: KaggleServer) -> None:
    server.archive = zipped({"../a\nb\x1b[31m": b"evil"})
    assert "outside" in refusal()


def test_a_link_in_the_archive_is_refused(server: KaggleServer, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as made:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    server.archive = (tmp_path / "made.zip").read_bytes()
    assert "link" in refusal()


def test_a_zip_bomb_is_refused(server: KaggleServer, folder: Path) -> None:
    server.archive = zipped({"bomb": bytes(4 * MIB)}, zipfile.ZIP_DEFLATED)
    assert f"{4 * MIB:,} bytes in" in refusal()
    assert not folder.exists()


def test_too_many_members_are_refused(server: KaggleServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kaggle, "MAX_MEMBERS", 4)
    assert "5 members" in refusal()
    assert not folder.exists()


@pytest.mark.parametrize("content", ["html", "crc", "cut", "encrypted", "name"])
def test_a_damaged_archive_is_deleted_and_the_next_call_has_a_good_one(
    server: KaggleServer, folder: Path, archive: Path, content: str
) -> None:
    good = server.archive
    match content:
        case "html":  # a hotel's login page
            server.archive = b"<html>welcome</html>"
        case "crc":
            server.archive = good.replace(b"zero", b"oops", 1)
        case "cut":
            server.archive = good[:-30]
        case "encrypted":
            server.archive = good.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")
        case "name":  # flagged as UTF-8 and is not
            server.archive = good.replace("\N{HIRAGANA LETTER KA}".encode(), b"\xff\xff\xff")
    assert server.archive != good
    assert "damaged" in refusal()
    assert not folder.exists() and not archive.exists()
    server.archive = good
    assert read(fetch(HANDLE, None).path) == FILES


# The disk


def free_bytes(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))


def test_a_disk_too_small_is_refused_before_the_download(
    server: KaggleServer, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_bytes(monkeypatch, 2 * len(server.archive) - 1)
    assert "disk full" in refusal()
    assert not archive.exists()
    free_bytes(monkeypatch, 2 * len(server.archive))
    fetch(HANDLE, None)


def test_a_disk_too_small_to_unpack_keeps_the_download(
    server: KaggleServer, folder: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.archive = zipped({"a.bmp": bytes(20_000)}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(kaggle, "MAX_EXPANSION", 10_000)
    free_bytes(monkeypatch, 19_999)
    assert "disk full" in refusal() and "20,000" in refusal()
    assert archive.exists() and not folder.exists()
    free_bytes(monkeypatch, 20_000)
    fetch(HANDLE, None)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_during_the_download_is_one_line(server: KaggleServer, archive: Path) -> None:
    archive.parent.mkdir(parents=True)
    archive.symlink_to("/dev/full")
    assert "disk full" in refusal()


def test_a_cache_that_cannot_be_written_is_one_line(server: KaggleServer, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert "KAGGLEHUB_CACHE" in refusal()


def test_the_newest_version_is_asked_for(server: KaggleServer) -> None:
    server.dataset["currentVersionNumber"] = 7
    owner, _, version = HANDLE.rpartition("/")
    assert kaggle.newest(HANDLE) == f"{owner}/7"
    server.dataset["currentVersionNumber"] = 0  # not told: what is pinned stays
    assert kaggle.newest(HANDLE) == f"{owner}/{version}"


def test_a_newest_version_that_cannot_be_asked_for_is_one_line(server: KaggleServer) -> None:
    server.status["GetDataset"] = 403
    with pytest.raises(FaceganError) as error:
        kaggle.newest(HANDLE)
    assert "\n" not in str(error.value) and HANDLE in str(error.value)
