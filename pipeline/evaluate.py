"""Evaluate: score the trained generator against the real pictures, with floors and the whole protocol.

Several processes share the work and come to the same numbers: FACEGAN_PROCESSES=4 starts them, one for each GPU, or
torchrun does.
"""

import torch

from facegan.data.labels import Labels
from facegan.data.manifest import SPLITS, read_manifest
from facegan.data.rgb import in_rgb
from facegan.data.stored import load_split
from facegan.errors import FaceganError
from facegan.evaluation.comparison import at_its_floor
from facegan.evaluation.features import build_extractor
from facegan.evaluation.last import score_last
from facegan.evaluation.metrics import scores_of
from facegan.evaluation.reference import SCORING_SEED, reference
from facegan.evaluation.report import write_report
from facegan.evaluation.suite import Real, evaluate_generator
from facegan.exporting.model import LAST, judge_score, load_trained
from facegan.files import json_digest, new_folder, sha256, write_json
from facegan.progress import progress
from facegan.repository.distributed import device_of, several
from facegan.repository.project import REPORTS, SHARDS, TRAINED, Project
from facegan.repository.running import run_stage
from facegan.sharing import Compute, Processes
from facegan.training.device import choose_device, describe, make_deterministic


def evaluate(project: Project) -> None:
    with several("pipeline.evaluate") as processes:
        _evaluate(project, processes)


def _evaluate(project: Project, processes: Processes) -> None:
    params = project.params()
    device = choose_device(device_of(processes))
    compute = Compute(device, processes)
    environment = f"{describe(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    make_deterministic(device)
    extractor = build_extractor(params.evaluate, project.home, device)
    network, config = load_trained(project.root / TRAINED)
    network.to(device)
    manifest = read_manifest(project.root / SHARDS)
    weights = [sha256(path) for path in sorted((project.root / TRAINED).glob("generator*.safetensors"))]
    about = [params.model_dump(mode="json"), manifest, config, weights, environment, project.code("evaluate")]
    processes.agree("evaluation", json_digest(about))
    sets = [load_split(project.root / SHARDS, split) for split in SPLITS]
    labels = [Labels.of(part, names=config["labels"], manifest=manifest) for part in sets]
    real = Real(in_rgb(sets[0].images), in_rgb(sets[1].images), labels[0], labels[1], manifest)
    count, generated, seed = sum(map(len, sets)), params.evaluate.generated, params.seed
    n = min(generated, count // 2)
    if n < 2:
        raise FaceganError(f"evaluate: {count} real pictures are too few; a score with its floor needs at least 4")

    try:
        with progress(None, count + generated, "evaluate", hidden=processes.rank > 0) as bar:
            everything = in_rgb(load_split(project.root / SHARDS, *SPLITS).images)
            cache, told = project.state / "cache", bar.update
            held = reference(everything, extractor, n, SCORING_SEED, cache, real.digests, environment, told, processes)
            done = evaluate_generator(
                network, params.model.latent, real, held, extractor, generated, seed, told, compute
            )
    except ValueError as error:
        raise FaceganError(
            f"evaluate: {error}: what evaluate.extractor ({params.evaluate.extractor}) gives cannot be scored"
        ) from error
    last = None
    if config["last"]["images"] != config["best"]["images"]:
        network, _ = load_trained(project.root / TRAINED, LAST)
        network.to(device)
        judge = judge_score(config)
        last = score_last(network, params.model.latent, real, held, extractor, generated, seed, done, judge, compute)
    if processes.rank > 0:
        return
    done.report["protocol"]["params"] = params.evaluate.model_dump_json()
    with new_folder(project.root / REPORTS / "evaluate") as folder:
        write_report(folder, done, real, project.root / REPORTS / "train", config, last)
    write_json(project.root / REPORTS / "evaluate.json", done.report)
    for text in done.report["warnings"]:
        print(f"evaluate: {text}")
    if last is not None and last.better:
        print(
            f"evaluate: by {', '.join(last.better)}, the last weights are better than the best; the report shows both"
        )
    for name, score in scores_of(done.report).items():
        print(f"evaluate: {name} {at_its_floor(score):.4g}, real pictures {score['floor']:.4g}, at {score['n']} a side")


if __name__ == "__main__":
    run_stage(evaluate, memory="a lower evaluate.generated")
