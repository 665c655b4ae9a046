"""Kaggle data sets, pinned twice: by version in the handle and by our own digest of the files.

``kagglehub.dataset_download`` downloads and unpacks in one call, with no place between to look into the
archive or at the disk, and appends to a partial download whatever answers its Range request, error pages too.
So ``_download`` takes the steps of its DatasetHttpResolver one by one, with kagglehub's ``download_file`` and
cache layout, and checks between them. What kagglehub has cached is taken, and kagglehub finds what came here.

No telemetry: kagglehub has none but a user agent that lists libraries of the call stack, and a version notice
that a response header sets off. The client made here does without both.
"""

import errno
import lzma
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import kagglehub
import requests
from kagglehub.cache import Cache
from kagglehub.clients import download_file
from kagglehub.config import KaggleApiCredentials, get_kaggle_credentials
from kagglehub.exceptions import DataCorruptionError
from kagglehub.handle import DatasetHandle
from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest, ApiGetDatasetRequest
from kagglesdk.kaggle_client import KaggleClient
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from facegan import files
from facegan.errors import FaceganError

PINNED = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)/versions/([1-9][0-9]{0,8})", re.ASCII)
TIMEOUT = (15.0, 60.0)  # seconds to connect, and between two bytes
RECORD = ".facegan.json"  # beside kagglehub's N.complete
MAX_MEMBERS = 5_000_000
MAX_EXPANSION = 100  # pictures hardly compress: what grows more than this is a bomb
TOKEN_PLACE = "an API token (kaggle.com/settings/api) goes into KAGGLE_API_TOKEN or ~/.kaggle/access_token"


@dataclass(frozen=True)
class Fetched:
    """A data set on disk. The description has no path and no time: one cache, one description."""

    path: Path  # the files as they came, inside kagglehub's cache
    description: dict[str, str | int | None]  # handle, version, title, licence, url, files, bytes, note
    digest: str  # `tree_digest(path)`


class _Tree(NamedTuple):
    digest: str
    files: int
    bytes: int


def fetch(handle: str, digest: str | None) -> Fetched:
    """The data set ``owner/dataset/versions/N``: from kagglehub's cache, else from Kaggle.

    A complete copy in the cache needs no network; a download that broke off is continued by the next call.
    The files are hashed at each call and held against ``digest`` and against what they were when they came.
    Title and licence are noted at the download, None when Kaggle did not give them. Raises FaceganError with
    one line; KeyboardInterrupt passes and leaves the partial download.
    """
    dataset, cache = _parse(handle), Cache()
    folder, archive = Path(cache.get_path(dataset)), Path(cache.get_archive_path(dataset))
    with _one_line_errors(handle, archive):
        tree = _tree(folder) if cache.load_from_cache(dataset) else _download(dataset, cache, folder, archive)
    came = _recorded(archive)
    _check(handle, folder, found=tree.digest, pinned=digest, came=came.get("digest"))
    description: dict[str, str | int | None] = {
        "handle": handle,
        "version": dataset.version,
        "title": came.get("title"),
        "licence": came.get("licence"),
        "url": f"https://www.kaggle.com/datasets/{handle}",
        "files": tree.files,
        "bytes": tree.bytes,
        "note": None if came.get("licence") else "Kaggle gave no licence when the files came: see the url",
    }
    return Fetched(folder, description, tree.digest)


def newest(handle: str) -> str:
    """The handle of the newest version of the data set. Raises FaceganError."""
    dataset = _parse(handle)
    with _one_line_errors(handle, Path(handle)), _client() as client:
        version = client.datasets.dataset_api_client.get_dataset(_get(dataset)).current_version_number
    return f"{dataset.owner}/{dataset.dataset}/versions/{max(version, dataset.version)}"


def tree_digest(folder: Path) -> str:
    """SHA-256 over name, size and SHA-256 of each regular file below ``folder`` (see ``files.tree_digest``).

    Raises FaceganError at a link or a device: what it leads to could change under the same digest.
    """
    return _tree(folder).digest


def _tree(folder: Path) -> _Tree:
    entries = []
    for name in tqdm(list(_names(folder)), desc="check", unit=" files", delay=2):
        path = folder / name
        printable = os.fsencode(name).decode("utf-8", "backslashreplace")
        entries.append((printable, path.stat().st_size, files.sha256(path)))
    return _Tree(files.tree_digest(entries), len(entries), sum(size for _, size, _ in entries))


def _names(folder: Path, inside: str = "") -> Iterator[str]:
    with os.scandir(folder / inside) as entries:
        for entry in entries:
            name = inside + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _names(folder, name + "/")
            elif entry.is_file(follow_symlinks=False):
                yield name
            else:
                raise FaceganError(f"{str(folder / name)!r} is a link or a device, not a file: remove it")


def _check(handle: str, folder: Path, *, found: str, pinned: str | None, came: str | None) -> None:
    if found == pinned or (pinned is None and came in (found, None)):
        return
    if came not in (found, None):
        raise FaceganError(
            f"{handle}: the copy in {folder} is damaged: its digest is {found}, and was {came} when it came; "
            "delete that folder and run again"
        )
    cause = "its content is not the pinned one"
    if came is None:  # kagglehub filled the cache without us: there is no telling which
        cause += f", or the copy in {folder} is damaged (then delete that folder and run again)"
    raise FaceganError(
        f"{handle}: {cause}: digest {found}, pinned {pinned}; `facegan data pin` accepts what is there now"
    )


def _parse(handle: str) -> DatasetHandle:
    if not (match := PINNED.fullmatch(handle)):  # kagglehub would ask the network for the newest version
        example = "owner/dataset/versions/N, such as splcher/animefacedataset/versions/3"
        raise FaceganError(f"{handle!r} is not a pinned Kaggle handle: {example}")
    return DatasetHandle(match[1], match[2], int(match[3]))


def _recorded(archive: Path) -> dict[str, Any]:
    try:
        return dict(files.read_json(archive.with_suffix(RECORD)))
    except (OSError, ValueError, TypeError):  # kagglehub filled the cache without us
        return {}


def _download(dataset: DatasetHandle, cache: Cache, folder: Path, archive: Path) -> _Tree:
    with files.locked(archive.with_suffix(".lock")):  # two workers of a DVC queue would append to one archive
        if cache.load_from_cache(dataset):
            return _tree(folder)
        with _client() as client:
            _receive(client, dataset, archive)
            about = _about(client, dataset)
        _unpack(dataset, archive, folder)
        tree = _tree(folder)
        files.write_json(archive.with_suffix(RECORD), {"digest": tree.digest, **about})
        cache.mark_as_complete(dataset)
        archive.unlink()
    return tree


class _Patient(HTTPAdapter):
    """kagglesdk sets no timeout, and without one requests waits for ever."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        return super().send(*args, **{**options, "timeout": options.get("timeout") or TIMEOUT})


@contextmanager
def _client() -> Iterator[KaggleClient]:
    with ExitStack() as stack:
        try:
            found = get_kaggle_credentials() or KaggleApiCredentials()
            name, key, token = found.username, found.key, found.api_key
            if not (secrets := f"{name}{key}{token}").isascii() or not secrets.isprintable():
                raise ValueError  # http.client would refuse them in a header, and quote them
            agent = f"kagglehub/{kagglehub.__version__}"
            client = KaggleClient(username=name, password=key, api_token=token, user_agent=agent)
            stack.enter_context(client)
        except (OSError, ValueError, TypeError):  # OSError: a long token, tried as a file name and quoted
            raise FaceganError(f"Kaggle's credentials cannot be used: {TOKEN_PLACE}") from None
        session = getattr(client.http_client(), "_session", None)  # there is no public way to set a timeout
        if isinstance(session, requests.Session):
            session.mount("https://", _Patient())
            session.mount("http://", _Patient())
        yield client


def _receive(client: KaggleClient, dataset: DatasetHandle, archive: Path) -> None:
    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = dataset.owner, dataset.dataset
    request.dataset_version_number = dataset.version
    with client.datasets.dataset_api_client.download_dataset(request) as response:
        announced = int(response.headers.get("Content-Length", 0))
        had = archive.stat().st_size if archive.is_file() else 0
        if had > announced > 0:  # left by another archive
            archive.unlink()
            had = 0
        _require_space(archive.parent, 2 * announced - had, "to hold the archive and unpack it")
        download_file(response, str(archive), dataset)  # with a progress bar; continues what is there
    size = archive.stat().st_size
    if announced and size != announced:  # an error page was appended, or the whole archive once more
        os.truncate(archive, had if size < announced else 0)
        raise FaceganError(f"{dataset}: Kaggle did not continue the download that broke off: run again")


def _about(client: KaggleClient, dataset: DatasetHandle) -> dict[str, str | None]:
    try:
        answer = client.datasets.dataset_api_client.get_dataset(_get(dataset))
        texts = {"title": answer.title, "licence": answer.license_name}
        return {key: " ".join(text.split())[:200] or None for key, text in texts.items()}
    except Exception:
        return {"title": None, "licence": None}


def _get(dataset: DatasetHandle) -> ApiGetDatasetRequest:
    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = dataset.owner, dataset.dataset
    return request


def _unpack(dataset: DatasetHandle, archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            if fault := _fault(members, archive.stat().st_size):
                archive.unlink()
                raise FaceganError(f"{dataset}: archive refused and deleted, nothing was unpacked: {fault}")
            _require_space(archive.parent, sum(member.file_size for member in members), "to unpack")
            with files.new_folder(folder) as partial:
                for member in tqdm(members, desc="unpack", unit=" files"):
                    opened.extract(member, partial)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError) as error:
        archive.unlink()
        reason = " ".join(str(error).split())
        raise FaceganError(f"{dataset}: the archive is damaged ({reason}): deleted, run again") from None


def _fault(members: list[zipfile.ZipInfo], size: int) -> str | None:
    """Why not to trust an archive; zipfile would drop ``..`` and the root from a name and write the rest."""
    for member in members:
        path = member.filename.replace("\\", "/")
        if path.startswith("/") or ".." in path.split("/") or re.match("[A-Za-z]:", path):
            return f"member {member.filename!r} points outside"
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            return f"member {member.filename!r} is a link or a device"
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or unpacked > MAX_EXPANSION * size:
        return f"{len(members):,} members of {unpacked:,} bytes in {size:,} bytes"
    return None


def _require_space(folder: Path, needed: int, purpose: str) -> None:
    if (free := shutil.disk_usage(folder).free) < needed:
        raise FaceganError(f"{folder}: disk full: {needed:,} bytes needed {purpose}, {free:,} free")


@contextmanager
def _one_line_errors(handle: str, archive: Path) -> Iterator[None]:
    """Always ``from None``: requests quotes signed URLs and headers, and ``--debug`` would print them."""
    try:
        yield
    except requests.HTTPError as error:
        raise FaceganError(f"{handle}: {_refusal(error.response)}") from None
    except requests.RequestException as error:
        had = archive.stat().st_size if archive.is_file() else 0
        kept = f"{had:,} bytes are kept, the next run continues" if had else "run again when there is one"
        raise FaceganError(f"{handle}: no connection to Kaggle ({type(error).__name__}): {kept}") from None
    except DataCorruptionError:
        raise FaceganError(f"{handle}: the archive was damaged on its way: deleted, run again") from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "disk full: make room and run again" if full else f"{error.strerror}: see KAGGLEHUB_CACHE"
        raise FaceganError(f"{handle}: {archive.parent}: {what}") from None


def _refusal(answer: requests.Response | None) -> str:
    status = answer.status_code if answer is not None else 0
    if answer is not None and status < 400:  # kagglesdk raises at {"code": 404} with status 200 as well
        status = answer.json()["code"]
    if status in (401, 403):
        return f"Kaggle refused ({status}): private, needs consent or does not exist; {TOKEN_PLACE}"
    if status == 404:
        return "not found (404): look up owner, name and version on kaggle.com"
    if status == 429:
        return f"too many requests (429): run again later; {TOKEN_PLACE}"
    return f"Kaggle has a problem ({status}): run again later"
