"""Long trainings on real pictures in the time that is left, scored with everything that needs no download."""

import json
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.corruptions import drawn_faces, given_pictures
from benchmarks.gpu.bench import Bench, Item, Row
from benchmarks.gpu.recipes import all_recipes, build_training, load_recipe
from benchmarks.gpu.speed import Runner
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.face_network import face_extractor
from facegan.evaluation.generation import generate
from facegan.evaluation.onnx_network import onnx_extractor
from facegan.evaluation.pixels import RealPictures, pixel_scores
from facegan.evaluation.random_network import random_extractor
from facegan.evaluation.reference import SCORING_SEED, reference
from facegan.evaluation.scores import draw, feature_scores
from facegan.files import sha256
from facegan.params import OnnxParams, Params
from facegan.pictures import write_grid
from facegan.randomness import Inputs
from facegan.sharing import Compute
from facegan.tracking.journal import Journal
from facegan.training.judge import build_judge
from facegan.training.schedule import images_in

# In order of worth: recipe, minutes. Those that do not exist yet are passed over.
TRAININGS = (("conv-64", 3.0), ("best-64", 3.0), ("r3gan-64", 3.0), ("few-shot-64", 2.0))


def items(bench: Bench) -> list[Item]:
    trainings = TRAININGS[:1] if bench.tiny else [each for each in TRAININGS if each[0] in all_recipes()]
    scoring = 1.0 if bench.tiny else 40.0
    return [
        Item("faces", name, (0.1 if bench.tiny else minutes * 60) + scoring, partial(_train, name, minutes))
        for name, minutes in trainings
    ]


def _train(name: str, minutes: float, bench: Bench) -> Iterator[Row]:
    params = load_recipe(name, bench.tiny)
    params = params.model_copy(update={"model": params.model.model_copy(update={"labels": ()})})
    size = max(params.preprocess.size, 64)  # as small as faces are drawn
    count = 200 if bench.tiny else 10_000
    faces = drawn_faces(count, size) if bench.pictures is None else given_pictures(bench.pictures, count, size)
    images = faces.images[: params.data.limit or count]
    held_out = len(images) // 10
    images, unseen = images[held_out:], images[:held_out]
    with tempfile.TemporaryDirectory() as folder:
        params = _lasting(params, len(images), minutes, bench)
        inputs = Inputs(params.model.latent)
        judge = build_judge(params.train.judge, images, inputs, params.seed, Path.cwd(), bench.device)
        working = Path(folder, "training")
        with Journal(working) as journal:
            training = build_training(params, images, bench.device, working, journal, judge)
            bench.synchronize()
            began = time.perf_counter()
            state = training.run()
            bench.synchronize()
            seconds = time.perf_counter() - began
            ticks = [row["values"] for row in journal.rows() if row["kind"] == "metrics"]
        shown = state.step * training.per_step
        yield {
            "recipe": name,
            "images": shown,
            "seconds": seconds,
            "images_per_second": shown / seconds,
            "last_tick": ticks[-1],
        }
        drawn = torch.cat([part.cpu() for part in generate(state.average, inputs.draw(64, 1, "grid"), bench.device)])
        write_grid(bench.out / f"{name}.png", drawn)
        for extractor in _extractors(bench):
            yield {"recipe": name, "space": extractor.name} | _scores(
                state.average, inputs, images, unseen, extractor, bench
            )


def _lasting(params: Params, pictures: int, minutes: float, bench: Bench) -> Params:
    """The same parameters for as many images as fit into the minutes, schedules stretched with them."""
    rate = Runner(params, bench).rates(1)[0]
    images = max(4 * params.train.images_per_step, int(rate * minutes * 60 * (0.001 if bench.tiny else 0.95)))
    share = images / images_in(params.train.duration, pictures)
    train = {**params.train.model_dump(), "duration": f"{images / 1000} kimg"}
    train |= dict.fromkeys(("tick", "evaluate_every"), f"{images / (2000 if bench.tiny else 20000)} kimg")
    for value in train.values():
        if isinstance(value, dict) and "over" in value:
            value["over"] = f"{images_in(value['over'], pictures) * share / 1000} kimg"
    return params.model_copy(update={"train": type(params.train).model_validate(train)})


def _extractors(bench: Bench) -> Iterator[Extractor]:
    yield face_extractor(bench.device)
    yield random_extractor(bench.device)
    if bench.extractor is not None:
        params = OnnxParams(
            sha256=sha256(bench.extractor), input=None, output=None, size=224,
            range=(-1.0, 1.0), mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0),
        )  # fmt: skip
        yield onnx_extractor(bench.extractor.name, params, bench.extractor.parent, bench.device)


def _scores(
    network: torch.nn.Module,
    inputs: Inputs,
    images: torch.Tensor,
    unseen: torch.Tensor,
    extractor: Extractor,
    bench: Bench,
) -> Row:
    everything = torch.cat([images, unseen])
    n = min(3000, len(everything) // 2)
    with tempfile.TemporaryDirectory() as cache:
        real = reference(everything, extractor, n, SCORING_SEED, Path(cache), [], "", lambda _: None)
        compute = Compute(bench.device)
        fake = draw(network, inputs.draw(n, 1, "evaluate"), extractor, n, lambda _: None, compute)
        found = feature_scores(real, fake, extractor, SCORING_SEED, compute)
    if extractor.name == "face":
        found |= pixel_scores(RealPictures.of(images, unseen, n, SCORING_SEED), fake.pictures, SCORING_SEED, compute)
    kept = {name: {key: score.get(key) for key in ("value", "at_n", "floor", "n")} for name, score in found.items()}
    return {"scores": json.loads(json.dumps(kept))}
