"""What a person sees: MLflow's run table, charts and image slider, and our pages, in headless Chromium."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Clone
from playwright.sync_api import Page, sync_playwright

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


@pytest.mark.parametrize("width", [390, 1400])
def test_our_pages_fit_the_screen_and_ask_for_nothing_else(
    finished: Clone, page: Page, tmp_path: Path, width: int
) -> None:
    comparison = tmp_path / "compare.html"
    finished.run("facegan", "compare", "--out", str(comparison))
    page.set_viewport_size({"width": width, "height": 800})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path, pictures in ((finished.root / "reports/evaluate/index.html", 3), (comparison, 1)):
        page.goto(path.as_uri())
        drawn = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
        assert drawn == [True] * pictures
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert all(url.startswith(("file:", "data:")) for url in asked)
