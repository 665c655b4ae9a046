"""The judge of a training: any score, in any space, on latents and pictures of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from evaluation.doubles import Replay, colours, means, noise, scores, write_onnx
from evaluation.test_generation import Affine
from torch import nn

from benchmarks.corruptions import drawn_faces
from facegan.errors import FaceganError
from facegan.evaluation.generation import generate
from facegan.evaluation.metrics import known, metric
from facegan.evaluation.reference import reference
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance
from facegan.files import sha256
from facegan.params import Judge, OnnxJudge, Params
from facegan.randomness import Inputs, latents
from facegan.training import judge as module
from facegan.training.judge import Judgement, build_judge

CPU = torch.device("cpu")
Build = Callable[..., Callable[[nn.Module], Judgement]]


@pytest.fixture
def by_colours(monkeypatch: pytest.MonkeyPatch) -> Build:
    """A judge by the Frechet distance of mean colours; ``extract`` may look on."""

    def build(images: torch.Tensor, inputs: Inputs, seed: int = 1, extract: Any = means) -> Any:
        monkeypatch.setattr(module, "face_extractor", lambda device: colours(suffix="_face", extract=extract))
        return build_judge("fd_face", images, inputs, seed, Path("."), CPU)

    return build


def test_a_score_is_the_frechet_distance_of_a_thousand_pictures(by_colours: Build) -> None:
    images, network = noise(300, size=4), Affine(0.2)
    found = by_colours(images, Inputs(3))(network)
    assert sum(len(latent) for latent in network.seen) == 1000
    again = torch.cat(list(generate(network, (torch.cat(network.seen),), CPU)))
    real, fake = (FeatureStatistics("c" * 64).update(means(pictures)) for pictures in (images, again))
    assert found.score == pytest.approx(frechet_distance(real, fake), rel=1e-9)


def test_a_score_is_the_same_for_the_same_weights(by_colours: Build) -> None:
    judge, network = by_colours(noise(100), Inputs(3)), Affine()
    assert judge(network) == judge(network)
    assert judge(Affine(0.5)) != judge(network)


def test_the_error_is_how_far_the_score_moves_with_other_latents(by_colours: Build) -> None:
    images = noise(2000, size=4)
    found = [by_colours(images, Inputs(3), seed)(Affine(0.2)) for seed in range(12)]
    moved = torch.tensor([said.score for said in found]).std()
    assert all(said.error is not None and 0.4 < said.error / moved < 2.5 for said in found)


def striped(images: torch.Tensor) -> torch.Tensor:
    """Of less contrast, with a stripe in every other column: what every score but one of variety sees."""
    columns = (torch.arange(images.shape[2]) % 2 * 2 - 1)[None, None, :, None] * 60
    return (images.float() * 0.7 + columns).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize(
    "name", [name for name in get_args(Judge) if not metric(name).in_features or name.endswith("_random")]
)
def test_every_score_finds_the_better_generator(name: str) -> None:
    images, others = noise(600, size=32), noise(1000, seed=1, size=32)
    judge = build_judge(name, images, Inputs(1), 1, Path("."), CPU)
    good, bad = judge(Replay(others)), judge(Replay(striped(others)))
    assert good.score < bad.score


def test_the_default_judge_finds_the_better_generator_of_faces(params: Params) -> None:
    """With the encoder that is in the package, and a fault of layout that leaves the colours alone."""
    faces = drawn_faces(160).images
    assert params.train.judge == "fd_face"
    judge = build_judge(params.train.judge, faces[:80], Inputs(1), 1, Path("."), CPU)
    upside_down = faces[80:].flip(1)
    good, bad = judge(Replay(faces[80:])), judge(Replay(upside_down))
    assert good.error is not None and bad.score - good.score > 3 * good.error


def test_every_judge_is_a_score_that_is_known() -> None:
    spaces = {name: name.removeprefix(known(name)) for name in get_args(Judge)}
    assert {space for name, space in spaces.items() if metric(name).in_features} == {"_face", "_random", ""}
    assert {space for name, space in spaces.items() if not metric(name).in_features} == {""}


def test_a_network_in_an_onnx_file_may_be_the_space(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "own.onnx")
    own = OnnxJudge(
        score="fd", file="own.onnx", sha256=sha256(path), input=None, output=None, side=16,
        range=(0.0, 1.0), mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0),
    )  # fmt: skip
    images, others = noise(200, size=16), noise(1000, seed=1, size=16)
    judge = build_judge(own, images, Inputs(1), 1, tmp_path, CPU)
    assert judge(Replay(others)).score < judge(Replay(striped(others))).score
    for changes, line in (
        ({"file": "gone.onnx"}, "train.judge.file: gone.onnx does not exist"),
        ({"sha256": "0" * 64}, "train.judge.sha256: params.yaml has 0000"),
        ({"output": "none"}, "train.judge.output: none, and own.onnx has the outputs pooled"),
    ):
        with pytest.raises(FaceganError, match=line):
            build_judge(own.model_copy(update=changes), images, Inputs(1), 1, tmp_path, CPU)


def test_inception_without_its_weights_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", _no_network)
    with pytest.raises(FaceganError, match=r"train\.judge: the Inception weights are not in .*train\.judge: fd_face"):
        build_judge("fid", noise(10), Inputs(1), 1, tmp_path, CPU)


def _no_network(*arguments: object) -> None:
    raise OSError("no network")


def test_too_few_pictures_for_a_score_are_said(tmp_path: Path) -> None:
    for count, name in ((8, "precision_random"), (3, "fd_random"), (2, "ms_ssim")):
        with pytest.raises(FaceganError, match=f"train.judge: {count} training pictures are too few for {name}"):
            build_judge(name, noise(count, size=32), Inputs(3), 1, tmp_path, CPU)


def test_at_most_ten_thousand_pictures_are_looked_at_and_they_are_a_seeded_choice(by_colours: Build) -> None:
    looked: list[torch.Tensor] = []

    def note(images: torch.Tensor) -> torch.Tensor:
        looked.append(images[:, 0, 0, 0].clone())
        return means(images)

    number = torch.arange(10_050).remainder(256).to(torch.uint8)
    images = number[:, None, None, None].expand(-1, 2, 2, 3)
    chosen = []
    for seed in (1, 1, 2):
        looked.clear()
        by_colours(images, Inputs(3), seed, note)
        chosen.append(torch.cat(looked))
    assert [len(part) for part in chosen] == [10_000] * 3
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])
    assert chosen[0].unique().numel() == 256  # from everywhere


def test_the_judge_draws_latents_of_its_own(by_colours: Build, tmp_path: Path) -> None:
    """The best weights are never chosen on what is reported."""
    images, judged, scored = noise(100), Affine(), Affine()
    by_colours(images, Inputs(3))(judged)
    rows = {tuple(row) for row in torch.cat(judged.seen).tolist()}
    assert len(rows) == 1000
    held = reference(images, colours(), 50, 1, tmp_path, [], "here", lambda count: None)
    scores(scored, Inputs(3), held, colours(), 1000, 1, lambda count: None)
    assert len(rows & {tuple(row) for row in torch.cat(scored.seen).tolist()}) == 0
    for purpose in ("train", "samples", "norms", "figure"):
        assert not rows & {tuple(row) for row in latents(1000, 3, 1, purpose).tolist()}
