"""Every recipe: the system that it says it is, and one that trains and leaves what can be shipped."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from facegan.data.labels import Labels
from facegan.exporting.model import load_generator
from facegan.exporting.onnx import export_onnx, parity
from facegan.networks import build_discriminator, build_generator
from facegan.params import Params
from facegan.params_yaml import parse_params
from facegan.randomness import Inputs
from facegan.repository.recipes import recipe
from facegan.repository.yaml_file import text
from facegan.tracking.journal import Journal
from facegan.training.engine import Plan
from facegan.training.judge import build_judge
from facegan.training.loop import Training
from facegan.training.outputs import write_models
from facegan.training.schedule import images_in
from facegan.training.working import WorkingFolder

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
CPU = torch.device("cpu")


def load(name: str) -> Params:
    return parse_params(text(recipe(ROOT, name)), name)


def networks(params: Params) -> tuple[nn.Module, nn.Module]:
    size = params.preprocess.size
    return build_generator(params.model, size), build_discriminator(params.model, size)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def shapes(network: nn.Module) -> list[tuple[int, ...]]:
    """Channels in and out of every layer with a weight of its own, norms aside."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    found: list[tuple[int, ...]] = []
    for module in network.modules():
        if isinstance(module, nn.Linear):
            found.append((module.in_features, module.out_features))
        elif isinstance(module, kinds):
            found.append((module.in_channels, module.out_channels))  # type: ignore[arg-type]
    return found


def shrunk(params: Params) -> Params:
    """At 32x32 with a few channels: three steps of four pictures, a tick each."""
    values: dict[str, Any] = params.model_dump()
    for player in ("generator", "discriminator"):
        values["model"][player] |= {"channels": 4, "max_channels": 8}
    values["model"]["latent"] = 8
    values["preprocess"]["size"] = 32
    shown = 4 * params.train.discriminator_steps / 1000
    values["train"] |= {"duration": f"{3 * shown} kimg", "tick": f"{shown} kimg", "evaluate_every": f"{shown} kimg"}
    values["train"] |= {"batch": 4, "microbatch": None, "samples": 4, "precision": "fp32"}
    return Params.model_validate(values)


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_is_exported_as_it_was_trained(name: str, tmp_path: Path) -> None:
    params = shrunk(load(name))
    images = torch.randint(0, 256, (40, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = Labels.none(len(images))
    if params.model.labels:
        names = {"eyes": ["blue", "red", "green"], "hair": ["long", "short"]}
        labels = Labels(names, torch.stack([torch.arange(40) % 4 - 1, torch.arange(40) % 2], 1))
    judge = build_judge("fd_random", images, Inputs(params.model.latent, labels.table), 1, ROOT, CPU)
    with Journal(tmp_path / "work") as journal:
        folder = WorkingFolder(tmp_path / "work")
        training = Training(
            model=params.model,
            train=params.train,
            seed=1,
            images=images,
            labels=labels,
            device=CPU,
            folder=folder,
            journal=journal,
            judge=judge,
            stopping=lambda: False,
        )
        start = training.fresh()
        state = training.run()
        write_models(training, state, "key", tmp_path / "models")
    assert state.step == 3
    for before, after in ((start.generator, state.generator), (start.discriminator, state.discriminator)):
        moved = [not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
        assert sum(moved) > 0.6 * len(moved)  # noise strengths and the like may stand still for three steps
    network, config = load_generator(tmp_path / "models")
    assert config["size"] == 32
    model = export_onnx(network, params.model.latent, config["labels"], params.export.opset)
    agreement = parity(network, model, params.model.latent, config["labels"], params.export.tolerance)
    assert agreement["max_difference"] < 1e-4


def test_keras_64_is_the_published_system() -> None:
    params = load("keras-64")
    generator, discriminator = networks(params)
    assert shapes(generator) == [(100, 8 * 8 * 512), (512, 256), (256, 128), (128, 64), (64, 3)]
    assert shapes(discriminator) == [(3, 64), (64, 128), (128, 256), (8 * 8 * 256, 1)]
    train = params.train
    assert (train.lr_generator, train.lr_discriminator, train.objective) == (3e-4, 1e-4, "bce")
    assert (train.duration, train.tick, train.samples) == ("15 epochs", "1 epoch", 25)
    assert params.data.kaggle.handle == "soumikrakshit/anime-faces/versions/1"
    assert not params.preprocess.deduplicate
    assert Plan.of(train, 21_551).steps == -(-15 * 21_551 // train.batch)


def test_keras_monitor_64_is_the_published_system() -> None:
    params = load("keras-monitor-64")
    generator, discriminator = networks(params)
    assert shapes(generator) == [(100, 512), (512, 256), (256, 128), (128, 64), (64, 3)]
    assert shapes(discriminator) == [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in generator.modules()) == 4
    assert (params.train.optimizer, params.train.objective, params.train.tick) == ("adam", "bce", "1 epoch")
    assert params.data.kaggle.handle == "splcher/animefacedataset/versions/3"


def test_conv_64_is_the_published_system() -> None:
    params = load("conv-64")
    generator, discriminator = networks(params)
    assert shapes(generator) == [(128, 512), (512, 256), (256, 128), (128, 64), (64, 3)]
    assert shapes(discriminator) == [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in discriminator.modules()) == 4  # the first block too
    assert (params.train.duration, params.train.tick) == ("25 epochs", "1 epoch")


def test_keras_small_64_has_its_published_numbers_of_parameters() -> None:
    params = load("keras-small-64")
    generator, discriminator = networks(params)
    assert count(generator) == pytest.approx(6.0e6, rel=0.05)
    assert count(discriminator) == pytest.approx(0.40e6, rel=0.05)
    assert shapes(generator)[0] == (100, 8 * 8 * 512)
    assert sum(isinstance(module, nn.Dropout) for module in discriminator.modules()) == 3
    assert {module.negative_slope for module in discriminator.modules() if isinstance(module, nn.LeakyReLU)} == {0.2}
    assert params.data.limit == 1700
    assert params.train.label_smoothing > 0


def test_conv_128_is_the_published_system() -> None:
    params = load("conv-128")
    generator, discriminator = networks(params)
    assert params.preprocess.size == 128
    assert shapes(generator) == [(256, 512), (512, 512), (512, 256), (256, 128), (128, 64), (64, 3)]
    assert shapes(discriminator) == [(3, 64), (64, 128), (128, 256), (256, 512), (512, 512), (512, 1)]
    assert images_in(params.train.duration, 63_565) == 6_356_500


@pytest.mark.parametrize("name", ["stylegan2-64", "stylegan2-128", "stylegan2-512", "few-shot-64"])
def test_stylegan2s_r1_follows_its_rule(name: str) -> None:
    params = load(name)
    assert params.train.r1 == pytest.approx(0.0002 * params.preprocess.size**2 / params.train.batch)
    assert params.train.penalty_every == 16


@pytest.mark.parametrize("name", ["r3gan-64", "r3gan-128"])
def test_r3gans_schedules_last_as_long_as_its_training(name: str) -> None:
    train = load(name).train
    scheduled = [value for _, value in train if hasattr(value, "over")]
    assert len(scheduled) == 7
    assert {value.over for value in scheduled} == {train.duration}
    for network in networks(load(name)):
        assert count(network) < 1.3e6
