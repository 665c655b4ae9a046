"""The page of an evaluation stands alone, says what its numbers are, and is the same bytes every time."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evaluation.doubles import noise
from facegan.data.labels import Labels
from facegan.evaluation.figures import Figure
from facegan.evaluation.report import GRIDS, write_report
from facegan.evaluation.sensitivity import CORRUPTIONS, SEES
from facegan.evaluation.suite import Evaluation, Real
from facegan.pictures import write_grid

SHARE = {"value": 0.51, "std": 0.02, "floor": 0.87, "floor_std": 0.02, "n": 60}
CLASSES = [
    {
        "label": "hair",
        "class": "<b>pink</b>",
        "n": 60,
        "kid": {"value": 0.0123, "std": 0.002, "floor": 0.0004},
        "precision": SHARE,
        "recall": SHARE,
    }
]
HISTORY = """images,loss_generator,loss_discriminator,d_real,d_fake,grad_norm_generator,grad_norm_discriminator,score
4000,0.9,1.2,0.6,0.4,3.0,2.0,
8000,1.1,1.0,0.7,0.3,3.5,2.5,17.5
"""


@pytest.fixture
def report() -> dict[str, Any]:
    return {
        "fd_random": {"value": 12.3456, "at_n": 13.5791, "floor": 0.98765, "n": 500},
        "kid_random": {
            "value": 0.012345,
            "std": 0.0023,
            "floor": -0.0004321,
            "floor_std": 0.001,
            "n": 500,
            "subset_size": 250,
        },
        "protocol": {
            "extractor": "random",
            "space": "a fixed random network",
            "extractor_sha256": "ab" * 32,
            "generated": 1000,
            "real": 1234,
            "seed": 7,
            "scores": {"fd_random": "Gaussians; against all"},
        },
        "warnings": ["the generator <may> be copying"],
    }


@pytest.fixture
def config() -> dict[str, Any]:
    return {
        "model": {"network": "conv"},
        "size": 32,
        "labels": {},
        "judge": "fd_face",
        "best": {"images": 76_000, "score": 1.0, "error": 0.25},
        "last": {"images": 80_000, "score": 2.5, "error": 0.25},
        "training_key": "4fa2<script>alert(1)</script>",
    }


def write(folder: Path, report: dict[str, Any], config: dict[str, Any], history: str = HISTORY) -> str:
    folder.mkdir(parents=True)
    (folder.parent / "samples").mkdir()
    (folder.parent / "history.csv").write_text(history)
    for images in range(0, 84_000, 4000):
        write_grid(folder.parent / f"samples/{images:09d}.png", noise(4, images))
    manifest = {"size": 32, "pictures": {"train": 16_000}, "enlarged": 0.0}
    real = Real(noise(30, 1), noise(8, 4), Labels.none(30), Labels.none(8), manifest)
    figures = [Figure("neighbors", "Is it copying?", "Groups of four.", noise(16, 3), 8)]
    write_report(folder, Evaluation(report, noise(36, 2), figures, CLASSES), real, folder.parent, config)
    return (folder / "index.html").read_text()


def test_the_figures_and_the_page_are_written(tmp_path: Path, report: dict[str, Any], config: dict[str, Any]) -> None:
    write(tmp_path / "out", report, config)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "real.png",
        "generated.png",
        "neighbors.png",
        "classes.json",
        "curves.png",
        "index.html",
    }
    for name in ("real.png", "generated.png"):
        assert Image.open(tmp_path / "out" / name).size == (6 * 10 + 2, 6 * 10 + 2)
    assert (tmp_path / "out/real.png").read_bytes() != (tmp_path / "out/generated.png").read_bytes()
    assert Image.open(tmp_path / "out/curves.png").size[0] > 800


def test_the_page_stands_alone(tmp_path: Path, report: dict[str, Any], config: dict[str, Any]) -> None:
    page = write(tmp_path / "out", report, config)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 4 + GRIDS
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in re.sub(r"base64,[\w+/=]+", "", page)


def test_the_page_shows_every_score_its_floor_and_the_whole_protocol(
    tmp_path: Path, report: dict[str, Any], config: dict[str, Any]
) -> None:
    page = write(tmp_path / "out", report, config)
    for text in (
        "12.35",
        "13.58",
        "0.9877",
        "0.01235",
        "0.0023",
        "-0.0004321",
        '<td class="more">500</td>',
        "76,000 images",
        "32x32",
    ):
        assert text in page
    scores = report["protocol"].pop("scores")
    assert f"<dt>fd_random</dt><dd>{scores['fd_random']}</dd>" in page
    for name, value in report["protocol"].items():
        assert f"<dt>{name.replace('_', ' ')}</dt><dd>{value}</dd>" in page


def test_random_scores_are_said_to_be_not_fid(tmp_path: Path, report: dict[str, Any], config: dict[str, Any]) -> None:
    assert "not FID" in write(tmp_path / "random", report, config)
    del report["protocol"]["space"]
    assert "not FID" not in write(tmp_path / "more" / "inception", report, config)


def test_nothing_in_the_page_is_taken_for_markup(
    tmp_path: Path, report: dict[str, Any], config: dict[str, Any]
) -> None:
    report["protocol"]["resize"] = "<img src=x onerror=alert(2)>"
    page = write(tmp_path / "out", report, config)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "4fa2&lt;script&gt;" in page


def test_the_same_evaluation_is_the_same_bytes(tmp_path: Path, report: dict[str, Any], config: dict[str, Any]) -> None:
    write(tmp_path / "a/out", report, config)
    write(tmp_path / "b/out", report, config)
    for path in (tmp_path / "a/out").iterdir():
        content = path.read_bytes()
        assert content == (tmp_path / "b/out" / path.name).read_bytes(), path.name
        assert str(tmp_path).encode() not in content
        if path.suffix == ".png":
            assert not Image.open(io.BytesIO(content)).text  # no software, no date


def test_a_history_with_few_scores_is_drawn(tmp_path: Path, report: dict[str, Any], config: dict[str, Any]) -> None:
    one = "\n".join(HISTORY.splitlines()[:2]) + "17.5\n"
    none = "\n".join(HISTORY.splitlines()[:2]) + "\n"
    for name, history in (("one", one), ("none", none)):
        write(tmp_path / name / "out", report, config, history)
        assert Image.open(tmp_path / name / "out/curves.png").size[0] > 800


def test_grids_over_the_training_stand_side_by_side(
    tmp_path: Path, report: dict[str, Any], config: dict[str, Any]
) -> None:
    page = write(tmp_path / "out", report, config)
    captions = re.findall(r'alt="samples after ([^"]+)"', page)
    assert len(captions) == GRIDS
    assert captions[0] == "0.0 kimg, 0.0 epochs" and captions[-1] == "80.0 kimg, 5.0 epochs"


def test_figures_and_warnings_are_on_the_page(tmp_path: Path, report: dict[str, Any], config: dict[str, Any]) -> None:
    page = write(tmp_path / "out", report, config)
    assert "<h2>Is it copying?</h2>" in page and "<p>Groups of four.</p>" in page
    assert Image.open(tmp_path / "out/neighbors.png").size == (8 * 10 + 2, 2 * 10 + 2)
    assert '<p class="warning">The generator &lt;may&gt; be copying.</p>' in page


def test_every_score_says_which_way_is_better_and_what_it_sees(
    tmp_path: Path, report: dict[str, Any], config: dict[str, Any]
) -> None:
    page = write(tmp_path / "out", report, config)
    row = page[page.index("Frechet distance<br>") :].split("</tr>")[0]
    assert ">lower</td>" in row and f">{', '.join(SEES['fd_random'])}</td>" in row
    for corruption in CORRUPTIONS:
        assert corruption in row


def test_classes_have_rows_of_their_own(tmp_path: Path, report: dict[str, Any], config: dict[str, Any]) -> None:
    page = write(tmp_path / "out", report, config)
    row = page[page.index("&lt;b&gt;pink") :].split("</tr>")[0]
    for text in ("0.012 ± 0.002", "0.0004", "0.51", "0.87", "<td>60</td>"):
        assert text in row
