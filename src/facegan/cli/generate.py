"""`facegan generate`: draw faces with an exported model or one that MLflow holds."""

import argparse
from pathlib import Path

from facegan.cli import film
from facegan.cli.project import EXPORTED, Project
from facegan.errors import FaceganError
from facegan.tracking.errors import one_line


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from facegan.exporting.shipped.generate import arguments

    parser = commands.add_parser("generate", help="draw faces", description=__doc__, parents=[arguments()])
    parser.add_argument(
        "--model",
        default=str(EXPORTED),
        help=f"an exported folder, or an MLflow URI such as runs:/RUN/generator; default {EXPORTED}",
    )
    film.add_options(parser)
    parser.set_defaults(run=_generate)


def _generate(options: argparse.Namespace) -> None:
    from facegan.exporting.shipped.generate import OUT, Generator, checked, draw
    from facegan.files import write_atomic
    from facegan.pictures import png

    if not options.film and options.out.suffix.lower() != ".png":
        raise FaceganError(f"--out {options.out}: a grid is a .png")
    if options.film:
        if options.out == OUT:
            options.out = Path(f"{options.film}.mp4")
        film.check(options)
    if options.film == "training" and options.model != str(EXPORTED):
        raise FaceganError("--film training shows the last training of this project; --model goes with --film walk")
    if options.film == "training" and options.at:
        write_atomic(options.out, png(film.side_by_side(film.training_frames(), list(map(int, options.at.split(","))))))
        print(options.out)
        return
    if options.film == "training":
        film.write_film(options.out, film.training_frames(), options.fps or 6, film.STILL)
        print(options.out)
        return
    path = _find(options.model)
    try:
        generator = Generator(path)
    except Exception as error:  # ONNX Runtime has an exception class for every failure
        raise FaceganError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error
    if options.film == "walk":
        checked(generator, options)
        film.write_film(options.out, film.walk_frames(generator, options), options.fps or 24)
    else:
        write_atomic(options.out, png(draw(generator, options)))
    print(options.out)


def _find(model: str) -> Path:
    """The ONNX file of a folder or an MLflow model URI. Raises FaceganError."""
    folder = Path(model)
    if ":/" in model:
        server = Project.find().server()  # first: it quiets MLflow before the import
        import mlflow

        try:
            mlflow.set_tracking_uri(server.uri)
            folder = Path(mlflow.artifacts.download_artifacts(model))
        except (mlflow.MlflowException, OSError) as error:
            raise FaceganError(f"--model {model}: {one_line(error)}") from error
    found = sorted(folder.rglob("generator.onnx"))
    if not found:
        raise FaceganError(f"--model {model}: no generator.onnx there; `dvc repro export` writes {EXPORTED}")
    return found[0]
