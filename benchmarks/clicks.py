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
import pathlib
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
from playwright import sync_api

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import machine
from system import browser, console

ROOT = pathlib.Path(__file__).resolve().parent.parent


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


def measure_cached(page: sync_api.Page, clicks: int) -> list[float]:
    """Measures milliseconds from a click on a pad to its sound."""
    delays = []
    for i in range(clicks):
        count = page.evaluate("window.starts.length")
        page.locator(".pad").nth(i % 16).click()
        browser.wait_for_start(page, count + 1)
        delays.append(page.evaluate("window.starts.at(-1).at - window.down"))
    return delays


def measure_fresh(page: sync_api.Page, clicks: int) -> list[float]:
    """Measures milliseconds from a click on "New sound" to the new sound."""
    delays = []
    for _ in range(clicks):
        count = page.evaluate("window.starts.length")
        page.locator("#fresh").click()
        browser.wait_for_start(page, count + 1)
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
    with serve() as url, browser.browse() as opened:
        page = browser.open_page(opened.new_context(viewport=browser.VIEW), url)
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
