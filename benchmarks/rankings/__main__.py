"""A ruler for rulers: do scores put generators in the right order?

Trains a dozen generators on drawn and real faces, scores every checkpoint by every score, and correlates their ranks
with those of the Frechet distance in the space of a network that was trained on a million photographs. Takes hours on
two cores; rerun the command to resume. ``--table`` keeps the numbers, which tests check the claims with.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.rankings.page import rankings, section
from benchmarks.rankings.scores import Oracle, score_all
from benchmarks.rankings.trainings import RECIPES, picture_set, train_all
from benchmarks.sections import replace_section

SCORES = Path("docs/SCORES.md")
TABLE = Path(__file__).with_name("table.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rankings", description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="a folder or archive of real faces")
    parser.add_argument("--oracle", type=Path, required=True, help="ONNX file: 224 pixels from -1 to 1 to features")
    parser.add_argument("--folder", type=Path, default=Path(".facegan/rankings"), help="keeps what is done")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trainings at once")
    parser.add_argument("--count", type=int, default=10_000, help="faces of each set; default 10000")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in ("drawn", "real"):
        picture_set(options.folder, name, options.pictures, options.count)
    train_all(options.folder, RECIPES, options.jobs)
    rows = score_all(options.folder, RECIPES, Oracle.of(options.oracle))
    lines = [json.dumps(row) for row in rows]
    TABLE.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    text = section(rows, rankings(rows))
    replace_section(SCORES, "rankings", text)
    print(text)


if __name__ == "__main__":
    sys.exit(main())
