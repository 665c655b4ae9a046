"""`facegan generate`: draw faces with an exported model or one that MLflow holds."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from facegan.errors import FaceganError
from facegan.repository.project import EXPORTED, REPORTS, Project
from facegan.tracking.errors import one_line

if TYPE_CHECKING:
    import numpy as np

STILL = 1.0  # seconds for which the end of a training is shown


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from facegan.exporting.shipped.generate import arguments

    parser = commands.add_parser("generate", help="draw faces", description=__doc__, parents=[arguments()])
    parser.add_argument(
        "--model",
        default=str(EXPORTED),
        help=f"an exported folder, or an MLflow URI such as runs:/RUN/generator; default {EXPORTED}",
    )
    _add_film(parser)
    parser.set_defaults(run=_generate)


def _add_film(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--film",
        choices=("training", "walk"),
        help="the sample grids of the last training one after the other, or faces that change into each other and "
        "back; --out ends in .mp4 or .gif, or names numbered pictures: generated-image-%%04d.png",
    )
    parser.add_argument(
        "--at", help="of --film training, these grids alone, side by side in a PNG: 1,10,25; 0 is before any training"
    )
    parser.add_argument("--fps", type=int, help="pictures a second of a film; default 6 for training, 24 for a walk")


def _generate(options: argparse.Namespace) -> None:
    from facegan import film
    from facegan.exporting.shipped.generate import OUT, Generator, checked, draw
    from facegan.files import write_atomic
    from facegan.pictures import png

    if not options.film and options.out.suffix.lower() != ".png":
        raise FaceganError(f"--out {options.out}: a grid is a .png")
    if options.film:
        if options.out == OUT:
            options.out = Path(f"{options.film}.mp4")
        _check_film(options)
    if options.film == "training" and options.model != str(EXPORTED):
        raise FaceganError("--film training shows the last training of this project; --model goes with --film walk")
    if options.film == "training" and options.at:
        write_atomic(options.out, png(film.side_by_side(_training_frames(), list(map(int, options.at.split(","))))))
        print(options.out)
        return
    if options.film == "training":
        film.write_film(options.out, _training_frames(), options.fps or 6, STILL)
        print(options.out)
        return
    with TemporaryDirectory() as fetched:  # the network is in memory once it is loaded
        path = _find(options.model, Path(fetched))
        try:
            generator = Generator(path)
        except Exception as error:  # ONNX Runtime has an exception class for every failure
            raise FaceganError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error
    if options.film == "walk":
        checked(generator, options)
        walk = film.walk_frames(
            generator, options.count, options.steps, options.seed, options.truncation, options.label
        )
        film.write_film(options.out, walk, options.fps or 24)
    else:
        write_atomic(options.out, png(draw(generator, options)))
    print(options.out)


def _check_film(options: argparse.Namespace) -> None:
    """Raises FaceganError for a film that cannot be written, before any work."""
    from facegan.film import WRITERS

    if options.at is not None:
        if options.film != "training" or options.out.suffix != ".png":
            raise FaceganError("--at goes with --film training and an --out that ends in .png")
        if not re.fullmatch(r"\d+(,\d+)*", options.at):
            raise FaceganError(f"--at {options.at}: should be numbers of grids such as 1,10,25")
        return
    if "%" not in options.out.name and options.out.suffix not in WRITERS:
        raise FaceganError(
            f"--out {options.out}: a film should end in {' or '.join(WRITERS)}, or be numbered pictures such as "
            "generated-image-%04d.png"
        )
    if "%" in options.out.name:
        try:
            different = options.out.name % 1 != options.out.name % 2 and options.out.suffix == ".png"
        except (TypeError, ValueError):
            different = False
        if not different:
            raise FaceganError(f"--out {options.out}: numbered pictures are named like generated-image-%04d.png")
    if options.fps is not None and not 1 <= options.fps <= 60:
        raise FaceganError(f"--fps {options.fps}: should be 1 to 60")


def _training_frames() -> "Iterator[np.ndarray]":
    """The grids that the last training left, uint8 [h, w, 3]; without labels all of one size. Raises FaceganError."""
    import numpy as np
    from PIL import Image

    folder = Project.find().root / REPORTS / "train/samples"
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise FaceganError(f"--film training: {folder} holds no grids; `dvc repro` or `dvc pull` brings them")
    for path in paths:
        with Image.open(path) as picture:
            yield np.asarray(picture.convert("RGB"))


def _find(model: str, fetched: Path) -> Path:
    """The ONNX file of a folder or an MLflow model URI. Raises FaceganError."""
    folder = Path(model)
    if ":/" in model:
        server = Project.find().server()  # first: it quiets MLflow before the import
        import mlflow

        from facegan.tracking.fetch import fetch

        mlflow.set_tracking_uri(server.uri)
        try:
            folder = fetch(model, fetched)
        except (mlflow.MlflowException, OSError) as error:
            raise FaceganError(f"--model {model}: {one_line(error)}") from error
    found = sorted(folder.rglob("generator.onnx"))
    if not found:
        raise FaceganError(f"--model {model}: no generator.onnx there; `dvc repro export` writes {EXPORTED}")
    return found[0]
