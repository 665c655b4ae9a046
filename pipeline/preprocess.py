"""Preprocess: the raw pictures to uint8 tensor shards, split into training and held out, with a manifest."""

from facegan.data.shards import summary, write_shards
from facegan.files import write_json
from facegan.repository.project import RAW, REPORTS, SHARDS, Project
from facegan.repository.running import run_stage
from facegan.sizes import in_words


def preprocess(project: Project) -> None:
    params = project.params().preprocess
    manifest = write_shards(project.root / RAW, project.root / SHARDS, params, project.workers)
    numbers = summary(manifest)
    write_json(project.root / REPORTS / "data.json", numbers)
    print(
        f"preprocess: {numbers['pictures']['train']:,} pictures to train on, {numbers['pictures']['held_out']:,} held "
        f"out, {numbers['duplicates']:,} duplicates, {numbers['rejected']['total']:,} rejected, "
        f"{numbers['enlarged']:.1%} enlarged to {in_words(params.size)}"
    )


if __name__ == "__main__":
    run_stage(preprocess, memory="a smaller preprocess.size", disk="lower data.limit or preprocess.size")
