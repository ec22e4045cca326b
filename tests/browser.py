"""Fixtures that open the page of `play` in a real browser.

A module of tests says `pytest_plugins = ["browser"]` for the fixtures.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import command_runner
import numpy as np
import pytest
import soundfile
import waitress
from playwright import sync_api
from waitress import wasyncore

import gan as gan_lib
import wavegan
from modes import play
from system import browser as browser_lib
from training import train_dir, weights

# What `play --pretrained` says, in the order of the pads, and at which rate.
CONFIG = train_dir.TrainDir(weights.FOLDER).read_config(wavegan.WaveGANConfig)
WORDS, RATE = CONFIG.data.words, CONFIG.data.sample_rate

MISSING = (
    "NO CHROMIUM HERE: THE PAGE OF `play` WAS NOT TESTED. Install it "
    "(Debian: apt-get install chromium), then run the tests again"
)


@pytest.fixture(scope="session")
def browser() -> Iterator[sync_api.Browser]:
    """A headless Chromium."""
    if browser_lib.find_browser() is None:
        pytest.skip(MISSING)
    with browser_lib.browse() as opened:
        yield opened


@pytest.fixture(scope="session")
def url(browser: sync_api.Browser) -> Iterator[str]:
    """The page, played by the weights that come with the program."""
    with command_runner.play("--pretrained") as (_, address):
        yield address


@pytest.fixture
def page(browser: sync_api.Browser, url: str) -> Iterator[sync_api.Page]:
    """A fresh page; whatever it logs or fetches elsewhere is a failure."""
    with watch(browser, url) as opened:
        yield opened


@contextlib.contextmanager
def watch(
    browser: sync_api.Browser, url: str, script: str = ""
) -> Iterator[sync_api.Page]:
    """Opens a page that must log nothing and ask nobody else.

    Args:
      browser: A headless Chromium.
      url: Of the page.
      script: Runs before the scripts of the page.
    """
    said: list[str] = []
    asked: list[str] = []
    context = browser.new_context(viewport=browser_lib.VIEW)
    context.add_init_script(script)
    context.on("console", lambda message: said.append(message.text))
    context.on("weberror", lambda error: said.append(str(error.error)))
    context.on("request", lambda request: asked.append(request.url))
    try:
        yield browser_lib.open_page(context, url)
    finally:
        context.close()
    assert not said
    home = url.partition("#")[0]
    assert asked
    assert all(name.startswith((home, f"blob:{home}")) for name in asked), asked


@contextlib.contextmanager
def serve(
    model: gan_lib.GAN, sample_rate: int, words: Sequence[str] = ()
) -> Iterator[str]:
    """Serves the page within this process; yields its address."""
    with socket.create_server((play.HOST, 0)) as listener:
        port = listener.getsockname()[1]
        about = {
            "name": "x",
            "model": "wavegan",
            "step": 1,
            "sample_rate": sample_rate,
            "channels": model.generator.output_shape[-1],
            "words": list(words),
        }
        instrument = play.Instrument(model, sample_rate, words)
        app = play.make_app(instrument, about, port)
        watched: dict[int, Any] = {}
        server = waitress.create_server(app, map=watched, sockets=[listener])
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield f"http://{play.HOST}:{port}/"
        finally:
            # Its own thread closes the sockets, or it would go on to watch
            # their numbers, which the next server's sockets may have.
            server.trigger.pull_trigger(lambda: wasyncore.close_all(watched))
            thread.join()
            server.task_dispatcher.shutdown()


def query(seed: int | str, pad: int) -> str:
    """The query of a clip that says the word that is a pad's at first."""
    return f"seed={seed}&word={WORDS[pad % len(WORDS)]}"


def fetch(url: str, query: str) -> tuple[np.ndarray, int]:
    """A clip as the server makes it: samples `[slice_len, channels]`, rate."""
    with urllib.request.urlopen(f"{url}clip?{query}") as answer:
        return soundfile.read(io.BytesIO(answer.read()), always_2d=True)


def count(page: sync_api.Page) -> int:
    """How many sounds were started."""
    return page.evaluate("window.starts.length")


def heard(page: sync_api.Page) -> np.ndarray:
    """The samples of the last sound started, `[slice_len, channels]`."""
    samples = page.evaluate(
        """() => { const { buffer } = window.starts.at(-1);
          return Array.from({ length: buffer.numberOfChannels },
            (_, i) => [...buffer.getChannelData(i)]); }"""
    )
    return np.array(samples).T


def struck(page: sync_api.Page, act: Callable[[], object]) -> np.ndarray:
    """What sounds when something is done."""
    before = count(page)
    act()
    browser_lib.wait_for_start(page, before + 1)
    return heard(page)


def fragment(page: sync_api.Page, words: str) -> str:
    """The address's fragment, once it has those words in it."""
    sync_api.expect(page).to_have_url(re.compile(re.escape(words)))
    return page.url.partition("#")[2]
