"""Download: the pictures that ``data`` asks for into one raw archive with their original bytes."""

import sys
from collections import Counter

from facegan.data.archive import write_raw
from facegan.data.source import LOCAL, open_source
from facegan.repository.project import RAW, Project
from facegan.repository.running import run_stage


def download(project: Project) -> None:
    params = project.params().data
    if params.source in LOCAL and not getattr(params, params.source).digest:
        print(
            f"warning: data.{params.source}.digest is not set, so a run does not say which pictures it saw; "
            "`facegan data pin` writes it, now and after every change of the files",
            file=sys.stderr,
        )
    with open_source(params, project.home) as pictures:
        for note in pictures.notes:
            print(f"warning: {note}", file=sys.stderr)
        manifest = write_raw(pictures, project.root / RAW, project.workers)
        labelled = Counter(column for name in pictures.names for column in pictures.labels.get(name, {}))
    print(f"download: {manifest['pictures']:,} pictures, {manifest['bytes'] / 2**20:,.1f} MiB, source {params.source}")
    if labelled:
        print("download: labels " + ", ".join(f"{name} of {count:,}" for name, count in sorted(labelled.items())))


if __name__ == "__main__":
    run_stage(download, memory="a lower data.limit", disk="lower data.limit")
