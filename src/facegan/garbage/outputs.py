"""DVC's cache and run cache: outputs that no commit, branch, tag, experiment or workspace names."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from facegan.errors import FaceganError
from facegan.garbage import Item, counted
from facegan.repository.project import Project
from facegan.strict_yaml import read_yaml
from facegan.tracking.errors import one_line

if TYPE_CHECKING:
    from dvc.repo import Repo

_EVERYTHING = {"all_branches": True, "all_tags": True, "all_commits": True, "all_experiments": True}


def find(project: Project) -> Iterator[Item]:
    """Raises FaceganError for a cache that other projects may use too."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    if not (project.home / ".dvc").is_dir():
        return
    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # what it says of commits that are not on this machine
    try:
        with Repo(str(project.home)) as repo:
            cache, own = Path(repo.cache.local.path).resolve(), (project.home / ".dvc").resolve()
            if own not in cache.parents:
                raise FaceganError(f"DVC's cache {cache} may be shared; `dvc gc --projects` asks the others")
            if (lacking := _not_cached(repo)) is not None:
                print(f"gc: {lacking} is not in DVC's cache, which is left as it is; `dvc commit` puts it there")
                return
            named = repo.used_objs(force=True, **_EVERYTHING)  # also where some are not on this machine
            used = {identity.value for found in named.values() for identity in found}
            spare = [path for path in cache.glob("??/*") if path.parent.name + path.name not in used]
            if spare:
                files = counted(len(spare), "file")
                yield Item(
                    f"{files} in DVC's cache that no commit, branch, tag, experiment or workspace names",
                    sum(path.stat().st_size for path in spare),
                    lambda: _collect(project.home),
                )
            entries = [path for path in _run_cache(repo).glob("??/*/*") if not _outputs(path) <= used]
            if entries:
                yield Item(
                    f"{counted(len(entries), 'run')} in DVC's run cache with such outputs",
                    sum(path.stat().st_size for path in entries),
                    lambda: _drop(entries),
                )
    except DvcException as error:
        raise FaceganError(f"DVC failed: {one_line(error)}") from error


def _not_cached(repo: "Repo") -> str | None:
    """A folder of the workspace whose listing the cache lacks, so that what it names is not known."""
    for out in repo.index.outs:
        if out.use_cache and out.hash_info and out.hash_info.isdir and out.exists and out.changed_cache():
            return str(out)
    return None


def _collect(home: Path) -> None:
    """By DVC, under its lock, and with what is named by then."""
    from dvc.repo import Repo

    with Repo(str(home)) as repo:
        repo.gc(workspace=True, force=True, **_EVERYTHING)


def _run_cache(repo: "Repo") -> Path:
    return Path(repo.stage_cache.cache_dir)


def _outputs(entry: Path) -> set[str]:
    try:
        outs = read_yaml(entry.read_text(encoding="utf-8"), entry.name).get("outs", [])
    except (OSError, FaceganError, AttributeError):  # cut short: DVC cannot use it either
        return {""}
    return {str(out["md5"]) for out in outs if "md5" in out}


def _drop(entries: list[Path]) -> None:
    for path in entries:
        path.unlink(missing_ok=True)
        for folder in (path.parent, path.parent.parent):
            if not any(folder.iterdir()):
                folder.rmdir()
