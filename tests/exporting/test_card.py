"""The model card says what the model is, how good it is and how to use it, from the stage's inputs alone."""

from typing import Any

import pytest

from facegan.exporting.card import model_card

PARITY = {"latents": 17, "max_difference": 1.234e-6, "tolerance": 1e-3, "agrees": True}


@pytest.fixture
def report() -> dict[str, Any]:
    return {
        "fd_random": {"value": 12.3456, "at_n": 13.5791, "floor": 0.98765, "n": 500},
        "kid_random": {"value": 0.012345, "std": 0.0023, "floor": -0.0004321, "floor_std": 0.001, "n": 500},
        "protocol": {
            "extractor": "random",
            "space": "a fixed random network",
            "extractor_sha256": "ab" * 32,
            "generated": 1000,
            "scores": {"fd_random": "Gaussians; against all"},
        },
        "warnings": ["the generator may be copying"],
    }


def test_the_last_weights_are_described_with_or_without_an_error(
    config: dict[str, Any], report: dict[str, Any]
) -> None:
    assert "(2.5 against 1.5 ± 0.25, lower is better)" in model_card(config, report, PARITY, last_too=True)
    unknown = {**config, "best": {**config["best"], "error": None}}
    assert "(2.5 against 1.5, lower is better)" in model_card(unknown, report, PARITY, last_too=True)
    assert "generator-last" not in model_card(config, report, PARITY)


def test_the_model_and_its_use_are_described(config: dict[str, Any], report: dict[str, Any]) -> None:
    card = model_card(config, report, PARITY)
    for text in (
        "# Face generator, 32x32",
        "`conv` generator",
        "80,000 images",
        "76,000 images",
        "float32 [batch, 8]",
        "[batch, 3, 32, 32] in [-1, 1]",
        "python generate.py --count 25",
        "1.2e-06 on 17 latents",
        "0123456789abcdef",
        "samples.png",
    ):
        assert text in card, text


def test_every_score_is_a_row_with_its_floor(config: dict[str, Any], report: dict[str, Any]) -> None:
    lines = model_card(config, report, PARITY).splitlines()
    assert "| `fd_random` | 12.35 | 13.58 | 0.9877 | 500 |" in lines
    assert "| `kid_random` | 0.01235 ± 0.0023 | 0.01235 | -0.0004321 | 500 |" in lines
    head = lines.index("| score | value | at n a side | floor (real against real) | n |")
    assert all(line.startswith("|") for line in lines[head : head + 4])  # one table, no gap in it
    assert not lines[head + 4].startswith("|")


def test_the_whole_protocol_is_told(config: dict[str, Any], report: dict[str, Any]) -> None:
    card = model_card(config, report, PARITY)
    scores = report["protocol"].pop("scores")
    for name, value in report["protocol"].items():
        assert f"- {name.replace('_', ' ')}: {value}\n" in card
    assert f"- `fd_random`: {scores['fd_random']}\n" in card


def test_warnings_are_told(config: dict[str, Any], report: dict[str, Any]) -> None:
    assert "\n**The generator may be copying.**\n" in model_card(config, report, PARITY)
    report["warnings"] = []
    assert "**" not in model_card(config, report, PARITY).split("## Scores")[1]


def test_random_scores_are_said_to_be_no_fid(config: dict[str, Any], report: dict[str, Any]) -> None:
    assert "are not FID" in model_card(config, report, PARITY)
    del report["protocol"]["space"]
    assert "are not FID" not in model_card(config, report, PARITY)


def test_the_same_inputs_are_the_same_card(config: dict[str, Any], report: dict[str, Any]) -> None:
    card = model_card(config, report, PARITY)
    assert card == model_card(config, report, PARITY)
    assert card.endswith("\n")
    assert "{{" not in card
    assert "{%" not in card


def test_a_card_with_a_gap_is_not_written(config: dict[str, Any], report: dict[str, Any]) -> None:
    del report["fd_random"]["floor"]
    with pytest.raises(Exception, match="floor"):
        model_card(config, report, PARITY)
