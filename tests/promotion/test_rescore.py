"""Exported models are scored on what no training has seen, by the pictures that their file draws."""

from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation.doubles import colours, means
from tracking.made import tiny_params

from facegan.data.shards import write_shards
from facegan.data.stored import load_split
from facegan.errors import FaceganError
from facegan.evaluation.reference import SCORING_SEED
from facegan.exporting.shipped.generate import Generator
from facegan.promotion.rescore import held_out_report
from facegan.randomness import Inputs
from facegan.repository.project import EXPORTED, RAW, SHARDS


def test_the_frechet_distance_is_that_of_its_pictures_and_the_held_out_ones(project_root: Path, tmp_path: Path) -> None:
    report = held_out_report(project_root / EXPORTED, project_root / SHARDS, colours(), 64, tmp_path)
    generator = Generator(project_root / EXPORTED / "generator.onnx")
    (latents,) = Inputs(generator.latent).draw(64, SCORING_SEED, "evaluate")
    fake = means(torch.from_numpy(generator.pictures(latents.numpy()))).double().numpy()
    real = means(load_split(project_root / SHARDS, "held_out").images[:]).double().numpy()
    from pytorch_fid.fid_score import calculate_frechet_distance

    expected = calculate_frechet_distance(real.mean(0), np.cov(real.T), fake.mean(0), np.cov(fake.T))
    assert report["fd_colours"]["value"] == pytest.approx(expected, rel=1e-4)
    assert report["protocol"]["real"] == len(real)


def test_again_it_is_the_same(project_root: Path, tmp_path: Path) -> None:
    first, second = (
        held_out_report(project_root / EXPORTED, project_root / SHARDS, colours(), 64, tmp_path) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 64}, "it draws pictures of 40x32, and those that are held out are 64x64"),
        ({"held_out": 0.0}, "0 held"),
    ],
)
def test_what_cannot_be_scored_is_one_line(
    project_root: Path, tmp_path: Path, changes: dict[str, float], said: str
) -> None:
    write_shards(project_root / RAW, tmp_path / "shards", tiny_params(preprocess=changes).preprocess, 1)
    with pytest.raises(FaceganError, match=said):
        held_out_report(project_root / EXPORTED, tmp_path / "shards", colours(), 64, tmp_path / "cache")
