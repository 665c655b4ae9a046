"""Pictures and labels in the columns of Arrow tables, as Parquet files and the Hugging Face hub have them."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from facegan.errors import FaceganError

MAX_PICTURE_BYTES = 512 * 2**20
MAX_LABEL = 10_000  # characters


def check_columns(schema: pa.Schema, image: str, labels: Sequence[str], where: str) -> None:
    """Raises FaceganError for a column that is not there, or that cannot hold what is asked of it.

    ``where`` is the block of ``params.yaml``, such as ``data.parquet``.
    """
    for key, column in (("image", image), *(("labels", label) for label in labels)):
        if column not in schema.names:
            raise FaceganError(f"{where}.{key}: no column {column!r}; the columns are {', '.join(schema.names)}")
    kind = schema.field(image).type
    if not _holds_bytes(kind):
        raise FaceganError(
            f"{where}.image: column {image!r} holds {kind}; pictures are encoded ones (PNG, JPEG, ...) in a column of "
            "binary values, or of structs with the fields bytes and path"
        )


def _holds_bytes(kind: pa.DataType) -> bool:
    if kinds.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind))


def picture(value: Any, local: Callable[[str], bytes] | None = None) -> bytes:
    """The encoded picture of a cell: bytes, or {"bytes", "path"}. Raises ValueError with the reason when there is none.

    ``local`` reads the file that ``path`` names, where a source may be trusted with that.
    """
    content, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if content is None and path and local:
        content = local(path)
    if content is None:
        raise ValueError("the row has a path and no picture" if path else "the row has no picture")
    if len(content) > MAX_PICTURE_BYTES:
        raise ValueError(f"larger than {MAX_PICTURE_BYTES // 2**20} MiB")
    return bytes(content)


def label_texts(table: pa.Table, where: str) -> dict[str, list[str]]:
    """The labels of every column, one text a row; empty is unknown. Numbers of classes that have names become those.

    Raises FaceganError for a column of another kind than text, whole numbers or booleans.
    """
    names = class_names(table.schema)
    return {
        column: _texts(table[column], names.get(column), f"{where}.labels: column {column!r}")
        for column in table.column_names
    }


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Names of classes by column, as ``datasets`` stores them in the schema's metadata (``ClassLabel``)."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {column: feature.get("names") for column, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}  # another writer's
    return {column: list(map(str, names)) for column, names in found.items() if isinstance(names, list)}


def _texts(column: pa.ChunkedArray, classes: list[str] | None, where: str) -> list[str]:
    kind = column.type.value_type if kinds.is_dictionary(column.type) else column.type
    if not (kinds.is_integer(kind) or kinds.is_boolean(kind) or kinds.is_string(kind) or kinds.is_large_string(kind)):
        raise FaceganError(f"{where} holds {kind}; labels are text, whole numbers or booleans")
    values = column.to_pylist()
    if classes is None or not kinds.is_integer(kind):
        try:
            return ["" if value is None else label_text(value) for value in values]
        except ValueError as error:
            raise FaceganError(f"{where} has {error}") from None
    for value in values:
        if value is not None and value >= len(classes):
            raise FaceganError(f"{where} has class {value}, and names of {len(classes)}")
    return ["" if value is None or value < 0 else classes[value] for value in values]  # -1 is unknown


def label_text(value: str | int | bool) -> str:
    """A label as the text that stands for it, as in a ``labels.csv``. Raises ValueError for one that is too long."""
    text = str(value).lower() if isinstance(value, bool) else str(value).strip()
    if len(text) > MAX_LABEL:
        raise ValueError(f"a label of {len(text):,} characters; at most {MAX_LABEL:,} are read")
    return text.encode("utf-8", "backslashreplace").decode()
