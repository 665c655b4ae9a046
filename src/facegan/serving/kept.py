"""A copy of the model in service on this machine's disk, for a start when MLflow cannot be reached."""

import shutil
from pathlib import Path

from facegan.errors import FaceganError
from facegan.files import folder_digest, json_digest, new_folder, read_json, write_json

_FILES, _ABOUT = "files", "kept.json"


class Kept:
    """The last model that was served for ``where`` (an alias) of the MLflow at ``server``, below ``folder``."""

    def __init__(self, folder: Path, where: str, server: str) -> None:
        self._folder = folder / json_digest([where, server])[:16]

    def keep(self, exported: Path, name: str) -> None:
        """Replace the copy, whole. Raises OSError."""
        with new_folder(self._folder) as partial:
            shutil.copytree(exported, partial / _FILES)
            write_json(partial / _ABOUT, {"name": name, "sha256": folder_digest(partial / _FILES)})

    def find(self) -> tuple[Path, str] | None:
        """The exported files and the name of the version; None when nothing was kept. Raises FaceganError."""
        try:
            about = read_json(self._folder / _ABOUT)
            if folder_digest(self._folder / _FILES) != about["sha256"]:
                raise FaceganError(f"{self._folder}: the copy of {about['name']} was changed; it is not used")
            return self._folder / _FILES, str(about["name"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FaceganError(f"{self._folder}: the copy that was kept cannot be read: {error}") from error
