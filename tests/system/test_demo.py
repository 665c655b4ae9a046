"""The demo, clicked through in headless Chromium at the width of a desk and of a phone."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import BIN, Clone
from PIL import Image
from playwright.sync_api import Error, Page, expect, sync_playwright
from servers import free_port, serving

from facegan.exporting.shipped.generate import Generator

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PHONE = {"width": 390, "height": 844}
SIZES = {"desk": {"width": 1280, "height": 900}, "phone": PHONE}


@pytest.fixture(scope="module")
def address(finished: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = ["env", f"--chdir={finished.root}", str(BIN / "facegan"), "demo", "--port", str(port)]
    with serving(command, port, tmp_path_factory.mktemp("demo") / "demo.log", finished.env()):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, address: str) -> Iterator[Page]:
    assert CHROMIUM, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        opened = browser.new_page(viewport=SIZES[request.param])
        opened.set_default_timeout(60_000)
        opened.goto(address)
        expect(picture(opened)).to_be_visible(timeout=60_000)
        yield opened
        browser.close()


def picture(page: Page):  # type: ignore[no-untyped-def]
    """The one that is shown; other tabs have theirs too."""
    return page.locator('[data-testid="stImage"] img').locator("visible=true").first


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def downloaded(page: Page, button: str) -> bytes:
    for again in (True, True, False):
        page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
        with page.expect_download() as waiting:
            page.get_by_role("button", name=button).locator("visible=true").first.click()
        try:
            return Path(waiting.value.path()).read_bytes()
        except Error:  # Streamlit took the file away with a run of the page that began just now
            if not again:
                raise
    raise AssertionError


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"), np.int16)


def slide(page: Page, name: str, value: float) -> None:
    """Presses of a key are lost while Streamlit draws the page again: press until the slider is there, and stays."""
    slider = page.get_by_role("slider", name=name)
    before = picture(page).get_attribute("src")
    for _ in range(200):
        page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
        now = float(slider.input_value())
        if now == pytest.approx(value):
            break
        slider.press("ArrowRight" if now < value else "ArrowLeft")
        page.wait_for_timeout(100)
    else:
        raise AssertionError(f"{name} is at {now}, not at {value}")
    page.wait_for_function("old => [...document.images].every(image => image.getAttribute('src') != old)", arg=before)


def seed(page: Page, value: int) -> None:
    field = page.get_by_label("Seed", exact=True)
    if not field.is_visible():  # on a phone what to draw is behind a button
        page.get_by_test_id("stExpandSidebarButton").click()
    before = picture(page).get_attribute("src")
    field.fill(str(value))
    field.press("Enter")
    page.wait_for_function("old => [...document.images].every(image => image.getAttribute('src') != old)", arg=before)
    if page.get_by_test_id("stSidebarHeader").is_visible() and page.viewport_size == PHONE:  # or it closed by itself
        page.get_by_test_id("stSidebarHeader").hover()
        page.get_by_test_id("stSidebarCollapseButton").locator("button").click()


def test_a_face_is_that_of_its_seed_and_moves_along_directions(page: Page, finished: Clone) -> None:
    generator = Generator(finished.root / "models/export/generator.onnx")
    seed(page, 7)
    face = pixels(downloaded(page, "Download PNG"))
    expected = Image.fromarray(generator.pictures(generator.latents(1, 7))[0]).resize(
        (320, 320), Image.Resampling.BICUBIC
    )
    assert np.array_equal(face, np.asarray(expected))
    page.get_by_text("Move along what changes pictures most").click()
    slide(page, "Direction 1", 1)
    assert not np.array_equal(pixels(downloaded(page, "Download PNG")), face)
    assert no_overflow(page)


def test_a_grid_a_mixture_and_the_card(page: Page) -> None:
    tab(page, "A grid")
    assert pixels(downloaded(page, "Download PNG")).shape == (172, 172, 3)  # 5 x 5 of 32
    tab(page, "Mix two")
    slide(page, "How much of it", 0.55)
    expect(page.get_by_text("45% of it with 55% of the other").first).to_be_visible()
    assert no_overflow(page)
    tab(page, "Model card")
    expect(page.get_by_role("heading", name="Face generator, 32x32")).to_be_visible()
    assert no_overflow(page)


def test_a_walk_plays_and_can_be_kept(page: Page) -> None:
    tab(page, "A walk")
    page.get_by_role("button", name="Draw the walk").click()
    video = page.locator("video")
    expect(video).to_be_visible(timeout=60_000)
    content = downloaded(page, "Download MP4")
    with av.open(io.BytesIO(content)) as film:
        assert len(list(film.decode(video=0))) == 4 * 16


def test_whether_it_is_copying_is_shown_beside_training_pictures(page: Page) -> None:
    tab(page, "Is it copying?")
    page.get_by_role("button", name="Find the nearest training pictures").click()
    expect(page.get_by_text("of the distance of the next five")).to_be_visible(timeout=60_000)
    assert no_overflow(page)


def no_overflow(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
