"""Download: the pictures that ``data`` asks for into one raw archive with their original bytes."""

import sys

from facegan.cli.command import run_stage
from facegan.cli.project import RAW, Project
from facegan.data.archive import write_raw
from facegan.data.source import open_source


def download(project: Project) -> None:
    params = project.params().data
    if params.source == "folder" and not params.folder.digest:
        print(
            "warning: data.folder.digest is not set, so a change of the folder goes unnoticed; "
            "`facegan data pin` writes it",
            file=sys.stderr,
        )
    with open_source(params, project.home) as pictures:
        manifest = write_raw(pictures, project.root / RAW, project.workers)
    print(f"download: {manifest['pictures']:,} pictures, {manifest['bytes'] / 2**20:,.1f} MiB, source {params.source}")


if __name__ == "__main__":
    run_stage(download)
