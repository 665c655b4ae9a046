"""Models that MLflow holds, fetched, and held against what was registered."""

from pathlib import Path
from typing import Any

from facegan.errors import FaceganError
from facegan.files import sha256
from facegan.tracking.errors import one_line
from facegan.tracking.provenance import TAG, Mismatch, check

FILE = "generator.onnx"
ONNX = "facegan.sha256.onnx"  # tag of a run: its digest


def resolve(where: str) -> str:
    """An alias becomes a version by number: models:/NAME@ALIAS is models:/NAME/3. Raises whatever MLflow raises."""
    import mlflow

    name, at, alias = where.removeprefix("models:/").partition("@")
    if not at:
        return where
    return f"models:/{name}/{mlflow.MlflowClient().get_model_version_by_alias(name, alias).version}"


def fetch(where: str, folder: Path) -> Path:
    """The exported files of a model (models:/NAME/3, models:/NAME@ALIAS or runs:/RUN/generator), below ``folder``.

    Raises FaceganError where they are not those that were registered, and whatever MLflow raises.
    """
    import mlflow

    where = resolve(where)
    got = Path(mlflow.artifacts.download_artifacts(where, dst_path=str(folder)))
    return checked(where, got, _tags(where))


def checked(where: str, got: Path, tags: dict[str, str]) -> Path:
    """The folder below ``got`` with the exported files, which are those of the version with ``tags``."""
    found = sorted(got.rglob(FILE))
    if not found:
        raise FaceganError(f"{where}: no {FILE} there")
    if said := tags.get(TAG):  # versions of an earlier facegan have none
        check(said, found[0].parent, where)
    elif tags.get(ONNX) not in (None, sha256(found[0])):
        raise Mismatch(f"{where}: {FILE} is not the file that was recorded")
    return found[0].parent


def _tags(where: str) -> dict[str, str]:
    """Of a version, or of a run."""
    import mlflow

    if where.startswith("runs:/"):
        return dict(mlflow.MlflowClient().get_run(where.removeprefix("runs:/").partition("/")[0]).data.tags)

    name, _, number = where.removeprefix("models:/").rpartition("/")
    if not where.startswith("models:/") or not name:
        return {}
    client: Any = mlflow.MlflowClient()
    if number == "latest":
        found = client.search_model_versions(f"name = '{name}'")
        number = str(max((int(version.version) for version in found), default=0))
    return dict(client.get_model_version(name, number).tags) if number.isdecimal() else {}


def as_error(where: str, error: Exception) -> FaceganError:
    """What MLflow raised, in one line."""
    return error if isinstance(error, FaceganError) else FaceganError(f"{where}: {one_line(error)}")
