"""A training counts images, reports each tick, leaves no trace where it looks, and goes on as if never stopped."""

import csv
import io
import math
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parameters import model_params
from PIL import Image
from torch import nn

from facegan import files
from facegan.data.labels import Labels
from facegan.networks import build_generator
from facegan.params import TrainParams
from facegan.randomness import Inputs
from facegan.tracking.journal import NAME, Journal, read_rows
from facegan.training import engine, loop
from facegan.training.draws import Draws
from facegan.training.engine import NotFinite, Plan, Stopped
from facegan.training.judge import Judgement, build_judge
from facegan.training.state import TrainingState, weights
from training.tiny import CPU, STEPS, TICK, Tiny

WEIGHTS = ("generator", "generator-last", "discriminator")


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def poison(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The latents of step ``at`` (1, 2, ...) are not numbers."""
    drawn = Draws.latents
    monkeypatch.setattr(
        Draws, "latents", lambda self, number, *rows: drawn(self, number, *rows) * (math.nan if number + 1 == at else 1)
    )


def test_a_training_shows_at_least_the_images_asked_for(tiny: Tiny) -> None:
    plan = Plan.of(tiny.train(batch=32, duration="1 kimg"), 500)
    assert plan.steps == 32  # 31.25 batches
    assert Plan.of(tiny.train(batch=50, duration="1 kimg"), 500).steps == 20


@pytest.mark.parametrize(("duration", "steps"), [("1 epoch", 10), ("2.5 epochs", 25), ("0.05 epochs", 1)])
def test_an_epoch_is_the_whole_training_set(tiny: Tiny, duration: str, steps: int) -> None:
    assert Plan.of(tiny.train(batch=10, duration=duration), 100).steps == steps
    assert Plan.of(tiny.train(batch=10, duration=duration), 97).steps == steps  # rounded up to whole batches


def test_a_tick_longer_than_the_training_is_the_training(tiny: Tiny) -> None:
    plan = Plan.of(tiny.train(batch=10, duration="0.1 kimg", tick="5 kimg", evaluate_every="10 kimg"), 100)
    assert (plan.steps, plan.steps_per_tick) == (10, 10)
    assert [step for step in range(1, 11) if plan.ends_tick(step)] == [10]
    assert [step for step in range(1, 11) if plan.scores(step)] == [10]


def test_a_tick_shorter_than_a_batch_is_a_batch(tiny: Tiny) -> None:
    plan = Plan.of(tiny.train(batch=64, duration="1 kimg", tick="0.001 kimg", evaluate_every="0.001 kimg"), 100)
    assert (plan.steps_per_tick, plan.ticks_per_score) == (1, 1)


def test_the_published_recipe_scores_once_an_epoch(tiny: Tiny) -> None:
    train = tiny.train(batch=128, duration="25 epochs", tick="1 epoch", evaluate_every="1 epoch")
    plan = Plan.of(train, 57_209)  # 63,565 less a tenth; 446.9 batches
    assert (plan.steps, plan.steps_per_tick, plan.ticks_per_score) == (11_174, 447, 1)


@settings(max_examples=200)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.integers(2, 128),
    st.integers(2, 500),
    st.data(),
)
def test_any_plan_ends_with_a_tick_and_a_score(
    duration: int, tick: int, evaluate: int, batch: int, pictures: int, data: st.DataObject
) -> None:
    train = TrainParams.model_construct(
        duration=f"{duration / 1000:.3f} kimg",
        tick=f"{tick / 1000:.3f} kimg",
        evaluate_every=f"{evaluate / 1000:.3f} kimg",
        batch=batch,
        discriminator_steps=1,
    )
    plan = Plan.of(train, pictures)
    steps = range(1, plan.steps + 1)
    ticks = [step for step in steps if plan.ends_tick(step)]
    assert (plan.steps - 1) * batch < duration <= plan.steps * batch
    assert ticks[-1] == plan.steps
    assert plan.scores(plan.steps)
    assert all(plan.ends_tick(step) for step in steps if plan.scores(step))  # scores are only taken at ticks
    lengths = [b - a for a, b in zip([0, *ticks], ticks, strict=False)]
    assert set(lengths[:-1]) <= {plan.steps_per_tick}
    assert 1 <= lengths[-1] <= plan.steps_per_tick
    if tick >= batch and tick <= duration:
        assert abs(plan.steps_per_tick * batch - tick) <= batch / 2


# ---- what a training leaves


def test_every_tick_has_a_row_and_every_step_its_losses(tiny: Tiny) -> None:
    found = tiny.finish("run", train=tiny.train(score=6))
    history, losses = rows(found["reports/history.csv"]), rows(found["reports/losses.csv"])
    assert [int(row["images"]) for row in history] == [12, 24, 28]
    assert [int(row["images"]) for row in losses] == [4, 8, 12, 16, 20, 24, 28]
    expected = {"images", *loop.COLUMNS, "score", "diversity", "checkerboard"}
    assert set(history[0]) == expected - {"penalty"}
    found = tiny.finish("penalised", train=tiny.train(r1=0.1), model=tiny.model("r3gan", discriminator={}))
    assert set(rows(found["reports/history.csv"])[0]) == expected
    assert set(losses[0]) == {"images", "step_loss_generator", "step_loss_discriminator"}
    assert [bool(row["score"]) for row in history] == [False, True, True]
    for tick, part in zip(history, (losses[:3], losses[3:6], losses[6:]), strict=True):
        for name in ("loss_generator", "loss_discriminator"):
            mean = sum(float(row[f"step_{name}"]) for row in part) / len(part)
            assert float(tick[name]) == pytest.approx(mean, rel=1e-12)
    for row in history:
        assert 0 < float(row["d_real"]) < 1
        assert 0 < float(row["d_fake"]) < 1
        assert float(row["grad_norm_generator"]) > 0
        assert float(row["grad_norm_discriminator"]) > 0


def test_rate_and_memory_are_in_the_journal_and_in_no_output(tiny: Tiny) -> None:
    found = tiny.finish("run")
    journal = list(read_rows(tiny.home / "run"))
    system = [row["values"] for row in journal if row["kind"] == "system"]
    assert len(system) == 3
    assert all(value["images_per_second"] > 0 and value["memory_mib"] > 1 for value in system)
    text = b"".join(content for name, content in found.items() if name.endswith((".csv", ".json"))).lower()
    for word in (b"second", b"rate", b"memory", b"time", str(tiny.home).encode()):
        assert word not in text


def test_a_grid_is_drawn_before_the_first_step_and_at_every_tick(tiny: Tiny) -> None:
    found = tiny.finish("run")
    grids = sorted(name for name in found if name.startswith("reports/samples/"))
    assert grids == [f"reports/samples/{images:09d}.png" for images in (0, 12, 24, 28)]
    picture = Image.open(io.BytesIO(found[grids[0]]))
    assert picture.size == (3 * 34 + 2, 2 * 34 + 2)  # five pictures, three in a row
    journal = [row for row in read_rows(tiny.home / "run") if row["kind"] == "image"]
    assert [(row["step"], row["key"]) for row in journal] == [(step, "samples") for step in (0, 12, 24, 28)]
    assert all((tiny.home / "run" / row["file"]).is_file() for row in journal)


def test_picture_k_shows_the_same_latent_at_every_tick(tiny: Tiny) -> None:
    # With nothing to learn from, the grids of all ticks are one and the same.
    found = tiny.finish("run", train=tiny.train(lr_generator=1e-30, lr_discriminator=1e-30))
    grids = {content for name, content in found.items() if name.startswith("reports/samples/")}
    assert len(grids) == 1
    found = tiny.finish("other")
    assert len({content for name, content in found.items() if name.startswith("reports/samples/")}) == 4


def test_grids_show_the_average_in_eval_mode_with_norms_of_its_own(tiny: Tiny) -> None:
    """The last grid is what the exported ``generator-last`` draws, one picture at a time."""
    from safetensors.torch import load

    found = tiny.finish("run")
    network = build_generator(tiny.model(), 32).eval()
    network.load_state_dict(load(found["models/generator-last.safetensors"]))
    with tiny.training("other") as training:
        (latent,) = training.inputs.draw(5, training.seed, "samples")
    grid = np.asarray(Image.open(io.BytesIO(found["reports/samples/000000028.png"])), np.int16)
    for place, row in enumerate(latent):
        with torch.no_grad():
            drawn = network(row[None])[0].permute(1, 2, 0).mul(127.5).add(127.5).round().clamp(0, 255).numpy()
        top, left = 2 + place // 3 * 34, 2 + place % 3 * 34
        assert np.abs(grid[top : top + 32, left : left + 32] - drawn).max() <= 1
    assert grid[2:34, 2:34].std() > 1


def test_the_line_of_a_tick_shows_rate_and_time_left(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.run("run", train=tiny.train(steps=4, every=2, score=2, batch=250))
    lines = [line for line in capsys.readouterr().out.splitlines() if "kimg" in line]
    assert len(lines) == 2
    assert re.search(r"0\.5 / 1\.0 kimg +\d+ images/s +\d+:\d\d left", lines[0])
    assert re.search(r"1\.0 / 1\.0 kimg +\d+ images/s +0:00 left", lines[1])


def test_another_seed_is_another_training(tiny: Tiny) -> None:
    first, again, other = (tiny.finish(name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert first == again
    for name in WEIGHTS:
        assert first[f"models/{name}.safetensors"] != other[f"models/{name}.safetensors"]


def test_the_global_generator_has_no_say(tiny: Tiny) -> None:
    torch.manual_seed(1)
    first = tiny.finish("a")
    torch.manual_seed(2)
    assert tiny.finish("b") == first


def test_every_step_sees_other_latents_and_mirrors_about_half(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    real_step = engine.train_step

    def step(state: TrainingState, train: TrainParams, draws: Draws, *given: Any) -> torch.Tensor:
        seen.append((draws.real(state.step).clone(), draws.latents(state.step).clone()))
        return real_step(state, train, draws, *given)

    monkeypatch.setattr(engine, "train_step", step)
    originals = tiny.images.permute(0, 3, 1, 2) / 127.5 - 1
    for flip in (True, False):
        seen.clear()
        tiny.run(f"flip-{flip}", train=tiny.train(steps=40, every=20, flip=flip))
        latents = torch.stack([latent for _, latent in seen])
        assert len(latents.flatten(1).unique(dim=0)) == 40
        mirrored: Counter[bool] = Counter()
        shown: list[int] = []
        for picture in torch.cat([real for real, _ in seen]):
            distance = [(originals - side).abs().amax((1, 2, 3)) for side in (picture, picture.flip(2))]
            assert min(distance[0].min(), distance[1].min()) < 1e-6  # it is one of the pictures, mirrored or not
            mirrored[bool(distance[1].min() < distance[0].min())] += 1
            shown.append(int(torch.minimum(*distance).argmin()))
        assert mirrored[True] == 0 if not flip else 50 < mirrored[True] < 110  # of 160
        assert sorted(shown[:22]) == list(range(22))  # an epoch shows each once
        assert sorted(shown[22:44]) == list(range(22))
        assert shown[:22] != shown[22:44]


# ---- looking leaves no trace


def test_ticks_scores_and_checkpoints_leave_no_trace_in_the_weights(tiny: Tiny) -> None:
    """However often a training is looked at, its networks and optimisers end with the same bits."""
    ends = []
    for name, tick, score, seconds in (("often", 1, 1, 0.0), ("rarely", 4, 8, 1e9)):
        state = tiny.run(name, train=tiny.train(steps=8, every=tick, score=score), checkpoint_seconds=seconds)
        tensors = {f"generator.{k}": v for k, v in state.generator.state_dict().items()}
        tensors |= {f"discriminator.{k}": v for k, v in state.discriminator.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in state.average.state_dict().items()}
        for optimizer, network in (
            (state.generator_optimizer, state.generator),
            (state.discriminator_optimizer, state.discriminator),
        ):
            for key, parameter in network.named_parameters():
                for moment, value in optimizer.state[parameter].items():
                    tensors[f"{id(optimizer) % 2}/{key}/{moment}/{len(tensors)}"] = value
        ends.append(list(tensors.values()))
    assert len(ends[0]) == len(ends[1]) > 60
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_losses_of_every_step_do_not_depend_on_the_length_of_a_tick(tiny: Tiny) -> None:
    often = tiny.finish("often", train=tiny.train(steps=8, every=1, score=1))
    rarely = tiny.finish("rarely", train=tiny.train(steps=8, every=4, score=8))
    assert often["reports/losses.csv"] == rarely["reports/losses.csv"]
    for name in ("generator-last", "discriminator"):
        assert often[f"models/{name}.safetensors"] == rarely[f"models/{name}.safetensors"]


def test_a_judge_may_do_what_it_likes_with_the_average_in_eval_mode(tiny: Tiny) -> None:
    def meddling(network: nn.Module) -> float:
        torch.manual_seed(5)
        torch.randn(3)
        return tiny.score(network.eval())

    plain, meddled = tiny.finish("plain"), tiny.finish("meddled", score=meddling)
    assert plain == meddled


def test_norms_are_estimated_from_a_thousand_latents_whatever_the_batch(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 256, the colours of all pictures were off by two grey levels."""
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(loop.ema, "refresh", lambda average, network, batches: seen.extend(part for (part,) in batches))
    for batch in (4, 250):
        seen.clear()
        with tiny.training(str(batch), train=tiny.train(batch=batch)) as training:
            training._refresh_norms(training.fresh())
        drawn = torch.cat(seen)
        assert 1024 <= len(drawn) < 1024 + max(64, batch)
        assert len(drawn.unique(dim=0)) == len(drawn)


def test_sampling_leaves_the_training_generator_untouched(tiny: Tiny) -> None:
    with tiny.training("run") as training:
        state = training.fresh()
        before = weights(state.generator)
        training._sample(state)
        training._refresh_norms(state)
        assert state.generator.training
        assert all(torch.equal(value, before[name]) for name, value in weights(state.generator).items())
        assert all(parameter.grad is None for parameter in state.generator.parameters())
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


# ---- the best weights


def test_the_best_weights_are_those_of_the_lowest_score(tiny: Tiny) -> None:
    given_scores = iter([3.0, 1.0, 2.0, 1.0])
    held: list[dict[str, torch.Tensor]] = []

    def score(network: nn.Module) -> float:
        held.append(weights(network))
        return next(given_scores)

    with tiny.training("run", train=tiny.train(steps=8, every=2, score=2), score=score) as training:
        state = training.run()
        final = training.final_weights(state)
    assert (state.best, state.best_images, state.last) == (
        Judgement(1.0, 0.5),
        16,
        Judgement(1.0, 0.5),
    )  # the first of two equal ones
    assert all(torch.equal(value, held[1][name]) for name, value in final["generator"].items())
    assert any(not torch.equal(value, held[2][name]) for name, value in final["generator"].items())
    last = dict(state.average.named_parameters())
    assert all(torch.equal(final["generator-last"][name], value) for name, value in last.items())


def test_the_judge_sees_the_average_with_its_norms_in_eval_mode(tiny: Tiny) -> None:
    seen = []

    def score(network: nn.Module) -> float:
        seen.append((network, network.training, weights(network)))
        return 1.0

    with tiny.training("run", score=score) as training:
        state = training.run()
        last = training.final_weights(state)["generator-last"]
    assert [network is state.average for network, _, _ in seen] == [True] * 3
    assert not any(training for _, training, _ in seen)
    assert all(torch.equal(value, last[name]) for name, value in seen[-1][2].items())


def test_the_real_judge_ends_a_tiny_training(tiny: Tiny) -> None:
    judge = build_judge("fd_random", tiny.images, Inputs(8), 1, Path("."), CPU)
    train = tiny.train(steps=2, every=2, score=2)
    first, again = (tiny.finish(name, score=lambda network: judge(network).score, train=train) for name in "ab")
    assert first == again
    assert float(rows(first["reports/history.csv"])[0]["score"]) > 0


# ---- stopping and going on


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_stopped_at_any_step_ends_with_the_same_bytes(tiny: Tiny, precision: str) -> None:
    train = tiny.train(precision=precision, score=TICK)
    expected = tiny.finish("whole", train=train)
    assert {f"models/{name}.safetensors" for name in WEIGHTS} < set(expected)
    for stop in range(1, STEPS):
        name = f"stopped-{stop}"
        assert tiny.run(name, stop_after=stop, train=train) is None
        found = tiny.finish(name, train=train)
        assert set(found) == set(expected)
        assert [file for file in expected if found[file] != expected[file]] == [], f"stopped after step {stop}"


SYSTEMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "wgan-gp": (
        {"network": "conv", "discriminator": {"norm": "none"}},
        {"objective": "wasserstein", "gradient_penalty": 10.0, "discriminator_steps": 3, "beta1_generator": 0.0},
    ),
    "hinge with spectral norm": ({"network": "resnet"}, {"objective": "hinge", "augment": ["translation", "cutout"]}),
    "stylegan2": ({"network": "stylegan2"}, {"r1": 1.0, "penalty_every": 2, "precision": "bf16"}),
    "r3gan": (
        {"network": "r3gan"},
        {
            "objective": "relativistic",
            "r1": {"start": 1.0, "end": 0.1, "over": "0.02 kimg", "shape": "cosine"},
            "r2": 1.0,
            "ema_kimg": {"start": 0.0, "end": 0.05, "over": "0.02 kimg", "shape": "linear"},
        },
    ),
    "dropout and momentum": (
        {"network": "dense", "discriminator": {"dropout": 0.3}, "generator": {"upsample": "resize"}},
        {"optimizer": "sgd", "label_smoothing": 0.1, "augment": ["color"]},
    ),
    "labels": (
        {"network": "resnet", "generator": {"norm": "conditional"}},
        {"objective": "relativistic", "gradient_penalty": 1.0, "discriminator_steps": 2},
    ),
    "least squares": (
        {"network": "conv", "generator": {"upsample": "blur"}, "discriminator": {"norm": "spectral"}},
        {
            "objective": "least-squares",
            "lr_generator": {"start": 1e-3, "end": 1e-4, "over": "1 epoch", "shape": "linear"},
        },
    ),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_stopped_in_its_middle_ends_with_the_same_bytes(tiny: Tiny, name: str) -> None:
    model, train = SYSTEMS[name]
    settings: dict[str, Any] = {"model": model_params(**model), "train": tiny.train(**train)}
    if name == "labels":
        table = torch.arange(len(tiny.images))[:, None] % 3 - 1
        settings["labels"] = Labels({"hair": ["long", "short"]}, table)
        settings["score"] = lambda network: float(network(tiny.latents, table[: len(tiny.latents)]).abs().mean())
    torch.manual_seed(1)
    expected = tiny.finish("whole", **settings)
    torch.manual_seed(2)  # the global generator has no say
    for stop in (1, 3, 2):
        tiny.run("stopped", stop_after=stop, **settings)
    assert tiny.finish("stopped", **settings) == expected
    assert tiny.finish("other", seed=2, **settings) != expected


@settings(max_examples=8)
@given(st.lists(st.integers(1, 4), max_size=6), st.integers(2, 5), st.booleans(), st.sampled_from(["fp32", "bf16"]))
def test_a_training_stopped_several_times_ends_with_the_same_bytes(
    stops: list[int], tick: int, first_norm: bool, precision: str
) -> None:
    with tempfile.TemporaryDirectory() as home:
        tiny = Tiny(Path(home))
        settings = {
            "train": tiny.train(every=tick, score=tick, precision=precision),
            "model": tiny.model(discriminator={"first_norm": first_norm}),
        }
        expected = tiny.finish("whole", **settings)
        done = 0
        for stop in stops:
            done += stop
            if done >= STEPS:
                break
            assert tiny.run("stopped", stop_after=stop, **settings) is None
        assert tiny.finish("stopped", **settings) == expected


class Killed(BaseException):
    """The process is gone at this point: nothing behind it happens."""


def kill_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> Callable[[], int]:
    """Die at the ``moment``-th (1, 2, ...) write to disk, half-way through it; gives a count of the writes."""
    passed = 0

    def dies() -> bool:
        nonlocal passed
        passed += 1
        return passed == moment

    write_row, write_file = Journal.write, files.write_atomic

    def row(self: Journal, *arguments: Any, **content: Any) -> None:
        if dies():
            self._file.write(b'{"time": 17, "kind": "metr')  # a line cut short
            self._file.flush()
            raise Killed
        write_row(self, *arguments, **content)

    def file(path: Path, content: bytes | str) -> None:
        if dies():
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            path.with_name(f".{path.name}.partial").write_bytes(data[: len(data) // 2])
            raise Killed
        write_file(path, content)

    monkeypatch.setattr(Journal, "write", row)
    for module in ("facegan.pictures", "facegan.training.state", "facegan.training.outputs", "facegan.files"):
        monkeypatch.setattr(f"{module}.write_atomic", file)
    return lambda: passed


def test_a_training_killed_in_the_middle_of_any_write_ends_with_the_same_bytes(tiny: Tiny) -> None:
    settings: dict[str, Any] = {"train": tiny.train(steps=3, every=2, score=2), "checkpoint_seconds": 0.0}
    with pytest.MonkeyPatch.context() as patch:
        count = kill_at(patch, -1)
        expected = tiny.finish("whole", **settings)
        moments = count()
    assert moments > 20
    for moment in range(1, moments + 1):
        name = f"killed-{moment}"
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, moment)
            tiny.finish(name, **settings)
        assert tiny.finish(name, **settings) == expected, f"killed at write {moment} of {moments}"
        journal = [(row["kind"], row["step"]) for row in read_rows(tiny.home / name)]
        assert max(Counter(journal).values()) == 1, "a row stands twice"


def test_a_stop_saves_and_says_so_and_the_end_is_not_a_stop(tiny: Tiny) -> None:
    with tiny.training("run", stopping=lambda: True) as training:
        with pytest.raises(Stopped):
            training.run()
        assert training.folder.checkpoint.is_file()
    with tiny.training("all", train=tiny.train(steps=1, every=1), stopping=lambda: True) as training:
        assert training.run().step == 1  # asked for at the last step: there is nothing left to stop


def test_a_training_that_goes_on_does_not_repeat_steps(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = []
    real_step = engine.train_step

    def step(state: Any, *given: Any) -> torch.Tensor:
        taken.append(state.step)
        return real_step(state, *given)

    monkeypatch.setattr(engine, "train_step", step)
    tiny.run("run", stop_after=4)
    tiny.run("run", stop_after=2)
    assert "resuming at 0.0 kimg" in capsys.readouterr().out
    tiny.run("run")
    assert taken == list(range(STEPS))


def test_a_checkpoint_is_written_when_its_time_has_come(tiny: Tiny) -> None:
    with tiny.training("never", train=tiny.train(steps=3)) as training:
        saves: list[int] = []
        training._save = lambda state: saves.append(state.step)  # type: ignore[method-assign]
        training.run()
    assert saves == [3]
    with tiny.training("always", train=tiny.train(steps=3), checkpoint_seconds=0.0) as training:
        saves = []
        training._save = lambda state: saves.append(state.step)  # type: ignore[method-assign]
        training.run()
    assert saves == [1, 2, 3, 3]


def test_the_journal_is_on_the_disk_before_the_checkpoint(tiny: Tiny) -> None:
    order: list[str] = []
    with tiny.training("run", train=tiny.train(steps=1, every=1)) as training:
        training.journal.sync = lambda: order.append("journal")  # type: ignore[method-assign]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("facegan.training.state.TrainingState.save", lambda *_: order.append("checkpoint"))
            training.run()
    assert order == ["journal", "checkpoint"]


def test_a_finished_training_that_was_not_written_is_written_from_its_checkpoint(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tiny.finish("whole")
    tiny.run("cut")  # killed before the outputs
    monkeypatch.setattr(engine, "train_step", None)
    assert tiny.finish("cut") == expected


# ---- what cannot be gone on from


def test_a_cut_checkpoint_starts_over_with_a_message(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    expected = tiny.finish("whole")
    tiny.run("cut", stop_after=4)
    checkpoint = tiny.home / "cut/checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    capsys.readouterr()
    assert tiny.finish("cut") == expected
    said = capsys.readouterr()
    assert re.search(r"^train: checkpoint.safetensors cannot be used: .*; starting over$", said.err, re.MULTILINE)
    assert "resuming" not in said.out


def test_a_checkpoint_of_another_architecture_starts_over(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    expected = tiny.finish("whole")
    tiny.run("other", stop_after=2, model=tiny.model(latent=9))
    (tiny.home / "other" / NAME).unlink()
    assert tiny.finish("other") == expected
    assert "starting over" in capsys.readouterr().err


def test_sample_grids_that_are_gone_are_drawn_again_from_the_start(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = tiny.finish("whole")
    tiny.run("killed")  # finished, and killed while its folder was being removed
    next((tiny.home / "killed/samples").glob("*.png")).unlink()
    assert tiny.finish("killed") == expected
    assert "sample grids that the journal names are gone; starting over" in capsys.readouterr().err


def test_a_generator_without_a_score_keeps_the_last_good_state(tiny: Tiny) -> None:
    def score(network: Any) -> float:
        raise ValueError("the statistics are not finite")

    with pytest.raises(NotFinite, match=r"cannot be scored at \d+ images \(the statistics are not finite\)"):
        tiny.run("run", score=score)
    assert any(row["kind"] == "alarm" for row in read_rows(tiny.home / "run"))


@pytest.mark.parametrize("kept", [0, 3])
def test_a_journal_that_lacks_rows_starts_over(tiny: Tiny, capsys: pytest.CaptureFixture[str], kept: int) -> None:
    expected = tiny.finish("whole")
    tiny.run("cut", stop_after=6)  # two ticks
    journal = tiny.home / "cut" / NAME
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:kept]))
    assert tiny.finish("cut") == expected
    assert "the journal lacks rows that the checkpoint has passed; starting over" in capsys.readouterr().err


def test_a_journal_that_lacks_the_last_short_tick_starts_over(tiny: Tiny) -> None:
    expected = tiny.finish("whole")
    tiny.run("cut")  # finished, and killed before its outputs were written
    journal = tiny.home / "cut" / NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"step": 28,' not in line))
    assert tiny.finish("cut") == expected


# ---- alarms


@pytest.mark.parametrize("step", [1, 3, 5, 7])
def test_a_loss_that_is_no_number_is_reported_with_its_step(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    poison(monkeypatch, step)
    with pytest.raises(NotFinite, match=rf"^train: \w+ is not finite at {step * 4} images .*last good state is kept"):
        tiny.run("run")
    alarms = [row for row in read_rows(tiny.home / "run") if row["kind"] == "alarm"]
    assert [row["step"] for row in alarms] == [step * 4]
    assert "not finite: loss_generator" in alarms[0]["alarm"]
    assert "\n" not in str(alarms)


@pytest.mark.parametrize(("step", "tick"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_the_message_names_the_tick_that_the_step_is_in(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, step: int, tick: int
) -> None:
    poison(monkeypatch, step)
    with pytest.raises(NotFinite, match=rf"\(tick {tick}\)"):
        tiny.run("run")


@pytest.mark.parametrize("broken", [4, 5, 6])
def test_the_checkpoint_from_before_a_divergence_is_kept_and_can_be_used(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    expected = tiny.finish("whole")
    tiny.run("run", stop_after=3)
    checkpoint = tiny.home / "run/checkpoint.safetensors"
    before = checkpoint.read_bytes()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(NotFinite):
        poison(patch, broken)
        tiny.run("run")
    assert checkpoint.read_bytes() == before
    assert tiny.finish("run") == expected


@pytest.mark.parametrize("when", ["the clock", "a stop"])
def test_a_state_that_has_diverged_is_never_saved(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Also in the middle of a tick, before anyone has looked at its numbers."""
    tiny.run("run", stop_after=3)
    checkpoint = tiny.home / "run/checkpoint.safetensors"
    before = checkpoint.read_bytes()
    poison(monkeypatch, 4)
    settings = {"checkpoint_seconds": 0.0} if when == "the clock" else {"stop_after": 1}
    with pytest.raises(NotFinite, match="at 16 images"):
        tiny.run("run", **settings)
    assert checkpoint.read_bytes() == before


def test_a_gradient_that_is_no_number_is_reported_too(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    real_step = engine.train_step

    def step(state: Any, *given: Any) -> torch.Tensor:
        numbers = real_step(state, *given)
        numbers[loop.COLUMNS.index("grad_norm_discriminator")] = math.inf
        return numbers

    monkeypatch.setattr(engine, "train_step", step)
    with pytest.raises(NotFinite, match="grad_norm_discriminator is not finite at 4 images"):
        tiny.run("run")


def test_a_training_that_really_diverges_is_reported(tiny: Tiny) -> None:
    with pytest.raises(NotFinite, match=r"try a lower train.lr_generator or train.lr_discriminator"):
        tiny.run("run", train=tiny.train(steps=30, every=5, lr_generator=1e15, lr_discriminator=1e15))


def test_a_discriminator_that_has_won_raises_the_alarm(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real_step = engine.train_step
    losses = {0: 0.05, 1: 0.03, 2: 1.4}

    def step(state: Any, *given: Any) -> torch.Tensor:
        loss = losses[state.step // TICK]
        numbers = real_step(state, *given)
        numbers[loop.COLUMNS.index("loss_discriminator")] = loss
        return numbers

    monkeypatch.setattr(engine, "train_step", step)
    tiny.run("run", train=tiny.train(steps=9))
    alarms = [(row["step"], row["alarm"]) for row in read_rows(tiny.home / "run") if row["kind"] == "alarm"]
    assert alarms == [(24, "the discriminator has won")]
    assert capsys.readouterr().out.count("ALARM: the discriminator has won") == 1


def test_an_ordinary_training_raises_no_alarm(tiny: Tiny) -> None:
    tiny.run("run")
    assert not [row for row in read_rows(tiny.home / "run") if row["kind"] == "alarm"]
