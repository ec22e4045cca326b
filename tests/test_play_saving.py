"""Tests what the page of `play` saves: the loop of the sequencer, and kits."""

from __future__ import annotations

import io
import json
import pathlib
import re
import urllib.request
import zipfile
from collections.abc import Mapping, Sequence

import browser as browser_lib
import command_runner
import numpy as np
import pytest
import small_gan
import soundfile
from playwright import sync_api

import wavegan
from modes import kit

pytestmark = pytest.mark.slow
pytest_plugins = ["browser"]

FADE = 0.008  # seconds, when a pad is struck while it sounds
Steps = Mapping[int, Sequence[int]]  # that play, by pad


def save(
    page: sync_api.Page, button: str, folder: pathlib.Path
) -> pathlib.Path:
    """Clicks a button; returns the file that the browser saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    name = download.value.suggested_filename
    sync_api.expect(page.locator("#status")).to_have_text(f"Saved {name}.")
    download.value.save_as(folder / name)
    return folder / name


# Loops ------------------------------------------------------------------


def set_loop(page: sync_api.Page, tempo: int, steps: Steps) -> None:
    """Sets the tempo and the steps, and no others."""
    page.locator("#clear").click()
    page.locator("#tempo").fill(str(tempo))
    page.locator("#tempo").press("Enter")
    for pad, chosen in steps.items():
        page.locator("#voice").select_option(str(pad))
        for step in chosen:
            page.locator(".step").nth(step).click()


def expected_loop(
    clips: Mapping[int, np.ndarray],
    steps: Steps,
    tempo: int,
    rate: int,
    volume: float,
) -> np.ndarray:
    """Mixes a loop that has been repeating for ever.

    Args:
      clips: By pad, `[num_samples, channels]`.
      steps: That play, by pad.
      tempo: Beats a minute, of four steps each.
      rate: Of the clips, in Hz.
      volume: Factor of all samples.

    Returns:
      `[num_frames, channels]`, before its peak is lowered.
    """
    frames = round(16 * 60 / tempo / 4 * rate)
    channels = next(iter(clips.values())).shape[1]
    mix = np.zeros((3 * frames, channels))
    for pad, clip in clips.items():
        starts = [
            turn * frames + round(step * frames / 16)
            for turn in range(3)
            for step in sorted(steps[pad])
        ]
        for start, end in zip(starts, [*starts[1:], 3 * frames], strict=True):
            # Until the pad is struck again, from where it fades out.
            gain = np.clip(
                1 - (np.arange(len(clip)) + start - end) / (FADE * rate), 0, 1
            )
            part = (gain[:, None] * clip)[: len(mix) - start]
            mix[start : start + len(part)] += volume * part
    return mix[2 * frames :]


def test_the_saved_loop_starts_its_sounds_at_the_steps_that_are_set(
    page: sync_api.Page, url: str, tmp_path: pathlib.Path
) -> None:
    set_loop(page, 60, {2: [3], 6: [10]})
    path = save(page, "Save loop", tmp_path)
    assert path.name == "loop_60bpm.wav"
    loop, rate = soundfile.read(path, always_2d=True)
    assert rate == browser_lib.RATE
    assert len(loop) == 4 * rate  # sixteen quarters of a beat of one second
    for pad, step in ((2, 3), (6, 10)):
        clip, _ = browser_lib.fetch(url, browser_lib.query(pad, pad=pad))
        start = step * rate // 4
        assert np.abs(clip).max() > 0.1
        np.testing.assert_allclose(
            loop[start : start + len(clip)], 0.8 * clip, atol=0.51 / 32768
        )
        loop[start : start + len(clip)] = 0
    assert not loop.any(), "silence, but for these two"


def test_the_saved_loop_is_what_the_sequencer_repeats(
    page: sync_api.Page, url: str, tmp_path: pathlib.Path
) -> None:
    """Sounds overlap, cut themselves short and reach over the end."""
    steps = {0: [0, 3, 4], 5: [7, 15], 9: [2]}
    set_loop(page, 167, steps)
    page.locator("#volume").fill("30")
    loop, rate = soundfile.read(
        save(page, "Save loop", tmp_path), always_2d=True
    )
    assert len(loop) == round(rate * 240 / 167) == 11497
    clips = {
        pad: browser_lib.fetch(url, browser_lib.query(pad, pad=pad))[0]
        for pad in steps
    }
    expected = expected_loop(clips, steps, 167, rate, volume=0.3)
    assert np.abs(expected[:50]).max() > 0.001
    np.testing.assert_allclose(loop, expected, atol=1.1 / 32768)
    # The page goes on to sound as before.
    browser_lib.struck(page, page.locator(".pad").nth(0).click)


def test_a_loop_that_would_clip_is_saved_at_full_scale(
    page: sync_api.Page, url: str, tmp_path: pathlib.Path
) -> None:
    steps = {pad: [0] for pad in range(16)}
    set_loop(page, 120, steps)
    page.locator("#volume").fill("100")
    loop, rate = soundfile.read(
        save(page, "Save loop", tmp_path), always_2d=True
    )
    clips = {
        pad: browser_lib.fetch(url, browser_lib.query(pad, pad=pad))[0]
        for pad in steps
    }
    expected = expected_loop(clips, steps, 120, rate, volume=1)
    peak = np.abs(expected).max()
    assert peak > 1.2
    np.testing.assert_allclose(loop, expected / peak, atol=1.1 / 32768)


def test_a_loop_without_steps_is_refused(page: sync_api.Page) -> None:
    page.locator("#clear").click()
    page.get_by_role("button", name="Save loop").click()
    sync_api.expect(page.locator("#status")).to_have_text(
        "No step is set: the loop is silent."
    )


@pytest.mark.parametrize(
    ("channels", "rate", "saved_rate", "saved_channels"),
    [(2, 48000, 48000, 2), (6, 44100, 44100, 1), (1, 2000, 8000, 1)],
)
def test_loops_of_all_rates_and_channels_are_saved(
    browser: sync_api.Browser,
    tmp_path: pathlib.Path,
    channels: int,
    rate: int,
    saved_rate: int,
    saved_channels: int,
) -> None:
    config = wavegan.WaveGANConfig(
        slice_len=256, channels=channels, dim=1, latent_dim=4
    )
    with (
        browser_lib.serve(small_gan.build(config=config), rate) as url,
        browser_lib.watch(browser, url) as page,
    ):
        set_loop(page, 300, {1: [4]})
        # The morph is a voice of its own.
        page.locator("#voice").select_option("16")
        page.locator(".step").nth(12).click()
        path = save(page, "Save loop", tmp_path)
        loop, of_file = soundfile.read(path, always_2d=True)
        assert of_file == saved_rate
        assert loop.shape == (0.8 * saved_rate, saved_channels)
        for step, query in (
            (4, "seed=1"),
            (12, "seed=0&to=1&mix=0.5&path=straight"),
        ):
            clip, _ = browser_lib.fetch(url, query)
            if saved_channels < channels:
                clip = clip.mean(axis=1, keepdims=True)
            slower = saved_rate // rate
            start = step * len(loop) // 16
            heard = loop[start : start + slower * len(clip) : slower]
            np.testing.assert_allclose(heard, 0.8 * clip, atol=1.1 / 32768)
            assert np.abs(clip).max() > 10 / 32768
            assert not loop[start - saved_rate // 100 : start].any()


# Kits -------------------------------------------------------------------


def read_kit(content: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Returns the audio of a kit by file; all of its maps must name it."""
    files = [name for name in content.namelist() if name.endswith(".wav")]
    assert content.namelist() == [*files, kit.SFZ, kit.JSON]
    card = json.loads(content.read(kit.JSON))
    regions = re.findall(
        r"<region> key=(\d+) sample=(.*)", content.read(kit.SFZ).decode()
    )
    assert [name for _, name in regions] == files
    assert [int(note) for note, _ in regions] == [
        *range(kit.FIRST_NOTE, kit.FIRST_NOTE + len(files))
    ]
    assert [row["file"] for row in card["clips"]] == files
    audio = {}
    for file in files:
        with soundfile.SoundFile(io.BytesIO(content.read(file))) as wav:
            assert wav.samplerate == browser_lib.RATE
            name = file.removesuffix(".wav")
            assert wav.title == f"wavegan, step {card['step']}: {name}"
            audio[file] = wav.read()
    return audio


def test_a_saved_kit_holds_the_pads_as_generate_writes_them(
    page: sync_api.Page, tmp_path: pathlib.Path
) -> None:
    page.get_by_label("Seed", exact=True).fill("123456")
    page.get_by_label("Seed", exact=True).press("Enter")
    page.get_by_label("Word of Pad 2", exact=True).select_option("six")
    path = save(page, "Save kit", tmp_path)
    assert path.name == "kit.zip"
    with zipfile.ZipFile(path) as content:
        assert content.testzip() is None
        audio = read_kit(content)
    assert len(audio) == 16
    files = list(audio)
    first, third = browser_lib.WORDS[0].title(), browser_lib.WORDS[2].title()
    assert files[:3] == [
        f"01_wavegan_{first}_123456.wav",
        "02_wavegan_Six_00001.wav",
        f"03_wavegan_{third}_00002.wav",
    ]
    for i, seed in ((0, 123456), (1, 1), (2, 2)):
        _, _, word, _ = files[i].split("_")
        done = command_runner.run(
            *("generate", "--pretrained", f"--seed={seed}", "--n=1"),
            *(f"--word={word.lower()}", f"--out_dir={tmp_path / 'clips'}"),
        )
        assert done.returncode == 0, done.stderr
        made, _ = soundfile.read(tmp_path / "clips" / f"{word}_{seed:05d}.wav")
        np.testing.assert_allclose(audio[files[i]], made, atol=1.01 / 32768)


def test_a_kit_of_the_page_is_that_of_generate(
    url: str, tmp_path: pathlib.Path
) -> None:
    done = command_runner.run(
        *("generate", "--pretrained", "--n=9", "--kit=4", "--seed=7"),
        f"--out_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "kit"
    card = json.loads((folder / kit.JSON).read_text())
    query = "&".join(
        f"seed={row['seed']}&word={row['word']}" for row in card["clips"]
    )
    with urllib.request.urlopen(f"{url}kit?{query}") as answer:
        assert answer.headers["Content-Type"] == "application/zip"
        content = zipfile.ZipFile(io.BytesIO(answer.read()))
    for name in (kit.SFZ, kit.JSON):
        assert content.read(name) == (folder / name).read_bytes()
    audio = read_kit(content)
    assert {path.name for path in folder.iterdir()} == {*content.namelist()}
    for name, samples in audio.items():
        made, _ = soundfile.read(folder / name)
        np.testing.assert_allclose(samples, made, atol=1.01 / 32768)
