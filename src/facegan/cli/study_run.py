"""The trainings of a study: each resumable in a folder of its own, scored like `evaluate` scores."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

import facegan
from facegan.cli.command import Stop
from facegan.cli.project import SHARDS, Project
from facegan.cli.study import Result
from facegan.data.batches import load_split
from facegan.data.labels import Labels
from facegan.data.manifest import MANIFEST, SPLITS, read_manifest
from facegan.errors import FaceganError
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.features import build_extractor
from facegan.evaluation.judge import quick_score
from facegan.evaluation.random_network import random_extractor
from facegan.evaluation.reference import SCORING_SEED, reference
from facegan.evaluation.scores import draw, feature_scores, protocol
from facegan.exporting.model import load_generator
from facegan.files import json_digest, write_json
from facegan.params import Params
from facegan.randomness import Inputs
from facegan.randomness import generator as random_generator
from facegan.tracking.journal import Journal, read_rows
from facegan.tracking.lineage import code_digest
from facegan.training.device import choose_device, describe, make_deterministic
from facegan.training.loop import NotFinite, Stopped, Training
from facegan.training.outputs import write_history, write_models
from facegan.training.working import hold

CODE = (
    "data/batches.py",
    "data/labels.py",
    "evaluation",
    "networks",
    "randomness.py",
    "training",
)  # that decides a result


class Bench:
    """The pictures and the device that all trainings of a study share."""

    def __init__(self, project: Project, out: Path, pictures: int | None, generated: int) -> None:
        self._device = choose_device(os.environ.get("FACEGAN_DEVICE"))
        make_deterministic(self._device)
        self._code = code_digest(Path(facegan.__path__[0]), CODE)
        self._stop = Stop()
        self._out = out
        self._cache = project.state / "cache"
        if not (project.root / SHARDS / MANIFEST).is_file():
            raise FaceganError(f"study: {SHARDS} holds no pictures; `dvc repro preprocess` makes them")
        manifest = read_manifest(project.root / SHARDS)
        self._digests = [shard["sha256"] for shard in manifest["shards"]]
        self._manifest = manifest
        self._train_set = load_split(project.root / SHARDS, "train")
        if pictures is not None and pictures < len(self._train_set):
            order = torch.randperm(len(self._train_set), generator=random_generator(SCORING_SEED, "study"))
            self._train_set = self._train_set.chosen(order[:pictures].sort().values)
        self._images = self._train_set.images
        self._sets = [load_split(project.root / SHARDS, split) for split in SPLITS]
        self._real = torch.cat([part.images for part in self._sets])
        self._generated = generated
        self._extractors = [random_extractor(self._device)]  # the first judges while training
        evaluate = project.params().evaluate
        if evaluate.extractor != "random":
            self._extractors.append(build_extractor(evaluate, project.home, self._device))

    def about(self, images: int) -> dict[str, str]:
        """What a reader of the table must know."""
        size = self._images.shape[1]
        return {
            "images shown to each": f"{images:,}",
            "training pictures": f"{len(self._images):,} at {size}x{size}",
            "scored": f"{self._generated:,} generated against all {len(self._real):,} real pictures, by "
            + " and ".join(extractor.name for extractor in self._extractors),
            "machine": self._environment(),
        }

    def result(self, name: str, params: Params, seed: int) -> Result:
        """Train (or go on, or read what is done) and score. A training that diverges is a result too."""
        values = [params.model.model_dump(), params.train.model_dump(), self._digests, len(self._images), self._code]
        key = json_digest([*values, seed])[:12]
        recipe = re.sub(r"[^a-z0-9.-]+", "-", name.partition(":")[0].lower())
        folder = self._out / f"{recipe}-{seed}-{key}"  # whatever else is in the study
        spaces = json_digest([[extractor.sha256, extractor.protocol] for extractor in self._extractors])
        path = folder / f"result-{self._generated}-{spaces[:8]}.json"
        if path.is_file():
            _tell(f"{name}, seed {seed}: done before")
            return {**json.loads(path.read_text(encoding="utf-8")), "name": name}
        _tell(f"{name}, seed {seed}")
        result: Result = {"name": name, "seed": seed, "folder": folder.name}
        try:
            if not (folder / "models").is_dir():
                self._train(params, seed, folder)
            result |= self._score(folder, params) | _speed(folder)
        except NotFinite as error:
            result["failed"] = str(error)
        write_json(path, result)
        return result

    def _train(self, params: Params, seed: int, folder: Path) -> None:
        labels = self.labels(params)
        inputs = Inputs(params.model.latent, labels.table)
        score = quick_score(self._images, self._extractors[0], inputs, seed, self._device)
        with hold(folder, "work") as working, Journal(working.path) as journal:
            training = Training(
                params.model,
                params.train,
                seed,
                self._images,
                labels,
                self._device,
                working,
                journal,
                score,
                self._stop,
            )
            try:
                state = training.run()
            except Stopped:
                _tell("stopped, its state is saved; the same command goes on from here")
                sys.exit(128 + self._stop.signal)
            write_history(working, folder / "reports")
            write_models(training, state, folder.name, folder / "models")  # last: it says that the training is done

    def labels(self, params: Params) -> Labels:
        """Of the pictures to train on. Raises FaceganError when they lack those that ``params`` ask for."""
        return Labels.to_train(self._train_set, params.model.labels, self._manifest)

    def _score(self, folder: Path, params: Params) -> Result:
        n = min(self._generated, len(self._real) // 2)
        if n < 2:
            raise FaceganError(f"study: {len(self._real)} real pictures are too few; a score needs at least 4")
        network, config = load_generator(folder / "models")
        network.to(self._device)
        labels = Labels.of(*self._sets, names=config["labels"], manifest=self._manifest)
        inputs = Inputs(params.model.latent, labels.table)
        reports = [self._report(network, inputs, extractor, n) for extractor in self._extractors]
        parameters = sum(weight.numel() for weight in network.parameters())
        return {"scores": reports, "best_images": config["best"]["images"], "parameters": parameters}

    def _report(self, network: nn.Module, inputs: Inputs, extractor: Extractor, n: int) -> dict[str, Any]:
        held = reference(
            self._real, extractor, n, SCORING_SEED, self._cache, self._digests, self._environment(), _quietly
        )
        fake = draw(network, inputs, extractor, self._generated, n, SCORING_SEED, self._device, _quietly)
        found = feature_scores(held, fake, extractor, SCORING_SEED)
        return found | {"protocol": protocol(held, fake, extractor, found, SCORING_SEED, self._digests)}

    def _environment(self) -> str:
        return f"{describe(self._device)}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _speed(folder: Path) -> Result:
    """Median rate of the ticks: one that was stopped counts no pause."""
    rates = sorted(row["values"]["images_per_second"] for row in read_rows(folder / "work") if row["kind"] == "system")
    return {"images_per_second": rates[len(rates) // 2]}


def _quietly(pictures: int) -> None:
    """Scoring takes seconds beside a training: no bar."""


def _tell(text: str) -> None:
    print(f"study: {text}", file=sys.stderr, flush=True)
