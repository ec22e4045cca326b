"""Tests the page of `play` in a browser: accessibility, all generators."""

from __future__ import annotations

import pathlib
from typing import Any

import axe_playwright_python.sync_playwright as axe
import browser as browser_lib
import command_runner
import numpy as np
import pytest
import small_gan
from playwright import sync_api

import specgan
import wavegan
from modes import latents
from networks import spectrogram
from training import config as config_lib
from training import train_dir, weights

pytestmark = pytest.mark.slow
pytest_plugins = ["browser"]


# Everybody --------------------------------------------------------------


def test_a_keyboard_is_enough(page: sync_api.Page) -> None:
    focused = """() => { const at = document.activeElement;
      const style = getComputedStyle(at);
      return [at.id || at.className || at.getAttribute("aria-label") || "",
              style.outlineStyle, style.outlineWidth,
              at.matches(":focus-visible")]; }"""
    seen: list[str] = []
    while True:
        page.keyboard.press("Tab")
        name, style, width, visible = page.evaluate(focused)
        if name in seen or name == "":
            break
        assert (style, width, visible) == ("solid", "3px", True), name
        seen.append(name)
    assert seen == (
        ["volume", "keys", "save-kit", "all", "pad", "Word of Pad 1"]
        + ["seed", "copy", "fresh", "keep", "save", "path", "from", "mix"]
        + ["to", "morph", "save-morph", "midi", "run", "tempo", "voice"]
        + ["clear", "save-loop", "step"]
    )
    page.locator(".pad").nth(0).focus()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    label = "document.activeElement.getAttribute('aria-label')"
    name = f"Pad W, {browser_lib.WORDS[5]}, seed 5"
    assert page.evaluate(label) == name
    assert (
        np.abs(
            browser_lib.struck(page, lambda: page.keyboard.press("Enter"))
        ).max()
        > 0
    )
    page.keyboard.press("k")
    assert page.evaluate(label) == f"{name}, kept"
    browser_lib.struck(page, lambda: page.keyboard.press("n"))
    browser_lib.struck(page, lambda: page.keyboard.press("m"))
    page.locator("#mix").focus()
    browser_lib.struck(page, lambda: page.keyboard.press("ArrowRight"))
    assert page.locator("#mix").input_value() == "51"
    page.locator(".step").nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.locator(".step").nth(1).get_attribute("aria-pressed") == "true"
    browser_lib.struck(page, lambda: page.keyboard.press("p"))
    page.keyboard.press("p")
    # What is typed plays nothing, nor do keys that were switched off.
    page.wait_for_timeout(300)
    silent = browser_lib.count(page)
    page.locator("#seed").press("1")
    page.locator("#seed").press("Backspace")
    page.locator("#keys").press("Enter")
    page.keyboard.press("1")
    page.wait_for_timeout(100)
    assert browser_lib.count(page) == silent


@pytest.mark.parametrize("width", [320, 800, 1280])
def test_axe_finds_nothing_and_every_width_is_enough(
    page: sync_api.Page, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    results = axe.Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    page.locator(".pad").nth(1).click()
    page.keyboard.press("k")
    page.locator("#run").click()
    page.wait_for_timeout(300)
    results = axe.Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# Other generators -------------------------------------------------------


def release(
    path: pathlib.Path, model: Any, config: Any, sample_rate: int
) -> None:
    """Writes untrained weights as a train dir that others can play."""
    path.mkdir()
    run = config_lib.RunConfig(config).replace(sample_rate=sample_rate)
    train_dir.TrainDir(path).write_config(run)
    for name, network in (
        (weights.GENERATOR, model.generator),
        ("discriminator.npz", model.discriminator),
    ):
        (path / name).write_bytes(weights.pack(network, 1))


@pytest.mark.parametrize(
    ("channels", "rate", "heard_channels", "words"),
    [
        (2, 48000, 2, "2 channels, 48 kHz"),
        (6, 44100, 1, "6 channels, 44.1 kHz"),
        (1, 2000, 1, "mono, 2 kHz"),
    ],
)
def test_all_rates_and_channels_sound(
    browser: sync_api.Browser,
    channels: int,
    rate: int,
    heard_channels: int,
    words: str,
) -> None:
    config = wavegan.WaveGANConfig(
        slice_len=4096, channels=channels, dim=1, latent_dim=4
    )
    model = small_gan.build(config=config)
    expected = model.generate(latents.sample_z(1, 4, 2)).numpy()[0]
    if channels > 2:  # more than loudspeakers
        expected = expected.mean(axis=1, keepdims=True)
    with (
        browser_lib.serve(model, rate) as url,
        browser_lib.watch(browser, url) as page,
    ):
        audio = browser_lib.struck(page, page.locator(".pad").nth(2).click)
        np.testing.assert_allclose(audio, expected, atol=1e-4)
        assert audio.shape == (4096, heard_channels)
        sync_api.expect(page.locator("#about")).to_contain_text(words)
        # No browser plays a buffer of 2 kHz: one of 8, four times as slowly.
        seconds = page.evaluate(
            "window.starts.at(-1).buffer.duration / window.starts.at(-1).speed"
        )
        assert seconds == pytest.approx(4096 / rate)


def test_specgan_is_played_too(
    browser: sync_api.Browser, tmp_path: pathlib.Path
) -> None:
    config = specgan.SpecGANConfig(dim=1, latent_dim=4, iterations=2)
    model: Any = type("Networks", (), {})
    model.generator = specgan.build_generator(config)
    model.discriminator = specgan.build_discriminator(config)
    release(tmp_path / "t", model, config, 16000)
    zeros = np.zeros(spectrogram.NUM_BINS, np.float32)
    spectrogram.Moments(zeros - 3, zeros + 1).save(tmp_path / "t/moments.npz")
    with (
        command_runner.play(tmp_path / "t", program="train_specgan.py") as (
            _,
            url,
        ),
        browser_lib.watch(browser, url) as page,
    ):
        audio = browser_lib.struck(page, lambda: page.keyboard.press("z"))
        assert audio.shape == (16384, 1)
        assert np.abs(audio).max() > 0
        np.testing.assert_array_equal(
            audio, browser_lib.fetch(url, "seed=12")[0]
        )
