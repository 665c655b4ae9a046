"""Data sets of the Hugging Face hub, by name and commit, read with ``datasets`` (the extra ``hub``).

``datasets`` downloads, resumes and keeps a cache; a commit that is in it needs no network. It runs no code that a data
set brings.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from yaml import YAMLError

from facegan.data.columns import check_columns, label_texts, picture
from facegan.data.pictures import PictureSet
from facegan.errors import FaceganError
from facegan.params_data import HubParams

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

try:
    import datasets
    import huggingface_hub
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
except ImportError as missing:
    raise FaceganError(
        f"data.source: hub needs the package {missing.name}: pip install 'facegan[hub]' installs it"
    ) from missing

TIMEOUT = 30.0  # seconds to connect
TOKEN_PLACE = "a token (huggingface.co/settings/tokens) goes into HF_TOKEN, or `hf auth login` keeps it"


@contextmanager
def open_hub(params: HubParams) -> Iterator[PictureSet]:
    """The pictures of a split, by row. Raises FaceganError."""
    assert params.name is not None  # the schema's rule
    if not params.revision:
        raise FaceganError("data.hub.revision: null names no commit; `facegan data pin` writes the newest one")
    try:
        _about(params.name, params.revision)
    except ConnectionError:
        offline = True
    else:
        offline = bool(datasets.config.HF_HUB_OFFLINE)
    rows = _rows(params, offline)
    check_columns(rows.features.arrow_schema, params.image, params.labels, "data.hub")
    texts: dict[str, list[str]] = {}
    if params.labels:
        texts = label_texts(rows.select_columns(list(params.labels)).with_format("arrow")[:], "data.hub")
    names = tuple(f"{params.split}/{row:07d}" for row in range(len(rows)))
    cells = rows.select_columns([params.image]).with_format("arrow")
    numbers = {name: row for row, name in enumerate(names)}

    own = f"datasets--{params.name.replace('/', '--')}"
    places = [Path(huggingface_hub.constants.HF_HUB_CACHE, own), Path(datasets.config.DOWNLOADED_DATASETS_PATH)]

    def read(name: str) -> bytes:
        return picture(cells[numbers[name]].column(0)[0].as_py(), partial(_downloaded, places))

    yield PictureSet(
        names=names,
        read=read,
        labels={
            name: {column: values[row] for column, values in texts.items() if values[row]}
            for row, name in enumerate(names)
        },
        description={
            "source": "hub",
            "name": params.name,
            "revision": params.revision,
            "config": params.config,
            "split": params.split,
            "licence": _licence(params.name, params.revision),
            "url": f"https://huggingface.co/datasets/{params.name}/tree/{params.revision}",
        },
    )


def newest(name: str) -> str:
    """The newest commit of a data set. Raises FaceganError."""
    try:
        return str(_about(name, None).sha)
    except ConnectionError as error:
        raise FaceganError(f"{name}: no connection to the hub ({error}); run again when there is one") from None


def _about(name: str, revision: str | None) -> Any:
    """What the hub says of a commit. Raises FaceganError for an answer that is none, ConnectionError without one."""
    try:
        return huggingface_hub.HfApi().dataset_info(name, revision=revision, timeout=TIMEOUT)
    except GatedRepoError:
        raise FaceganError(f"{name}: ask for access on huggingface.co/datasets/{name}; {TOKEN_PLACE}") from None
    except RevisionNotFoundError:
        raise FaceganError(f"data.hub.revision: {name} has no commit {revision}") from None
    except RepositoryNotFoundError:
        raise FaceganError(f"data.hub.name: {name} does not exist on the hub, or is private; {TOKEN_PLACE}") from None
    except HfHubHTTPError as error:  # quotes the address; what it says is in the status
        raise FaceganError(f"{name}: {_refusal(error.response.status_code)}") from None
    except UnicodeError:  # of a header
        raise FaceganError(f"the token of the hub cannot be used: {TOKEN_PLACE}") from None
    except OSError as error:
        raise ConnectionError(type(error).__name__) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0].startswith("httpx"):
            raise ConnectionError(type(error).__name__) from None
        raise


def _refusal(status: int) -> str:
    if status in (401, 403):
        return f"the hub refused ({status}); {TOKEN_PLACE}"
    if status == 429:
        return f"too many requests (429): run again later; {TOKEN_PLACE}"
    return f"the hub has a problem ({status}): run again later"


def _rows(params: HubParams, offline: bool) -> Any:
    """The rows of the split, of the commit that is asked for and no other."""
    before, datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE, offline
    try:
        rows = datasets.load_dataset(params.name, params.config, split=params.split, revision=params.revision)
    except (
        Exception
    ) as error:  # a hundred kinds: of a file that is damaged, a split or a configuration that is not there
        if offline:
            raise FaceganError(
                f"{params.name}: no connection to the hub, and commit {params.revision} is not in its cache; "
                "run again when there is one"
            ) from error
        raise FaceganError(f"data.hub: {params.name} cannot be loaded: {_line(error)}") from error
    finally:
        datasets.config.HF_HUB_OFFLINE = before
    kept = [str(file["filename"]) for file in rows.cache_files]
    if not all(params.revision in Path(name).parts for name in kept):  # without a connection, any commit will do for it
        raise FaceganError(
            f"{params.name}: no connection to the hub, and its cache has another commit than {params.revision}; "
            "run again when there is one"
        )
    return rows


def _line(error: BaseException) -> str:
    """What caused an error, in one line: ``datasets`` wraps what happened in "An error occurred"."""
    while error.__cause__:
        error = error.__cause__
    return (" ".join(str(error).split()) or type(error).__name__)[:300]


def _downloaded(places: list[Path], name: str) -> bytes:
    """A picture that came as a file of this data set. A row may name any file of whoever reads it: no other is read."""
    path = Path(os.path.normpath(name))  # not resolved: the client's own links lead to where it keeps contents
    if not any(path.is_relative_to(place.absolute()) for place in places):
        raise ValueError("the row has a path and no picture")
    return path.read_bytes()


def _licence(name: str, revision: str) -> str | None:
    """What the card of the data set says."""
    try:
        card = huggingface_hub.hf_hub_download(name, "README.md", repo_type="dataset", revision=revision)
        licence = (huggingface_hub.metadata_load(card) or {}).get("license")
    except (EntryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError, ValueError, YAMLError):
        return None
    return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence) if licence else None
