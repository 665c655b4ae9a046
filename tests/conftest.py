"""What every test may use: the parameters of the base recipe, and pictures made in memory."""

import io
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image
from tracking import made

from facegan.data.pictures import PictureSet
from facegan.params import Params
from facegan.params_yaml import parse_params

ROOT = Path(__file__).parents[1]

# The same examples every time, so that a red test is red for everyone; no deadline, as a busy machine is no defect.
settings.register_profile("facegan", derandomize=True, deadline=None)
settings.load_profile("facegan")

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Threads that wait for each other are slow on a busy machine. Here, so that fixtures of a module have one too.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For the next test too, whatever this one sets."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def head_start(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What takes long is made beside the first tests, when there are tests that need it."""
    if any("project_root" in item.fixturenames for item in request.session.items if isinstance(item, pytest.Function)):
        made.begin_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def project_root() -> Path:
    """A project with the outputs of every stage; not to be changed."""
    return made.made_project()


@pytest.fixture(scope="session")
def base_recipe() -> str:
    """The text of a valid ``params.yaml``."""
    return (ROOT / "recipes" / "base.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def params(base_recipe: str) -> Params:
    return parse_params(base_recipe)


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """The bytes of a picture file: ``encode(image, "PNG", **options of Image.save)``."""

    def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
        content = io.BytesIO()
        image.save(content, format, **options)
        return content.getvalue()

    return encoded


@pytest.fixture(scope="session")
def noise() -> Callable[..., Image.Image]:
    """A picture like no other for each number: ``noise(7, (48, 32))`` is 48 pixels wide."""

    def drawn(number: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
        return Image.fromarray(pixels)

    return drawn


@pytest.fixture(scope="session")
def picture_set() -> Callable[..., PictureSet]:
    """A source that holds the given files: ``picture_set({"a.png": b"..."}, labels, unreadable)``."""

    def held(
        files: Mapping[str, bytes],
        labels: Mapping[str, Mapping[str, str]] | None = None,
        unreadable: Mapping[str, str] | None = None,
    ) -> PictureSet:
        return PictureSet(
            names=tuple(sorted(files)),
            read=files.__getitem__,
            labels=labels or {},
            description={"source": "test", "licence": None},
            unreadable=unreadable or {},
        )

    return held
