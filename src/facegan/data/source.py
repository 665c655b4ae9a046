"""Where pictures come from: one entry in ``SOURCES`` for each name of ``data.source``."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from facegan.data import folder, synthetic
from facegan.data.pictures import PictureSet
from facegan.errors import FaceganError
from facegan.params_data import DataParams, FolderParams, ParquetParams, WebDatasetParams

Source = Callable[[DataParams, Path], AbstractContextManager[PictureSet]]


@dataclass(frozen=True)
class _Draw:
    """Draws picture ``name`` of the synthetic set; a plain value, so that worker processes can have it."""

    seed: int
    size: int

    def __call__(self, name: str) -> bytes:
        return synthetic.png(self.seed, int(Path(name).stem), self.size)[0]


@contextmanager
def _synthetic(params: DataParams, root: Path) -> Iterator[PictureSet]:
    seed, size = params.synthetic.seed, params.synthetic.size
    names = {f"{index:06d}.png": index for index in range(params.synthetic.count)}
    yield PictureSet(
        names=tuple(names),
        read=_Draw(seed, size),
        labels={name: synthetic.sample_factors(seed, index).labels() for name, index in names.items()},
        description={
            "source": "synthetic",
            "licence": "Apache-2.0, drawn by facegan",
            "seed": seed,
            "size": size,
        },
        drawn=True,
    )


@contextmanager
def _folder(params: DataParams, root: Path) -> Iterator[PictureSet]:
    with folder.open_pictures(root / str(params.folder.path)) as pictures:
        _check_pin("folder", params.folder, pictures)
        yield pictures


@contextmanager
def _parquet(params: DataParams, root: Path) -> Iterator[PictureSet]:
    from facegan.data.parquet import open_parquet  # pyarrow takes half a second to import

    asked = params.parquet
    with open_parquet(root / str(asked.path), asked.image, asked.labels) as pictures:
        _check_pin("parquet", asked, pictures)
        yield pictures


@contextmanager
def _webdataset(params: DataParams, root: Path) -> Iterator[PictureSet]:
    from facegan.data.webdataset import open_webdataset

    asked = params.webdataset
    with open_webdataset(root / str(asked.path), asked.labels) as pictures:
        _check_pin("webdataset", asked, pictures)
        yield pictures


def _check_pin(source: str, asked: FolderParams | ParquetParams | WebDatasetParams, pictures: PictureSet) -> None:
    digest = str(pictures.description["digest"])
    if asked.digest and digest != asked.digest:
        raise FaceganError(
            f"data.{source}.path: {asked.path} changed: it is {digest[:12]} now, and params.yaml pins "
            f"{asked.digest[:12]}; restore it, or accept it with `facegan data pin`"
        )


@contextmanager
def _kaggle(params: DataParams, root: Path) -> Iterator[PictureSet]:
    from facegan.data import kaggle  # kagglehub takes a second to import

    fetched = kaggle.fetch(params.kaggle.handle, params.kaggle.digest)
    with folder.open_pictures(fetched.path) as pictures:
        description = {"source": "kaggle", "digest": fetched.digest, **fetched.description}
        yield replace(pictures, description=description)


def _hub(params: DataParams, root: Path) -> AbstractContextManager[PictureSet]:
    from facegan.data.hub import open_hub  # an extra, and it takes two seconds to import

    return open_hub(params.hub)


SOURCES: dict[str, Source] = {
    "synthetic": _synthetic,
    "folder": _folder,
    "kaggle": _kaggle,
    "hub": _hub,
    "parquet": _parquet,
    "webdataset": _webdataset,
}
LOCAL = ("folder", "parquet", "webdataset")  # sources whose files may change from one run to the next


@contextmanager
def open_source(params: DataParams, root: Path) -> Iterator[PictureSet]:
    """The pictures that ``params`` ask for; paths are relative to ``root``. Raises FaceganError."""
    with SOURCES[params.source](params, root) as pictures:
        if not pictures.names:
            raise FaceganError(f"data.source: the {params.source} source holds no file at all")
        yield _limited(pictures, params.limit, params.seed)


def _limited(pictures: PictureSet, limit: int | None, seed: int) -> PictureSet:
    """``limit`` pictures, chosen by a hash of seed and name: independent of the order and of each other."""
    listed = [*pictures.names, *pictures.unreadable]
    if limit is None or limit >= len(listed):
        return pictures

    def rank(name: str) -> bytes:
        return hashlib.sha256(f"{seed}/{name}".encode()).digest()

    kept = set(sorted(listed, key=rank)[:limit])
    return replace(
        pictures,
        names=tuple(name for name in sorted(pictures.names) if name in kept),
        unreadable={name: reason for name, reason in pictures.unreadable.items() if name in kept},
    )
