"""Inception as pytorch-fid has it: its numbers, and weights that are checked before they are believed."""

import hashlib
import os
import pickle
import re
import subprocess
import sys
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from parameters import evaluate_params
from PIL import Image
from pytorch_fid.inception import FID_WEIGHTS_URL, InceptionV3

from evaluation.conftest import WeightsFile
from evaluation.doubles import Replay
from facegan.errors import FaceganError
from facegan.evaluation.features import build_extractor
from facegan.evaluation.generation import generate
from facegan.evaluation.inception import build, load_weights
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance
from facegan.params import InceptionParams

CPU = torch.device("cpu")
COUNT = 16  # pictures a side: more than there are living features


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch hub, and no way to download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)

    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    return tmp_path / "torch/hub/checkpoints"


def test_the_number_is_that_of_pytorch_fids_own_command(
    inception_weights: WeightsFile, tmp_path: Path, hub: Path
) -> None:
    """The same pictures and the same weights, 1e-6: so a number from here may stand beside published ones."""
    hub.mkdir(parents=True)
    (hub / inception_weights.path.name).symlink_to(inception_weights.path)
    random, sides = np.random.default_rng(0), {}
    for side in ("real", "generated"):
        (tmp_path / side).mkdir()
        pictures = []
        for index in range(COUNT):
            coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize(
                (32, 32), Image.Resampling.BICUBIC
            )
            contrast, grain = (0.2, 30) if side == "generated" else (0.7, 10)
            picture = np.asarray(coarse) * contrast + random.integers(0, grain, (32, 32, 3))
            pictures.append(picture.astype(np.uint8))
            Image.fromarray(pictures[-1]).save(tmp_path / side / f"{index:02d}.png")
        sides[side] = torch.from_numpy(np.stack(pictures))

    command = [sys.executable, "-m", "pytorch_fid", "real", "generated", "--device", "cpu", "--num-workers", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # one core each, side by side
    theirs = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    extractor = build_extractor(
        evaluate_params(
            extractor="inception",
            inception={"weights": str(inception_weights.path), "sha256": inception_weights.sha256},
        ),
        tmp_path,
        CPU,
    )
    real, fake = FeatureStatistics(extractor.sha256), FeatureStatistics(extractor.sha256)
    for features in extractor.batches(sides["real"]):
        real.update(features)
    for pictures in generate(Replay(sides["generated"]), (torch.zeros(COUNT, 1),), CPU):
        for features in extractor.batches(pictures):
            fake.update(features)

    found = frechet_distance(real, fake)
    expected = float(re.search(r"^FID: +(\S+)", theirs.communicate()[0], re.MULTILINE)[1])
    assert found == pytest.approx(expected, rel=1e-6)
    # The means alone do not make that number: covariances were compared too.
    assert float((real.mean - fake.mean).square().sum()) < 0.97 * expected
    assert int((real.covariance.diagonal() > 0).sum()) == 12


def test_it_is_named_as_the_published_protocol(inception_weights: WeightsFile, tmp_path: Path) -> None:
    asked = {"weights": str(inception_weights.path), "sha256": inception_weights.sha256}
    extractor = build_extractor(evaluate_params(extractor="inception", inception=asked), tmp_path, CPU)
    assert (extractor.name, extractor.suffix, extractor.dimensions) == ("inception", "", 2048)
    assert extractor.sha256 == inception_weights.sha256
    assert "299" in extractor.protocol["resize"]
    held = torch.load(inception_weights.path, weights_only=True)
    assert extractor.classifier is not None and torch.equal(extractor.classifier, held["fc.weight"])
    features = extractor.extract(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert features.shape == (1, 2048)


def test_weights_are_found_in_torch_hubs_cache(inception_weights: WeightsFile, tmp_path: Path, hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / inception_weights.path.name).symlink_to(inception_weights.path)
    network = build(load_weights(InceptionParams(weights=None, sha256=inception_weights.sha256), tmp_path))
    assert isinstance(network, InceptionV3)
    assert not network.training
    held = torch.load(inception_weights.path, weights_only=True)
    assert torch.equal(network.state_dict()["blocks.0.0.conv.weight"], held["Conv2d_1a_3x3.conv.weight"])


def test_weights_that_are_nowhere_are_downloaded_into_the_cache(
    inception_weights: WeightsFile, tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def download(url: str, path: str, *_: object, **__: object) -> None:
        asked.append((url, path))
        Path(path).symlink_to(inception_weights.path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    params = InceptionParams(weights=None, sha256=inception_weights.sha256)
    load_weights(params, tmp_path)
    load_weights(params, tmp_path)  # from the cache
    assert asked == [(FID_WEIGHTS_URL, str(hub / "pt_inception-2015-12-05-6726825d.pth"))]


def test_weights_of_another_digest_are_refused_in_one_line(tmp_path: Path, hub: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"something else")
    with pytest.raises(FaceganError, match=r"^evaluate\.inception: w\.pth has SHA-256 f41f3fa625ff") as caught:
        load_weights(InceptionParams(weights="w.pth", sha256="a" * 64), tmp_path)
    assert "params.yaml asks for aaaaaaaaaaaa" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_download_of_another_digest_is_refused(tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, path: Path(path).write_bytes(b"a login page"))
    with pytest.raises(FaceganError, match=r"delete the file to download it again"):
        load_weights(InceptionParams(weights=None, sha256="a" * 64), tmp_path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    """Even under the right digest: weights are tensors."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "it ran"),))

    content = pickle.dumps(Evil())
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(pickle.UnpicklingError):
        load_weights(InceptionParams(weights="w.pth", sha256=hashlib.sha256(content).hexdigest()), tmp_path)
    assert not (tmp_path / "it ran").exists()


def test_weights_that_cannot_be_had_are_one_line_that_says_what_to_do(tmp_path: Path, hub: Path) -> None:
    with pytest.raises(FaceganError) as caught:
        load_weights(InceptionParams(weights=None, sha256="a" * 64), tmp_path)
    said = str(caught.value)
    assert "\n" not in said
    for part in (str(hub), "pt_inception-2015-12-05-6726825d.pth", "Name or service not known", "evaluate.extractor"):
        assert part in said


def test_a_path_that_is_not_there_is_named(tmp_path: Path, hub: Path) -> None:
    with pytest.raises(FaceganError, match=r"^evaluate\.inception\.weights: missing\.pth does not exist$"):
        load_weights(InceptionParams(weights="missing.pth", sha256="a" * 64), tmp_path)
