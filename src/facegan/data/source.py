"""Where pictures come from: one entry in ``SOURCES`` for each name of ``data.source``."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from facegan.data import folder, synthetic
from facegan.data.pictures import PictureSet
from facegan.errors import FaceganError
from facegan.params import DataParams

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
    assert params.folder.path is not None  # the schema's rule
    path = root / params.folder.path
    with folder.open_pictures(path) as pictures:
        digest = str(pictures.description["digest"])
        if params.folder.digest and digest != params.folder.digest:
            raise FaceganError(
                f"data.folder.path: {params.folder.path} changed: it is {digest[:12]} now, and params.yaml pins "
                f"{params.folder.digest[:12]}; restore it, or accept it with `facegan data pin`"
            )
        yield pictures


@contextmanager
def _kaggle(params: DataParams, root: Path) -> Iterator[PictureSet]:
    from facegan.data import kaggle  # kagglehub takes a second to import

    fetched = kaggle.fetch(params.kaggle.handle, params.kaggle.digest)
    with folder.open_pictures(fetched.path) as pictures:
        description = {"source": "kaggle", "digest": fetched.digest, **fetched.description}
        yield replace(pictures, description=description)


SOURCES: dict[str, Source] = {"synthetic": _synthetic, "folder": _folder, "kaggle": _kaggle}


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
