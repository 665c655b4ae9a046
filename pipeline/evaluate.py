"""Evaluate: score the trained generator against the real pictures, with floors and the whole protocol."""

import os

import torch

from facegan.cli.command import run_stage
from facegan.cli.project import REPORTS, SHARDS, TRAINED, Project
from facegan.data.batches import load_split
from facegan.data.labels import Labels
from facegan.data.manifest import SPLITS, read_manifest
from facegan.errors import FaceganError
from facegan.evaluation.features import build_extractor
from facegan.evaluation.judge import generate
from facegan.evaluation.report import FIGURE_PICTURES, write_report
from facegan.evaluation.scores import reference, scores
from facegan.exporting.model import load_generator
from facegan.files import new_folder, write_json
from facegan.progress import progress
from facegan.randomness import Inputs
from facegan.training.device import choose_device, describe, make_deterministic


def evaluate(project: Project) -> None:
    params = project.params()
    device = choose_device(os.environ.get("FACEGAN_DEVICE"))
    make_deterministic(device)
    extractor = build_extractor(params.evaluate, project.home, device)
    network, config = load_generator(project.root / TRAINED)
    network.to(device)
    sets = [load_split(project.root / SHARDS, split) for split in SPLITS]
    real = torch.cat([part.images for part in sets])
    manifest = read_manifest(project.root / SHARDS)
    digests = [shard["sha256"] for shard in manifest["shards"]]
    labels = Labels.of(*sets, names=config["labels"], manifest=manifest)
    inputs = Inputs(params.model.latent, labels.table)
    n = min(params.evaluate.generated, len(real) // 2)
    if n < 2:
        raise FaceganError(f"evaluate: {len(real)} real pictures are too few; a score with its floor needs at least 4")

    with progress(None, len(real) + params.evaluate.generated, "evaluate") as bar:
        environment = f"{describe(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        held = reference(real, extractor, n, params.seed, project.state / "cache", digests, environment, bar.update)
        report = scores(network, inputs, held, extractor, params.evaluate.generated, params.seed, device, bar.update)
    if labels.names:
        report["protocol"]["labels"] = "drawn as the real pictures have them"
    report["protocol"]["params"] = params.evaluate.model_dump_json()
    drawn = next(generate(network, inputs.draw(FIGURE_PICTURES, params.seed, "figure"), device))
    with new_folder(project.root / REPORTS / "evaluate") as folder:
        training = project.root / REPORTS / "train"
        write_report(folder, report, real[:FIGURE_PICTURES], drawn.cpu(), training, config, manifest)
    write_json(project.root / REPORTS / "evaluate.json", report)
    for name, score in report.items():
        if name != "protocol":
            print(f"evaluate: {name} {score['value']:.4g}, floor {score['floor']:.4g} at {score['n']} a side")


if __name__ == "__main__":
    run_stage(evaluate)
