"""What a person sees: MLflow's run table, charts and image slider, and our pages, in headless Chromium."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import BIN, Clone
from playwright.sync_api import Locator, Page, expect, sync_playwright
from servers import free_port, serving

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 90_000  # ms


@pytest.fixture
def page() -> Iterator[Page]:
    assert CHROMIUM, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        opened = browser.new_page(viewport={"width": 1400, "height": 1000})
        opened.set_default_timeout(PATIENCE)
        yield opened
        browser.close()


def test_mlflow_shows_the_run_its_curves_and_its_grids_over_time(finished: Clone, page: Page, tmp_path: Path) -> None:
    (run,) = finished.runs()
    port = free_port()
    ui = [str(BIN / "mlflow"), "ui", "--backend-store-uri", f"sqlite:///{finished.root}/mlflow.db", "--port", str(port)]
    with serving([*ui, "--workers", "1"], port, tmp_path / "ui.log"):
        address = f"http://127.0.0.1:{port}/#/experiments/{run.info.experiment_id}/runs"
        page.goto(address)
        expect(page.get_by_text(run.info.run_name).first).to_be_visible(timeout=PATIENCE)
        page.goto(f"{address}/{run.info.run_id}/model-metrics")
        page.mouse.move(500, 700)
        for name in ("d_fake", "fd_face", "loss_generator", "score"):
            scroll_to(page, page.get_by_text(name, exact=True))
        steps = {path.stem.lstrip("0") or "0" for path in (finished.root / "reports/train/samples").glob("*.png")}
        slider = page.locator('[role="slider"][aria-valuemax="960"][aria-valuenow="0"]')
        scroll_to(page, slider)
        handle = slider.element_handle()
        assert handle is not None
        seen = {"0"}
        for _ in range(len(steps) - 1):
            handle.focus()
            page.keyboard.press("ArrowRight")
            step = str(handle.get_attribute("aria-valuenow"))
            picture = page.locator(f'img[src*="images%2Fsamples%2Bstep%2B{step}%2B"]')
            expect(picture).to_have_js_property("complete", True, timeout=PATIENCE)
            assert picture.evaluate("image => image.naturalWidth") > 0
            seen.add(step)
        assert seen == steps


def scroll_to(page: Page, wanted: Locator) -> None:
    """MLflow draws a chart when it comes into view."""
    for _ in range(300):
        if wanted.count():
            return
        page.mouse.wheel(0, 600)
        page.wait_for_timeout(200)
    raise AssertionError(f"{wanted} is nowhere on the page")


@pytest.mark.parametrize("width", [390, 1400])
def test_our_pages_fit_the_screen_and_ask_for_nothing_else(
    finished: Clone, page: Page, tmp_path: Path, width: int
) -> None:
    comparison = tmp_path / "compare.html"
    finished.run("facegan", "compare", "--out", str(comparison))
    page.set_viewport_size({"width": width, "height": 800})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    grids = len(list((finished.root / "reports/train/samples").glob("*.png")))
    for path, pictures in ((finished.root / "reports/evaluate/index.html", 7 + grids), (comparison, 1)):
        page.goto(path.as_uri())
        drawn = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
        assert drawn == [True] * pictures
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert all(url.startswith(("file:", "data:")) for url in asked)


def test_the_slider_of_the_report_goes_through_the_training(finished: Clone, page: Page) -> None:
    page.set_viewport_size({"width": 800, "height": 800})
    page.goto((finished.root / "reports/evaluate/index.html").as_uri())
    first, last = (page.locator("#strip img").nth(place) for place in (0, -1))
    slider = page.locator("#time")
    slider.scroll_into_view_if_needed()
    expect(first).to_be_in_viewport()
    expect(last).not_to_be_in_viewport()
    slider.fill("1000")
    expect(last).to_be_in_viewport()
    expect(first).not_to_be_in_viewport()
