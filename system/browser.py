"""Opens web pages in a headless Chromium and records the sounds they start.

Playwright, which this needs, is in requirements-dev.txt.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator

from playwright import sync_api

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
VIEW = sync_api.ViewportSize(width=1280, height=800)
# Script that records each start of a sound without changing the page.
HOOK = """
  window.starts = [];
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when = 0, offset = 0) {
    window.starts.push({
      at: performance.now(), when, offset, now: this.context.currentTime,
      buffer: this.buffer, speed: this.playbackRate.value,
    });
    return start.call(this, when, offset);
  };
  addEventListener("pointerdown", (e) => { window.down = e.timeStamp; }, true);
  addEventListener("click", (e) => { window.clicked = e.timeStamp; }, true);
"""


def find_browser() -> str | None:
    """Returns the path of a Chromium browser, or None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextlib.contextmanager
def browse() -> Iterator[sync_api.Browser]:
    """Runs a headless browser within the context.

    Raises:
      FileNotFoundError: There is no browser.
    """
    program = find_browser()
    if program is None:
        raise FileNotFoundError(
            "no Chromium on this machine: apt-get install chromium"
        )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


def open_page(
    where: sync_api.Browser | sync_api.BrowserContext, url: str
) -> sync_api.Page:
    """Opens the page and waits until all pads have their clips."""
    page = where.new_page()
    page.add_init_script(HOOK)
    page.goto(url)
    page.locator("#pads[aria-busy=false]").wait_for()
    return page


def wait_for_start(page: sync_api.Page, count: int) -> None:
    """Waits until this number of sounds has started."""
    # wait_for_function would evaluate text in the page, which the page's
    # security policy forbids.
    deadline = time.monotonic() + 10
    while page.evaluate("window.starts.length") < count:
        if time.monotonic() > deadline:
            raise TimeoutError("no sound within 10 s of a click")
