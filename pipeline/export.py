"""Export: the generator in forms that need neither this pipeline nor a pickle, checked against PyTorch."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facegan.exporting import shipped
from facegan.exporting.card import model_card
from facegan.exporting.model import BEST, LAST, last_is_as_good, load_trained
from facegan.exporting.onnx import export_onnx, parity
from facegan.exporting.shipped.generate import Generator, grid
from facegan.files import new_folder, read_json, write_atomic, write_json
from facegan.params import Params
from facegan.pictures import CLASS_ROWS, png
from facegan.repository.project import EXPORTED, REPORTS, TRAINED, Project
from facegan.repository.running import run_stage


def export(project: Project) -> None:
    params = project.params()
    report = read_json(project.root / REPORTS / "evaluate.json")
    with new_folder(project.root / EXPORTED) as folder:
        config, agreement = _export(params, project.root / TRAINED, BEST, folder)
        last = last_is_as_good(config)
        if last:
            _export(params, project.root / TRAINED, LAST, folder)
        write_json(folder / "config.json", {**config, "export": params.export.model_dump()})
        write_json(folder / "parity.json", agreement)
        shutil.copyfile(Path(shipped.__path__[0], "generate.py"), folder / "generate.py")
        write_atomic(folder / "MODEL_CARD.md", model_card(config, report, agreement, last))
    print(f"export: ONNX and PyTorch differ by at most {agreement['max_difference']:.2g}; see {EXPORTED}/MODEL_CARD.md")
    if last:
        print("export: the last weights are as good as the best within the judge's error: generator-last.onnx")


def _export(params: Params, trained: Path, which: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """One generator's weights, ONNX file and samples; gives its configuration, and how far ONNX is from PyTorch."""
    network, config = load_trained(trained, which)
    model = export_onnx(network, params.model.latent, config["labels"], params.export.opset)
    agreement = parity(network, model, params.model.latent, config["labels"], params.export.tolerance)
    shutil.copyfile(trained / f"{which}.safetensors", folder / f"{which}.safetensors")
    write_atomic(folder / f"{which}.onnx", model)
    samples = _samples(Generator(folder / f"{which}.onnx"), params.export.samples, params.seed)
    write_atomic(folder / f"{which.replace('generator', 'samples')}.png", png(samples))
    return config, agreement


def _samples(generator: Generator, count: int, seed: int) -> Image.Image:
    """A grid; where the generator knows labels, with a row for each class of the first, up to ``CLASS_ROWS``."""
    columns = round(count**0.5)
    if not generator.names:
        return grid(generator.pictures(generator.latents(count, seed)), columns)
    name, latents = next(iter(generator.names)), generator.latents(columns, seed)
    asked = [generator.labels([f"{name}={value}"]) for value in generator.classes(name)[:CLASS_ROWS]]
    rows = [generator.pictures(latents, labels) for labels in asked]
    return grid(np.concatenate(rows), columns)


if __name__ == "__main__":
    run_stage(export)
