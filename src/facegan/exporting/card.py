"""The model card: what the generator is, what it was trained on, how good it is, how to use it."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from facegan.exporting.model import judge_name
from facegan.sizes import channels_of, height_and_width, in_words, size_of


def model_card(config: dict[str, Any], report: dict[str, Any], parity: dict[str, Any], last_too: bool = False) -> str:
    """Markdown; a pure function of the stage's inputs. ``last_too``: the last weights are shipped beside the best."""
    loader = PackageLoader("facegan.exporting", "shipped")
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown
    protocol = report["protocol"]
    scores = {name: value for name, value in report.items() if name not in ("protocol", "warnings")}
    template = environment.get_template("MODEL_CARD.md.jinja")
    return (
        template.render(
            config=config,
            size=in_words(size_of(config)),
            sides=height_and_width(size_of(config)),
            channels=channels_of(config),
            judge=judge_name(config),
            scores=scores,
            protocol=protocol,
            warnings=report["warnings"],
            parity=parity,
            last_too=last_too,
        )
        + "\n"
    )
