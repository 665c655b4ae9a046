"""Does it run, and exactly: every recipe's first steps, twice and after a kill; scores and export from the device."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu.bench import Bench, Item, Row
from benchmarks.gpu.memory import estimated_bytes
from benchmarks.gpu.recipes import (
    all_recipes,
    build_training,
    labels_for,
    lasting,
    load_recipe,
    noise_pictures,
    start_state,
)
from facegan.evaluation.face_network import face_extractor
from facegan.evaluation.generation import generate
from facegan.evaluation.pixels import RealPictures, pixel_scores
from facegan.evaluation.reference import reference
from facegan.evaluation.scores import draw, feature_scores
from facegan.exporting.onnx import export_onnx, parity
from facegan.params import Params
from facegan.randomness import Inputs
from facegan.sharing import Compute
from facegan.tracking.journal import Journal, read_rows
from facegan.training.judge import build_judge

STEPS, TICK, KILLED_AT = 4, 3, 2
ONE_OF_EACH = ("conv-64", "keras-64", "wgan-gp-64", "hinge-sn-64", "conditional-64", "stylegan2-64", "r3gan-64")


class Killed(Exception):
    """Stands for SIGKILL: raised between two steps, nothing is saved after it."""


def items(bench: Bench) -> list[Item]:
    recipes = ONE_OF_EACH[-3:] if bench.tiny else all_recipes()
    sizes = ("tiny",) if bench.tiny else ("tiny", "full")
    found = [
        Item("exact", f"{name} {size}", 4.0 if size == "tiny" else 8.0, partial(_same_bytes, name, size == "tiny"))
        for size in sizes
        for name in recipes
    ]
    found.append(Item("exact", "evaluate", 10.0, _evaluate))
    return found + [
        Item("exact", f"export {name}", 8.0, partial(_export, name)) for name in ONE_OF_EACH[-3 if bench.tiny else 2 :]
    ]


def _same_bytes(name: str, tiny: bool, bench: Bench) -> Iterator[Row]:
    params = lasting(load_recipe(name, tiny), STEPS, TICK)
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(bench.device)
    first = _digest(params, bench)
    row: Row = {"recipe": name, "size": params.preprocess.size, "batch": params.train.batch, "digest": first[:16]}
    if bench.device.type == "cuda":
        estimated = estimated_bytes(params, 2 * params.train.images_per_step)
        measured = torch.cuda.max_memory_allocated(bench.device)
        row |= {"mib": measured / 2**20, "estimated_mib": estimated / 2**20, "of_estimate": measured / estimated}
    yield row | {
        "same_twice": _digest(params, bench) == first,
        "same_after_kill": _digest(params, bench, True) == first,
    }


def _digest(params: Params, bench: Bench, kill: bool = False) -> str:
    """SHA-256 of the whole state, the sample grids and the rows of the ticks, after the last step."""
    images = noise_pictures(params, 2 * params.train.images_per_step)
    asked = 0

    def stopping() -> bool:
        nonlocal asked
        asked += 1
        if kill and asked == KILLED_AT:
            raise Killed
        return False

    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(params.model.latent, labels_for(params, len(images)).table)
        judge = build_judge(params.train.judge, images, inputs, params.seed, Path.cwd(), bench.device)
        for _ in range(2 if kill else 1):  # a checkpoint after every step
            with Journal(Path(folder)) as journal:
                training = build_training(params, images, bench.device, Path(folder), journal, judge, stopping, 0.0)
                try:
                    training.run()
                except Killed:
                    continue
        content = hashlib.sha256(training.folder.checkpoint.read_bytes())
        for path in sorted(training.folder.samples.iterdir()):
            content.update(path.read_bytes())
        ticks = [row["values"] for row in read_rows(Path(folder)) if row["kind"] in ("metrics", "losses")]
        content.update(json.dumps(ticks).encode())
        return content.hexdigest()


def _evaluate(bench: Bench) -> Iterator[Row]:
    """The scores of an untrained generator on the device, twice, and beside those of the CPU."""
    params = load_recipe("base", tiny=True)
    count = 400 if bench.tiny else 4000
    images = noise_pictures(params, count)

    def scores(device: torch.device) -> dict[str, float]:
        network = start_state(params, device).average
        extractor, compute = face_extractor(device), Compute(device)
        with tempfile.TemporaryDirectory() as cache:
            real = reference(images, extractor, count // 4, 1, Path(cache), [], str(device), lambda _: None)
            drawn = Inputs(params.model.latent).draw(count // 4, 1, "evaluate")
            fake = draw(network, drawn, extractor, count // 4, lambda _: None, compute)
            found = feature_scores(real, fake, extractor, 1, compute)
        found |= pixel_scores(RealPictures.of(images, images[:200], count // 4, 1), fake.pictures, 1, compute)
        return {name: score["value"] for name, score in found.items()}

    there, again, here = scores(bench.device), scores(bench.device), scores(torch.device("cpu"))
    apart = {name: abs(there[name] - here[name]) / max(abs(here[name]), 1e-12) for name in here}
    yield {"same_twice": there == again, "scores": there, "apart_from_cpu": apart}


def _export(name: str, bench: Bench) -> Iterator[Row]:
    """ONNX of weights that were on the device, and how far the device's pictures are from the CPU's."""
    params = load_recipe(name, tiny=True)
    labels = labels_for(params, 16)
    network = start_state(params, bench.device).average
    inputs = Inputs(params.model.latent, labels.table).draw(16, 1, "export")
    there = next(generate(network, inputs, bench.device)).cpu().int()
    network.cpu()
    here = next(generate(network, inputs, torch.device("cpu"))).int()
    model = export_onnx(network, params.model.latent, labels.names, params.export.opset)
    agreement = parity(network, model, params.model.latent, labels.names, params.export.tolerance)
    yield {
        "recipe": name,
        "onnx_max_difference": agreement["max_difference"],
        "grey_levels_from_cpu": int((there - here).abs().max()),
    }
