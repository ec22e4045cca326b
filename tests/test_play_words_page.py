"""Tests the page of `play` in a browser, for a generator with labels."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import axe_playwright_python.sync_playwright as axe
import browser as browser_lib
import numpy as np
import pytest
import small_gan
import soundfile
from playwright import sync_api

import wavegan

pytestmark = pytest.mark.slow
pytest_plugins = ["browser"]

WORDS = ("nine", "Señor & co.", "zero")
SECOND = "Se%C3%B1or%20%26%20co."


@pytest.fixture(scope="module")
def url(browser: sync_api.Browser) -> Iterator[str]:
    """The page, played by untrained weights that know three words."""
    config = wavegan.WaveGANConfig(
        slice_len=4096, dim=2, latent_dim=4, num_labels=len(WORDS)
    )
    with browser_lib.serve(
        small_gan.build(config=config), 16000, WORDS
    ) as address:
        yield address


def picker(page: sync_api.Page, pad: str) -> sync_api.Locator:
    """What chooses the word of a pad."""
    return page.get_by_label(f"Word of Pad {pad}", exact=True)


def label_of(page: sync_api.Page, pad: int) -> str | None:
    """What a screen reader calls a pad."""
    return page.locator(".pad").nth(pad).get_attribute("aria-label")


def test_words_take_turns_until_one_is_chosen(
    page: sync_api.Page, url: str
) -> None:
    assert [label_of(page, i) for i in range(4)] == [
        "Pad 1, nine, seed 0",
        "Pad 2, Señor & co., seed 1",
        "Pad 3, zero, seed 2",
        "Pad 4, nine, seed 3",
    ]
    audio = browser_lib.struck(page, page.locator(".pad").nth(2).click)
    np.testing.assert_array_equal(
        audio, browser_lib.fetch(url, "seed=2&word=zero")[0]
    )
    choice = picker(page, "3")
    assert choice.input_value() == "zero"
    assert choice.locator("option").all_inner_texts() == list(WORDS)
    chosen = browser_lib.struck(page, lambda: choice.select_option(WORDS[1]))
    expected, _ = browser_lib.fetch(url, f"seed=2&word={SECOND}")
    np.testing.assert_array_equal(chosen, expected)
    assert np.abs(chosen - audio).max() > 0.001
    assert label_of(page, 2) == "Pad 3, Señor & co., seed 2"
    sync_api.expect(page.locator("#status")).to_contain_text(WORDS[1])


def test_a_keyboard_is_enough_to_choose_a_word(page: sync_api.Page) -> None:
    label = "document.activeElement.getAttribute('aria-label')"
    page.locator(".pad").nth(0).focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(label) == "Pad Q, Señor & co., seed 4"
    page.keyboard.press("Tab")
    assert page.evaluate(label) == "Word of Pad Q"
    outline = "getComputedStyle(document.activeElement).outlineWidth"
    assert page.evaluate(outline) == "3px"
    browser_lib.struck(page, lambda: page.keyboard.press("ArrowDown"))
    assert picker(page, "Q").input_value() == "zero"
    # A letter chooses a word here, and strikes no pad.
    assert page.evaluate(label) == "Word of Pad Q"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(label) == "Pad Q, zero, seed 4"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "seed"


def test_a_morph_goes_from_word_to_word(page: sync_api.Page, url: str) -> None:
    slider = page.locator("#mix")
    audio = browser_lib.struck(page, lambda: slider.fill("25"))
    query = f"seed=0&to=1&mix=0.25&path=straight&word=nine&to_word={SECOND}"
    np.testing.assert_array_equal(audio, browser_lib.fetch(url, query)[0])
    sync_api.expect(page.locator("#mixed")).to_have_text(
        "25 % of the way from Pad 1 (nine) to Pad 2 (Señor & co.)"
    )


def test_a_reload_a_file_and_the_sequencer_keep_the_words(
    page: sync_api.Page, url: str, tmp_path: pathlib.Path
) -> None:
    browser_lib.struck(page, lambda: picker(page, "1").select_option("zero"))
    assert f"&words=zero/{SECOND}/zero/" in browser_lib.fragment(
        page, "words=zero/"
    )
    page.reload()
    page.locator("#pads[aria-busy=false]").wait_for()
    assert label_of(page, 0) == "Pad 1, zero, seed 0"
    assert picker(page, "1").input_value() == "zero"
    page.get_by_role("button", name="Randomise all").click()
    before = label_of(page, 0)
    assert before and before.startswith("Pad 1, zero, seed ")
    page.locator("#pads[aria-busy=false]").wait_for()
    seed = before.rpartition(" ")[2]
    audio = browser_lib.struck(page, page.locator("#run").click)
    page.locator("#run").click()
    expected, _ = browser_lib.fetch(url, f"seed={seed}&word=zero")
    starts = page.evaluate(
        "window.starts.map(({ buffer }) => buffer.getChannelData(0)[99])"
    )
    assert expected[99, 0] in starts and len(audio) == 4096
    page.locator(".pad").nth(0).click()
    again = page.locator("#again")
    assert again.inner_text() == f"generate --seed {seed} --word zero --n 1"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save WAV").click()
    assert download.value.suggested_filename == f"zero_seed-{seed}.wav"
    download.value.save_as(tmp_path / "saved.wav")
    saved, _ = soundfile.read(tmp_path / "saved.wav", always_2d=True)
    np.testing.assert_array_equal(saved, expected)


def test_words_that_an_address_cannot_mean_are_a_new_pages(
    browser: sync_api.Browser, url: str
) -> None:
    odd = "#words=zero/two/<img src=x>//" + "zero/" * 20
    with browser_lib.watch(browser, url + odd) as page:
        assert [picker(page, key).input_value() for key in "1234Q"] == (
            ["zero", WORDS[1], "zero", "nine", "zero"]
        )


@pytest.mark.parametrize("width", [320, 800, 1280])
def test_axe_finds_nothing_and_every_width_is_enough(
    page: sync_api.Page, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    results = axe.Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = picker(page, "V").bounding_box()
    assert box and box["height"] >= 24 and box["width"] >= 44
