"""Every score with its floor and its whole protocol; real pictures are read once and remembered."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from evaluation.doubles import Replay, colours, means, noise, scores
from facegan.evaluation.extractor import Extractor
from facegan.evaluation.kernel import kernel_distance
from facegan.evaluation.random_network import random_extractor
from facegan.evaluation.reference import Reference, reference
from facegan.evaluation.scores import draw
from facegan.evaluation.statistics import FeatureStatistics, frechet_distance
from facegan.randomness import Inputs

CPU = torch.device("cpu")
REAL, N = 210, 90


def silent(count: int) -> None:
    pass


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return noise(REAL)


@pytest.fixture
def unreadable() -> Extractor:
    """An extractor that must not be asked."""

    def refuse(images: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the pictures were read again")

    return colours(extract=refuse)


def refer(images: torch.Tensor, cache: Path, extractor: Extractor | None = None, **changes: Any) -> Reference:
    settings = {"n": N, "seed": 1, "cache": cache, "digests": ["a", "b"], "environment": "here", "progress": silent}
    return reference(images, extractor or colours(), **(settings | changes))


def rows(features: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in features.tolist()}


def same(a: Reference, b: Reference) -> bool:
    return (
        torch.equal(a.features_first, b.features_first)
        and torch.equal(a.features_second, b.features_second)
        and all(
            x.count == y.count and torch.equal(x.mean, y.mean) and torch.equal(x.covariance, y.covariance)
            for x, y in ((a.everything, b.everything), (a.first, b.first), (a.second, b.second))
        )
    )


def test_the_floor_is_between_two_disjoint_sets_of_real_pictures(images: torch.Tensor, tmp_path: Path) -> None:
    held = refer(images, tmp_path)
    first, second, everything = rows(held.features_first), rows(held.features_second), rows(means(images))
    assert len(everything) == REAL  # every picture has features of its own
    assert len(first) == len(second) == len(held.features_first) == len(held.features_second) == N
    assert not first & second
    assert first | second < everything


def test_statistics_are_those_of_their_pictures(images: torch.Tensor, tmp_path: Path) -> None:
    held = refer(images, tmp_path)
    for statistics, features in (
        (held.everything, means(images)),
        (held.first, held.features_first),
        (held.second, held.features_second),
    ):
        expected = FeatureStatistics("c" * 64).update(features)
        assert statistics.count == expected.count
        torch.testing.assert_close(statistics.mean, expected.mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(statistics.covariance, expected.covariance, rtol=1e-9, atol=1e-9)


def test_half_of_an_odd_number_leaves_one_picture_out_of_the_floor(tmp_path: Path) -> None:
    held = refer(noise(9), tmp_path, n=4)
    assert len(rows(held.features_first) | rows(held.features_second)) == 8
    assert held.everything.count == 9


def test_the_sets_of_the_floor_are_a_seeded_choice(images: torch.Tensor, tmp_path: Path) -> None:
    chosen = [
        rows(refer(images, tmp_path / str(place), seed=seed).features_first) for place, seed in enumerate((1, 1, 2))
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_real_pictures_are_read_once(images: torch.Tensor, tmp_path: Path, unreadable: Extractor) -> None:
    held = refer(images, tmp_path / "not there yet")
    assert same(refer(images, tmp_path / "not there yet", unreadable), held)
    assert same(refer(images, tmp_path / "not there yet", unreadable, digests=["b", "a"]), held)  # in any order


def test_progress_counts_every_picture_once_read_or_remembered(images: torch.Tensor, tmp_path: Path) -> None:
    for _ in range(2):
        counts: list[int] = []
        refer(images, tmp_path, progress=counts.append)
        assert sum(counts) == REAL


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 80},
        {"seed": 2},
        {"digests": ["a"]},
        {"digests": ["a", "c"]},
        {"extractor": {"sha256": "d" * 64}},
        {"extractor": {"protocol": {"resize": "another"}}},
    ],
    ids=str,
)
def test_whatever_decides_the_features_decides_the_cache(
    images: torch.Tensor, tmp_path: Path, changes: dict[str, Any]
) -> None:
    refer(images, tmp_path)
    asked: list[int] = []

    def note(images: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        return means(images)

    changed = dict(changes)
    plain = colours()
    different = {"sha256": plain.sha256, "protocol": plain.protocol} | changed.pop("extractor", {})
    extractor = Extractor("colours", "_colours", different["sha256"], 3, different["protocol"], note)
    refer(images, tmp_path, extractor, **changed)
    assert sum(asked) == REAL
    assert len(list(tmp_path.glob("reference-*"))) == 2


@pytest.mark.parametrize("left", [0, 1, 8, 200, -1])
def test_a_cache_that_was_cut_is_computed_again(
    images: torch.Tensor, tmp_path: Path, unreadable: Extractor, left: int
) -> None:
    held = refer(images, tmp_path)
    (path,) = tmp_path.glob("reference-*")
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    assert same(refer(images, tmp_path), held)
    assert path.read_bytes() == whole
    assert same(refer(images, tmp_path, unreadable), held)


def test_a_cache_of_another_layout_is_computed_again(images: torch.Tensor, tmp_path: Path) -> None:
    held = refer(images, tmp_path)
    (path,) = tmp_path.glob("reference-*")
    save_file({"features_first": torch.zeros(2, 2)}, path)
    assert same(refer(images, tmp_path), held)


def test_the_cache_is_no_pickle_and_the_same_bytes(images: torch.Tensor, tmp_path: Path) -> None:
    refer(images, tmp_path / "a")
    refer(images, tmp_path / "b")
    (a,), (b,) = (tmp_path / "a").glob("reference-*"), (tmp_path / "b").glob("reference-*")
    assert a.name == b.name
    assert a.suffix == ".safetensors"
    assert a.read_bytes() == b.read_bytes()


@pytest.fixture
def report(images: torch.Tensor, tmp_path: Path) -> dict[str, Any]:
    return scores(Replay(noise(300, 5)), Inputs(4), refer(images, tmp_path), colours(), 150, 1, silent)


def test_scores_are_named_by_their_space(tmp_path: Path) -> None:
    names = []
    for extractor in (colours(suffix=""), colours(suffix="_random"), random_extractor(CPU)):
        held = refer(noise(20, size=32), tmp_path, extractor, n=10)
        names.append(set(scores(Replay(noise(30, 5, size=32)), Inputs(4), held, extractor, 20, 1, silent)))
    kinds = ("kid", "precision", "recall", "density", "coverage")
    assert names[0] == {"fid", *kinds, "protocol"}
    assert names[1] == names[2] == {"fd_random", *(f"{kind}_random" for kind in kinds), "protocol"}  # no FID, clearly


def test_every_score_stands_beside_its_floor_at_the_same_n(
    report: dict[str, Any], images: torch.Tensor, tmp_path: Path
) -> None:
    held = refer(images, tmp_path)
    generated = means(noise(300, 5)[:150])
    everything, first = (FeatureStatistics("c" * 64).update(features) for features in (generated, generated[:N]))
    frechet, kid = report["fd_colours"], report["kid_colours"]
    assert frechet["value"] == pytest.approx(frechet_distance(held.everything, everything), rel=1e-9)
    assert frechet["at_n"] == pytest.approx(frechet_distance(held.first, first), rel=1e-9)
    assert frechet["floor"] == pytest.approx(frechet_distance(held.first, held.second), rel=1e-9)
    value = kernel_distance(held.features_first, generated[:N], 1)
    floor = kernel_distance(held.features_first, held.features_second, 1)
    assert (kid["value"], kid["std"]) == pytest.approx((value.mean, value.std), rel=1e-5)
    assert (kid["floor"], kid["floor_std"]) == pytest.approx((floor.mean, floor.std), rel=1e-5)
    assert frechet["n"] == kid["n"] == N
    assert kid["subset_size"] == value.subset_size
    assert set(frechet) == {"value", "at_n", "std", "floor", "n"}
    assert set(kid) == {"value", "std", "floor", "floor_std", "n", "subset_size", "error"}


def test_the_protocol_is_complete(report: dict[str, Any]) -> None:
    protocol = report["protocol"]
    assert protocol == protocol | {
        "extractor": "colours",
        "extractor_sha256": "c" * 64,
        "resize": "none",
        "dimensions": 3,
        "generated": 150,
        "real": REAL,
        "seed": 1,
    }
    for word in ("averaged", "eval mode", "uint8"):
        assert word in protocol["generator"]
    assert set(protocol["scores"]) == set(report) - {"protocol"}
    for word in ("held out", "not mirrored"):
        assert word in protocol["scores"]["fd_colours"]


def test_a_report_is_json(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_the_same_generator_has_the_same_scores(images: torch.Tensor, tmp_path: Path, report: dict[str, Any]) -> None:
    """From the cache too."""
    again = scores(Replay(noise(300, 5)), Inputs(4), refer(images, tmp_path), colours(), 150, 1, silent)
    assert again == report


def test_exactly_as_many_pictures_are_generated_as_asked(images: torch.Tensor, tmp_path: Path) -> None:
    network, counts = Replay(noise(300, 5)), []
    scores(network, Inputs(7), refer(images, tmp_path), colours(), 130, 3, counts.append)
    drawn = torch.cat(network.seen)
    assert drawn.shape == (130, 7)
    assert sum(counts) == 130
    assert len(drawn.unique(dim=0)) == 130
    other = Replay(noise(300, 5))
    scores(other, Inputs(7), refer(images, tmp_path), colours(), 130, 4, silent)
    assert not torch.equal(torch.cat(other.seen), drawn)  # another seed, other latents


def test_a_generator_of_real_pictures_scores_at_the_floor_and_a_bad_one_above(tmp_path: Path) -> None:
    pictures = noise(1500)
    held = refer(pictures[:1000], tmp_path, n=500)
    good = scores(Replay(pictures[1000:]), Inputs(4), held, colours(), 500, 1, silent)
    dark = scores(Replay(pictures[1000:] // 2), Inputs(4), held, colours(), 500, 1, silent)
    assert good["fd_colours"]["at_n"] < 5 * good["fd_colours"]["floor"]
    assert dark["fd_colours"]["at_n"] > 100 * dark["fd_colours"]["floor"]
    distance = good["kid_colours"]
    assert abs(distance["value"]) < 3 * distance["std"]
    assert abs(distance["floor"]) < 3 * distance["floor_std"]
    assert dark["kid_colours"]["value"] > 3 * dark["kid_colours"]["std"]


def test_features_that_are_no_numbers_are_refused_and_not_cached(images: torch.Tensor, tmp_path: Path) -> None:
    broken = colours(extract=lambda pictures: means(pictures) * float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        refer(images, tmp_path, broken)
    assert not list(tmp_path.glob("reference-*"))
    held = refer(images, tmp_path)
    with pytest.raises(ValueError, match="not finite"):
        scores(Replay(noise(99)), Inputs(4), held, broken, 99, 1, silent)


def test_a_reference_of_another_space_is_refused(images: torch.Tensor, tmp_path: Path) -> None:
    held = refer(images, tmp_path)
    with pytest.raises(ValueError, match="different extractors"):
        scores(Replay(noise(99)), Inputs(4), held, colours(sha256="d" * 64), 99, 1, silent)


def test_the_inception_score_has_a_real_one_beside_it_whatever_the_order_of_the_pictures(tmp_path: Path) -> None:
    """Class folders follow each other: in splits of consecutive pictures each would see one class."""
    shades = torch.eye(3).repeat_interleave(60, 0) * 255
    sorted_by_class = shades.to(torch.uint8)[:, None, None, :].expand(-1, 8, 8, -1).contiguous()
    sure = replace(colours(), classifier=torch.eye(3))
    held = reference(sorted_by_class, sure, 90, 1, tmp_path, ["a"], "here", silent)
    drawn = sorted_by_class[torch.randperm(180, generator=torch.Generator().manual_seed(0))]
    report = scores(Replay(drawn), Inputs(4), held, sure, 180, 1, silent)
    found = report["inception_score"]
    for name in ("value", "at_n", "floor"):
        assert 2.5 < found[name] <= 3.0, name
    assert found["n"] == 90
    assert "inception_score" not in scores(Replay(drawn), Inputs(4), held, colours(), 180, 1, silent)


def test_the_spread_of_a_frechet_distance_is_that_over_other_pictures(tmp_path: Path) -> None:
    pictures = noise(9000, 3)
    held = refer(pictures[:1000], tmp_path, n=400)
    found = [
        scores(Replay(pictures[start : start + 400]), Inputs(4), held, colours(), 400, 1, silent)["fd_colours"]
        for start in range(1000, 9000, 400)
    ]
    values = torch.tensor([score["at_n"] for score in found])
    mean_of_spreads = sum(score["std"] for score in found) / len(found)
    assert mean_of_spreads == pytest.approx(float(values.std()), rel=0.5)


def test_precision_and_recall_have_those_of_real_pictures_beside_them(images: torch.Tensor, tmp_path: Path) -> None:
    real = noise(400)
    one_mode = real[350:351].expand(200, -1, -1, -1)
    report = scores(Replay(one_mode), Inputs(4), refer(real, tmp_path, n=150), colours(), 200, 1, silent)
    assert report["recall_colours"]["value"] < 0.05 < 0.7 < report["recall_colours"]["floor"]
    assert report["precision_colours"]["n"] == 150


def test_pictures_for_the_scores_without_a_network_are_the_first_that_were_drawn(tmp_path: Path) -> None:
    held, pictures = refer(noise(200), tmp_path), noise(150, 5)
    drawn = draw(Replay(pictures), Inputs(4).draw(150, 1, "evaluate"), colours(), N, silent)
    assert torch.equal(drawn.pictures, pictures) and len(drawn.features) == N == len(held.features_first)
