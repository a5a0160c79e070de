"""`make page`: the page of a recording, opened in a real headless Chromium, without a network.

Not part of `make test`, since it needs a browser: Debian's package chromium-headless-shell, or the one that CHROMIUM names.
Where there is none these tests fail; they are never skipped. Each screenshot they take stays in target/page, to be looked at.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # recordings.py

from rondeau.recording import write_page  # noqa: E402

SHOTS = ROOT / "target" / "page"
NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]


@pytest.fixture(scope="session")
def chromium():
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "no Chromium here: apt-get install chromium-headless-shell, or CHROMIUM=/path/to/one"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page in the browser, with what a test asks of it."""

    def __init__(self, page, wrong):
        self.page, self.wrong = page, wrong
        self.lanes, self.strip = page.locator("#lanes"), page.locator("#overview")

    def shot(self, name, **options):
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", **options)

    def settle(self):
        """Two frames: what was asked for is drawn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def shown(self):
        """The range in sight, in words."""
        self.settle()
        return self.strip.get_attribute("aria-valuetext")

    def said(self):
        return self.page.locator("#said").text_content()

    def rows(self):
        self.settle()
        return self.page.locator(".rows .row > :first-child").all_text_contents()

    def pixel(self, x, y):
        """The colour of the lanes' canvas at that CSS pixel."""
        self.settle()
        script = "([x, y]) => [...document.getElementById('lanes').getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
        return tuple(self.page.evaluate(script, [x, y]))

    def colour(self, name):
        """A colour of the style sheet."""
        value = self.page.evaluate("(name) => getComputedStyle(document.documentElement).getPropertyValue(name)", f"--{name}")
        return tuple(int(value.strip()[at : at + 2], 16) for at in (1, 3, 5))


@pytest.fixture
def opened(chromium, tmp_path):
    """`opened(recording)` gives an Opened. At the end: nothing was refused, nothing failed, nothing was fetched."""
    wrong, contexts = [], []

    def open_page(recording, **options):
        path = tmp_path / f"{len(contexts)}.html"
        write_page(recording, path)
        scripts = options.get("java_script_enabled", True)
        context = chromium.new_context(**{"viewport": {"width": 1440, "height": 1000}, "color_scheme": "light", **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("request", lambda request: wrong.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        if scripts:
            page.wait_for_selector("html[data-ready]")
        return Opened(page, wrong)

    yield open_page
    for context in contexts:
        context.close()
    ours = ("data:image/svg+xml,", "Canvas2D: Multiple readback")  # The page's icon; what pixel() does.
    assert [text for text in wrong if not text.startswith(ours)] == []
