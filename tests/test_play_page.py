"""Tests the page of `play` in a browser: what it plays and remembers."""

from __future__ import annotations

import functools
import pathlib

import browser as browser_lib
import command_runner
import numpy as np
import pytest
import soundfile
from playwright import sync_api

from system import browser as headless

pytestmark = pytest.mark.slow
pytest_plugins = ["browser"]


# Sound ------------------------------------------------------------------


def test_pads_sound_by_click_and_by_key(page: sync_api.Page, url: str) -> None:
    pads = page.locator(".pad")
    assert pads.count() == 16
    for seed, act in (
        (0, pads.nth(0).click),
        (15, pads.nth(15).click),
        (4, lambda: page.keyboard.press("q")),
        (15, lambda: page.keyboard.press("v")),
        (2, lambda: page.keyboard.press("3")),
    ):
        audio = browser_lib.struck(page, act)
        assert np.abs(audio).max() > 0.1, seed
        query = browser_lib.query(seed, pad=seed)
        expected, rate = browser_lib.fetch(url, query)
        np.testing.assert_array_equal(audio, expected)
        buffer_rate = "window.starts.at(-1).buffer.sampleRate"
        assert page.evaluate(buffer_rate) == rate == browser_lib.RATE
        name = page.locator(".pad[aria-current=true]").get_attribute(
            "aria-label"
        )
        assert name and name.endswith(f"seed {seed}")
    # Asked at once: a clip lasts a second, and a busy machine takes its time.
    page.keyboard.press("3")
    page.locator(".pad.sounding").first.wait_for()


def test_a_typed_seed_and_a_new_one_are_played(
    page: sync_api.Page, url: str
) -> None:
    seed = page.get_by_label("Seed", exact=True)

    def type_seed() -> None:
        seed.fill("123456")
        seed.press("Enter")

    audio = browser_lib.struck(page, type_seed)
    query = browser_lib.query(123456, pad=0)
    np.testing.assert_array_equal(audio, browser_lib.fetch(url, query)[0])
    audio = browser_lib.struck(page, page.locator("#fresh").click)
    new = seed.input_value()
    assert new != "123456"
    query = browser_lib.query(new, pad=0)
    np.testing.assert_array_equal(audio, browser_lib.fetch(url, query)[0])
    seed.fill("3e5")
    seed.press("Enter")
    sync_api.expect(page.locator("#status")).to_contain_text("whole number")
    assert seed.get_attribute("aria-invalid") == "true"


def test_the_sliders_morph_is_heard_and_is_the_servers(
    page: sync_api.Page, url: str
) -> None:
    slider = page.locator("#mix")
    first = browser_lib.struck(page, lambda: slider.fill("20"))
    second = browser_lib.struck(page, lambda: slider.fill("60"))
    words = "word={}&to_word={}".format(*browser_lib.WORDS)
    mixed = f"seed=0&to=1&mix={{}}&path={{}}&{words}"
    np.testing.assert_array_equal(
        first, browser_lib.fetch(url, mixed.format(0.2, "straight"))[0]
    )
    np.testing.assert_array_equal(
        second, browser_lib.fetch(url, mixed.format(0.6, "straight"))[0]
    )
    assert np.abs(first - second).max() > 0.05
    # While it sounds it goes on from where it is. A busy machine may be late
    # for that, though both clips are ready by now.
    for _ in range(10):
        for percent in ("20", "60"):
            browser_lib.struck(page, functools.partial(slider.fill, percent))
        (then, skipped), (now, offset) = page.evaluate(
            "window.starts.slice(-2).map(({ now, offset }) => [now, offset])"
        )
        position = skipped + now - then
        if position < 0.9:
            break
    assert 0 < offset == pytest.approx(position, abs=0.02)
    third = browser_lib.struck(
        page, lambda: page.locator("#path").select_option("slerp")
    )
    np.testing.assert_array_equal(
        third, browser_lib.fetch(url, mixed.format(0.6, "slerp"))[0]
    )
    assert np.abs(second - third).max() > 0.001


def test_a_slider_that_rushes_asks_for_few_clips(page: sync_api.Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        """() => { const mix = document.getElementById("mix");
          for (let i = 1; i <= 80; i += 1) {
            mix.value = i;
            mix.dispatchEvent(new Event("input"));
          } }"""
    )
    assert "morph=0.1.80.straight" in browser_lib.fragment(page, "morph=0.1.80")
    clips = [url for url in asked if "clip?" in url]
    assert 1 <= len(clips) < 8
    assert "mix=0.8&" in clips[-1]


def test_a_saved_file_is_the_pads_clip(
    page: sync_api.Page, url: str, tmp_path: pathlib.Path
) -> None:
    page.keyboard.press("w")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save WAV").click()
    word = browser_lib.WORDS[5]
    assert download.value.suggested_filename == f"{word}_seed-5.wav"
    download.value.save_as(tmp_path / "saved.wav")
    saved, rate = soundfile.read(tmp_path / "saved.wav", always_2d=True)
    assert rate == browser_lib.RATE
    np.testing.assert_array_equal(saved, browser_lib.heard(page))
    query = browser_lib.query(5, pad=5)
    np.testing.assert_array_equal(saved, browser_lib.fetch(url, query)[0])
    again = page.locator("#again").inner_text()
    assert again == f"generate --seed 5 --word {word} --n 1"
    done = command_runner.run(
        *again.split(), "--pretrained", f"--out_dir={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    path = tmp_path / f"{word.title()}_00005.wav"
    made, _ = soundfile.read(path, always_2d=True)
    np.testing.assert_allclose(saved, made, atol=1.01 / 32768)


def test_the_sequencer_keeps_time(page: sync_api.Page) -> None:
    page.locator("#clear").click()
    page.locator("#tempo").fill("240")
    for step in (0, 3, 8):
        page.locator(".step").nth(step).click()
    page.locator("#run").click()
    headless.wait_for_start(page, 7)
    page.locator("#run").click()
    starts = page.evaluate("window.starts.map(({ when, now }) => [when, now])")
    when, now = np.array(starts[:7]).T
    steps = np.array([0, 3, 8, 16, 19, 24, 32])
    np.testing.assert_allclose(when - when[0], steps * 60 / 240 / 4, atol=1e-9)
    assert (when > now).all(), "each ahead of its time"
    stopped = browser_lib.count(page)
    page.wait_for_timeout(600)
    assert browser_lib.count(page) == stopped


def test_spectra_are_numpys(page: sync_api.Page) -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=64)
    real, imag = page.evaluate(
        """async (x) => {
          const { fft } = await import("/spectrum.js");
          const real = Float64Array.from(x);
          const imag = new Float64Array(x.length);
          fft(real, imag);
          return [[...real], [...imag]]; }""",
        signal.tolist(),
    )
    spectrum = np.array(real) + 1j * np.array(imag)
    np.testing.assert_allclose(spectrum, np.fft.fft(signal), atol=1e-9)
    # 1 kHz at 8 kHz, 256 samples: bin 32, in every frame.
    tone = np.sin(2 * np.pi * 1000 / 8000 * np.arange(4096))
    levels = page.evaluate(
        """async (x) => {
          const { spectrogram } = await import("/spectrum.js");
          return spectrogram(Float32Array.from(x), 10, 256)
            .map((row) => [...row]); }""",
        tone.tolist(),
    )
    assert np.shape(levels) == (10, 128)
    assert (np.argmax(levels, axis=1) == 32).all()
    assert np.max(levels) == pytest.approx(1, abs=1e-3)


# State ------------------------------------------------------------------


def test_kept_pads_stay_and_a_reload_brings_all_back(
    page: sync_api.Page,
) -> None:
    labels = ".pad"
    page.keyboard.press("e")
    page.keyboard.press("k")
    page.locator(".step").nth(1).click()
    page.get_by_role("button", name="Randomise all").click()
    names = "els => els.map((el) => el.getAttribute('aria-label'))"
    before = page.locator(labels).evaluate_all(names)
    assert before[6] == f"Pad E, {browser_lib.WORDS[6]}, seed 6, kept"
    assert len(set(before)) == 16
    seeds = [int(name.split("seed ")[1].split(",")[0]) for name in before]
    assert sum(seed == i for i, seed in enumerate(seeds)) < 4
    browser_lib.fragment(page, ".6k.")
    page.reload()
    page.locator("#pads[aria-busy=false]").wait_for()
    assert page.locator(labels).evaluate_all(names) == before
    page.keyboard.press("e")
    assert page.locator(".step[aria-pressed=true]").count() == 1


def test_an_odd_address_is_a_new_page(
    browser: sync_api.Browser, url: str
) -> None:
    odd = "#pads=1.2&steps=zz&tempo=1e9&morph=99.-1.200.<img src=x>"
    with browser_lib.watch(browser, url + odd) as page:
        pad = page.locator(".pad").nth(3)
        name = f"Pad 4, {browser_lib.WORDS[3]}, seed 3"
        assert pad.get_attribute("aria-label") == name
        assert page.locator("#tempo").input_value() == "110"


def test_a_stopped_program_is_reported(
    browser: sync_api.Browser, url: str
) -> None:
    page = headless.open_page(browser, url)
    page.route("**/clip*", lambda route: route.abort())
    page.locator("#fresh").click()
    sync_api.expect(page.locator("#status")).to_contain_text("start it again")
    page.context.close()


# Layout -----------------------------------------------------------------

# Boxes of all parts of the page, and the parts whose text exceeds them.
LAYOUT = """() => {
  const parts = [...document.querySelectorAll(
    "section, .bar, .row, .bar > *, .row > *, .pad, .pad > *, .step, input")];
  const name = (el) => `${el.tagName} ${el.id || el.className}`;
  return {
    boxes: parts.filter((el) => !el.matches("p, output, .seed, .mark"))
      .map((el) => {
        const { y, height } = el.getBoundingClientRect();
        return [name(el), Math.round(y + scrollY), Math.round(height)];
      }),
    exceeded: [document.documentElement, ...parts]
      .filter((el) => el.scrollWidth > el.clientWidth && el.clientWidth)
      .map((el) => [name(el), el.scrollWidth, el.clientWidth]),
  };
}"""


@pytest.mark.parametrize("width", [1280, 375])
def test_seeds_of_any_length_fit_and_move_nothing(
    page: sync_api.Page, url: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    before = page.evaluate(LAYOUT)
    assert not before["exceeded"]
    page.evaluate("Math.random = () => 0.9999999")
    page.get_by_role("button", name="Randomise all").click()
    page.locator("#pads[aria-busy=false]").wait_for()
    assert page.locator(".pad .seed").first.inner_text().endswith("999999")
    assert page.evaluate(LAYOUT) == before
    page.goto(url + "#pads=" + ".".join(["2147483647k"] * 16))
    page.reload()
    page.locator("#pads[aria-busy=false]").wait_for()
    assert page.locator("#seed").input_value() == "2147483647"
    assert page.evaluate(LAYOUT) == before
