r"""Measures the time from a click on a pad of the page of `play` to its sound.

  python benchmarks/clicks.py
  python benchmarks/clicks.py --picture docs/play.png

It runs a headless Chromium (Debian: `apt-get install chromium`) with the
weights that come with the program. Times are from the click's own time stamp to
the call that starts the sound: for pads whose clip is loaded, and for new
seeds, whose clip has to be requested, generated, sent and decoded. With
`--picture` it saves a picture of the page while it plays, and measures nothing.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from playwright import sync_api

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import machine
from system import console

ROOT = pathlib.Path(__file__).resolve().parent.parent
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


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """Runs the command `play --pretrained` and yields its address."""
    command = [str(ROOT / "train_wavegan.py"), "play", "--pretrained"]
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[2]
        finally:
            process.send_signal(signal.SIGINT)


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


def measure_cached(page: sync_api.Page, clicks: int) -> list[float]:
    """Measures milliseconds from a click on a pad to its sound."""
    delays = []
    for i in range(clicks):
        count = page.evaluate("window.starts.length")
        page.locator(".pad").nth(i % 16).click()
        wait_for_start(page, count + 1)
        delays.append(page.evaluate("window.starts.at(-1).at - window.down"))
    return delays


def measure_fresh(page: sync_api.Page, clicks: int) -> list[float]:
    """Measures milliseconds from a click on "New sound" to the new sound."""
    delays = []
    for _ in range(clicks):
        count = page.evaluate("window.starts.length")
        page.locator("#fresh").click()
        wait_for_start(page, count + 1)
        delays.append(page.evaluate("window.starts.at(-1).at - window.clicked"))
    return delays


def take_picture(page: sync_api.Page, path: pathlib.Path) -> None:
    """Saves a picture of the page while it plays."""
    page.locator(".pad").nth(2).click()
    page.locator("#keep").click()
    page.locator("#run").click()
    page.locator(".pad").nth(0).click()
    page.wait_for_timeout(1700)
    page.screenshot(path=path, full_page=True)
    print(path)


def main(arguments: argparse.Namespace) -> None:
    """Measures and prints the times, or saves a picture."""
    with serve() as url, browse() as browser:
        page = open_page(browser.new_context(viewport=VIEW), url)
        if arguments.picture:
            take_picture(page, arguments.picture)
            return
        print(machine.describe())
        for name, measure in (
            ("a pad", measure_cached),
            ("a new sound", measure_fresh),
        ):
            delays = measure(page, arguments.clicks)
            print(
                f"{name}: median {statistics.median(delays):.1f} ms, 95% "
                f"within {np.quantile(delays, 0.95):.1f} ms, at most "
                f"{max(delays):.1f} ms; {len(delays)} clicks"
            )


if __name__ == "__main__":
    parser = console.Parser("clicks.py", __doc__)
    parser.add_argument("--clicks", type=console.positive, default=100)
    parser.add_argument("--picture", type=pathlib.Path)
    console.run(parser, main)
