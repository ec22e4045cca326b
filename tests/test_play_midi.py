"""Tests that MIDI devices play the pads of the page of `play`."""

from __future__ import annotations

import functools
import re

import axe_playwright_python.sync_playwright as axe
import browser as browser_lib
import numpy as np
import pytest
from playwright import sync_api

from modes import kit

pytestmark = pytest.mark.slow
pytest_plugins = ["browser"]

# Devices that tests plug in and play, and the gain of each sound that starts.
DEVICES = """
  window.requests = [];
  window.gains = [];
  const inputs = new Map();
  const access = { inputs, onstatechange: null };
  const tell = () => access.onstatechange?.({});
  window.plug = (name) => {
    inputs.set(name, { name, state: "connected", onmidimessage: null });
    tell();
  };
  window.unplug = (name) => {
    inputs.get(name).state = "disconnected";
    tell();
  };
  window.send = ([name, ...bytes]) => inputs.get(name)
    .onmidimessage({ data: Uint8Array.from(bytes) });
  navigator.requestMIDIAccess = async (options) => {
    window.requests.push(options ?? null);
    return access;
  };
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...rest) {
    if (this instanceof AudioBufferSourceNode) {
      window.gains.push(to.gain.value);
    }
    return connect.call(this, to, ...rest);
  };
"""
FIRST = kit.FIRST_NOTE  # the pads have the notes of a kit
NOTE_ON, NOTE_OFF, CONTROL = 0x90, 0x80, 0xB0


def status(page: sync_api.Page) -> sync_api.LocatorAssertions:
    """What the page says of MIDI, as something to expect of it."""
    return sync_api.expect(page.locator("#midi-status"))


def test_notes_of_a_device_play_the_pads_as_loud_as_they_are_struck(
    browser: sync_api.Browser, url: str
) -> None:
    with browser_lib.watch(browser, url, DEVICES) as page:
        status(page).to_have_text("MIDI is available, and not connected yet.")
        page.evaluate("plug('Pads 16')")
        assert page.evaluate("requests") == [], "asked before a click"
        button = page.get_by_role("button", name="Connect MIDI")
        button.click()
        status(page).to_have_text("Connected: Pads 16.")
        button.click()
        assert page.evaluate("requests") == [None], (
            "asked for no more than MIDI"
        )
        sync_api.expect(page.locator("#midi-notes")).to_contain_text(
            f"Notes {FIRST} to {FIRST + 15} play the pads from 1 to V"
        )
        # Each note plays its pad once, on any channel.
        for pad, velocity, channel in ((0, 127, 0), (5, 64, 9), (15, 1, 15)):
            message = ["Pads 16", NOTE_ON | channel, FIRST + pad, velocity]
            before = browser_lib.count(page)
            audio = browser_lib.struck(
                page, functools.partial(page.evaluate, "send", message)
            )
            assert browser_lib.count(page) == before + 1
            query = browser_lib.query(pad, pad=pad)
            np.testing.assert_array_equal(
                audio, browser_lib.fetch(url, query)[0]
            )
            gain = page.evaluate("gains.at(-1)")
            assert gain == pytest.approx((velocity / 127) ** 2)
            current = page.locator(".pad[aria-current=true]")
            label = current.get_attribute("aria-label")
            assert label and label.endswith(f"seed {pad}")
        # A click is as loud as the hardest note.
        browser_lib.struck(page, page.locator(".pad").nth(3).click)
        assert page.evaluate("gains.at(-1)") == 1


def test_other_messages_play_nothing(
    browser: sync_api.Browser, url: str
) -> None:
    with browser_lib.watch(browser, url, DEVICES) as page:
        page.evaluate("plug('Keys')")
        page.locator("#midi").click()
        status(page).to_have_text("Connected: Keys.")
        for message in (
            (NOTE_ON, 35, 100),
            (NOTE_ON, 52, 100),
            (NOTE_ON, 40, 0),  # the end of a note
            (NOTE_OFF, 40, 100),
            (CONTROL, 40, 100),
            (0xF8,),  # the clock
        ):
            page.evaluate("send", ["Keys", *message])
        assert browser_lib.count(page) == 0
        page.evaluate("send", ["Keys", NOTE_ON, 40, 100])
        assert browser_lib.count(page) == 1


def test_devices_come_and_go(browser: sync_api.Browser, url: str) -> None:
    with browser_lib.watch(browser, url, DEVICES) as page:
        page.locator("#midi").click()
        status(page).to_contain_text("No device is connected")
        page.evaluate("plug('Keys')")
        status(page).to_have_text("Connected: Keys.")
        page.evaluate("plug('')")
        status(page).to_have_text("Connected: Keys, a device without a name.")
        for name in ("Keys", ""):
            before = browser_lib.count(page)
            page.evaluate("send", [name, NOTE_ON, 36, 100])
            assert browser_lib.count(page) == before + 1, name
        page.evaluate("unplug('Keys')")
        status(page).to_have_text("Connected: a device without a name.")
        page.evaluate("unplug('')")
        status(page).to_contain_text("No device is connected")


@pytest.mark.parametrize("width", [1280, 400])
def test_names_of_any_length_move_nothing(
    browser: sync_api.Browser, url: str, width: int
) -> None:
    heights = """() => [...document.querySelectorAll("section, .pad")]
      .map((el) => [el.className, el.getBoundingClientRect().height])"""
    with browser_lib.watch(browser, url, DEVICES) as page:
        page.set_viewport_size({"width": width, "height": 800})
        before = page.evaluate(heights)
        page.locator("#midi").click()
        for i in range(12):
            page.evaluate("plug", f"A controller with a long name, number {i}")
        status(page).to_contain_text("number 11")
        assert page.evaluate(heights) == before
        assert axe.Axe().run(page).violations_count == 0
        scroll_width = "document.documentElement.scrollWidth"
        assert page.evaluate(scroll_width) <= width


def test_a_refusal_is_one_line_and_can_be_undone(
    browser: sync_api.Browser, url: str
) -> None:
    # This browser refuses by itself, since nobody can answer its question.
    with browser_lib.watch(browser, url) as page:
        page.locator("#midi").click()
        status(page).to_have_text(re.compile("^The browser refused MIDI: .*"))
        page.evaluate(
            """() => { navigator.requestMIDIAccess = async () =>
              ({ inputs: new Map([[1, { name: "Keys", state: "connected" }]]) })
            }"""
        )
        page.locator("#midi").click()
        status(page).to_have_text("Connected: Keys.")


@pytest.mark.parametrize(
    ("script", "words", "enabled"),
    [
        (
            "delete Navigator.prototype.requestMIDIAccess",
            "This browser has no Web MIDI.",
            False,
        ),
        (
            "navigator.requestMIDIAccess = () => Promise.reject("
            "new DOMException('No driver.', 'InvalidStateError'))",
            "MIDI cannot be used: No driver.",
            True,
        ),
    ],
)
def test_a_browser_without_midi_is_reported_in_one_line(
    browser: sync_api.Browser, url: str, script: str, words: str, enabled: bool
) -> None:
    with browser_lib.watch(browser, url, script) as page:
        assert page.locator("#midi").is_enabled() == enabled
        if enabled:
            page.locator("#midi").click()
        status(page).to_have_text(words)
        assert axe.Axe().run(page).violations_count == 0
        # The rest of the page works as ever.
        browser_lib.struck(page, page.locator(".pad").nth(0).click)
