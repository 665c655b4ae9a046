"""The schema of the blocks ``data`` and ``preprocess`` of ``params.yaml``, and what all blocks are made of."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from facegan.sizes import Size, stages

SHA256 = r"^[0-9a-f]{64}$"

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Digest = Annotated[str, Field(pattern=SHA256)]
Text = Annotated[str, Field(min_length=1)]


class Block(BaseModel):
    """A block of ``params.yaml``: frozen, every key required, no other key allowed, no type coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _different_names(value: object) -> Any:
    names = tuple(value) if isinstance(value, list | tuple) else None
    if names is None or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise PydanticCustomError("names", "should be different names, such as [hair, eyes]; [] is none")
    if "file" in names:  # the column of labels.csv that names the picture
        raise PydanticCustomError("names", "should not have 'file', which is where a picture's name stands")
    return names


Names = Annotated[tuple[str, ...], BeforeValidator(_different_names)]


class SyntheticParams(Block):
    count: Count
    size: Annotated[int, Field(ge=64, le=256)]  # pixels
    seed: Seed


class FolderParams(Block):
    path: str | None  # a folder, .zip or .tar; relative to the repository
    digest: Digest | None  # written by `facegan data pin`


class KaggleParams(Block):
    handle: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+/versions/[1-9]\d*$")]
    digest: Digest | None


class HubParams(Block):
    name: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None  # owner/name
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None  # a commit; written by `facegan data pin`
    config: str | None
    split: Text
    image: Text  # the column of pictures
    labels: Names


class ParquetParams(Block):
    path: str | None  # a file, or a folder of them; relative to the repository
    image: Text
    labels: Names
    digest: Digest | None


class WebDatasetParams(Block):
    path: str | None  # a .tar, or a folder of them; relative to the repository
    labels: Names  # cls, txt, or keys of the .json
    digest: Digest | None


class DataParams(Block):
    source: Literal["synthetic", "folder", "kaggle", "hub", "parquet", "webdataset"]
    limit: Count | None  # keep this many pictures, chosen by `seed`
    seed: Seed
    synthetic: SyntheticParams
    folder: FolderParams
    kaggle: KaggleParams
    hub: HubParams
    parquet: ParquetParams
    webdataset: WebDatasetParams

    @model_validator(mode="after")
    def _the_source_says_which_pictures(self) -> Self:
        key, what = _NEEDED.get(self.source, (None, None))
        if key and not getattr(getattr(self, self.source), key):
            raise ValueError(f"data.{self.source}.{key}: must name {what} when data.source is {self.source}")
        return self


_NEEDED = {  # what is null where another source is used
    "folder": ("path", "a folder, .zip or .tar"),
    "hub": ("name", "a data set of the Hugging Face hub, such as owner/name,"),
    "parquet": ("path", "a .parquet file or a folder of them"),
    "webdataset": ("path", "a .tar or a folder of them"),
}


def _size(value: object) -> Any:
    sides = value if isinstance(value, list | tuple) and len(value) == 2 else [value]
    if not all(type(side) is int for side in sides):
        raise ValueError(f"preprocess.size: {value!r} should be a number of pixels, or [height, width]")
    if len(sides) == 2 and sides[0] == sides[1]:
        raise ValueError(f"preprocess.size: {value!r} is a square; write {sides[0]}")
    size: Any = sides[0] if len(sides) == 1 else tuple(sides)
    try:
        stages(size)
    except ValueError as error:
        raise ValueError(f"preprocess.size: {error}") from None
    return size


class PreprocessParams(Block):
    size: Annotated[Size, BeforeValidator(_size)]  # pixels: the side of a square, or height and width
    channels: Literal[1, 3, 4]  # gray, colour, or colour with transparency
    filter: Literal["lanczos", "bicubic"]
    min_side: Count  # pixels; smaller pictures are rejected
    deduplicate: bool
    held_out: Annotated[float, Field(ge=0.0, le=0.5)]  # share of pictures that no training sees
    max_reject_fraction: Share
