"""Tests the sampling rate, level and format of written audio."""

import pathlib

import numpy as np
import pyloudnorm
import pytest
import soundfile

from audio import edges, write

RATE = 16000


def tone(hz: float, secs: float = 1.0, amplitude: float = 0.1) -> np.ndarray:
    """A sine, `[num_samples, 1]`."""
    time = np.arange(round(secs * RATE)) / RATE
    return amplitude * np.sin(2 * np.pi * hz * time)[:, None]


def written(
    tmp_path: pathlib.Path, audio: np.ndarray, **fields: object
) -> tuple[np.ndarray, int]:
    """What a reader finds."""
    writing = write.Writing(**fields)  # type: ignore[arg-type]
    path = tmp_path / f"a.{writing.format}"
    write.write(path, audio.astype(np.float32), RATE, writing)
    assert soundfile.info(path).subtype == writing.subtype
    return soundfile.read(path, always_2d=True)


@pytest.mark.parametrize("kind", write.FORMATS)
def test_every_format_holds_the_same(tmp_path: pathlib.Path, kind: str) -> None:
    audio = np.concatenate([tone(440), tone(880)], axis=1)
    samples, rate = written(tmp_path, audio, format=kind)
    assert rate == RATE
    np.testing.assert_allclose(samples, audio, atol=0.51 / 32768)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_resampling_keeps_the_tone(tmp_path: pathlib.Path, rate: int) -> None:
    samples, found = written(tmp_path, tone(1000), rate=rate)
    assert (len(samples), found) == (rate, rate)
    time = np.arange(rate) / rate
    middle = slice(rate // 10, -rate // 10)
    expected = 0.1 * np.sin(2 * np.pi * 1000 * time)
    np.testing.assert_allclose(samples[middle, 0], expected[middle], atol=2e-4)


@pytest.mark.parametrize("amplitude", [1e-3, 0.5, 3.0])
def test_peaks_become_full_scale(
    tmp_path: pathlib.Path, amplitude: float
) -> None:
    samples, _ = written(
        tmp_path, tone(440, amplitude=amplitude), normalize="peak"
    )
    assert 0.999 < np.abs(samples).max() <= 1
    likeness = np.corrcoef(samples[:, 0], tone(440)[:, 0])[0, 1]
    assert likeness > 0.9999


@pytest.mark.parametrize("secs", [0.1, 1.0, 3.0])
def test_loudness_is_that_of_a_tone_at_minus_23(
    tmp_path: pathlib.Path, secs: float
) -> None:
    """A sine of 997 Hz at full scale has -3.01 LUFS (BS.1770, section 2)."""
    samples, _ = written(
        tmp_path, tone(997, secs, amplitude=0.01), normalize="loudness"
    )
    expected = 10 ** ((-23 + 3.01) / 20)
    assert np.abs(samples).max() == pytest.approx(expected, rel=0.02)


def test_loudness_stops_at_full_scale(tmp_path: pathlib.Path) -> None:
    click = np.zeros((RATE, 1))
    click[100] = 0.5
    samples, _ = written(tmp_path, click, normalize="loudness")
    assert np.abs(samples).max() == pytest.approx(1, abs=1e-4)
    meter = pyloudnorm.Meter(RATE)
    assert meter.integrated_loudness(samples) < write.LOUDNESS


@pytest.mark.parametrize("level", write.LEVELS)
def test_silence_stays(tmp_path: pathlib.Path, level: str) -> None:
    samples, _ = written(tmp_path, np.zeros((RATE, 1)), normalize=level)
    assert not samples.any()


@pytest.mark.parametrize(
    ("field", "value"),
    [("format", "mp3"), ("normalize", "loud"), ("rate", 10), ("rate", -1)],
)
def test_odd_wishes_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} is {value!r}"):
        write.Writing(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "subtype", "step"),
    [
        ("wav", "PCM_24", 2**-23),
        ("flac", "PCM_24", 2**-23),
        ("wav", "FLOAT", 2**-30),
    ],
)
def test_finer_samples_are_finer(
    tmp_path: pathlib.Path, kind: str, subtype: str, step: float
) -> None:
    audio = tone(440, amplitude=0.2)
    samples, _ = written(tmp_path, audio, format=kind, subtype=subtype)
    np.testing.assert_allclose(samples, audio.astype(np.float32), atol=step)


def test_24_bits_are_clipped_not_wrapped(tmp_path: pathlib.Path) -> None:
    audio = tone(440, amplitude=2.0)
    samples, _ = written(tmp_path, audio, subtype="PCM_24")
    np.testing.assert_allclose(samples, np.clip(audio, -1, 1), atol=1e-6)


def test_loudness_has_the_target_that_is_asked_for(
    tmp_path: pathlib.Path,
) -> None:
    samples, rate = written(
        tmp_path, tone(1000), normalize="loudness", loudness=-14.0
    )
    measured = pyloudnorm.Meter(rate).integrated_loudness(samples)
    assert measured == pytest.approx(-14.0, abs=0.1)


@pytest.mark.parametrize("rate", [0, 44100])
def test_silence_is_trimmed_and_the_end_fades(
    tmp_path: pathlib.Path, rate: int
) -> None:
    audio = np.zeros((RATE, 1))
    audio[4000:8000] = tone(1000, secs=0.25)
    audio += 1e-5
    samples, found = written(tmp_path, audio, trim=-40.0, fade=50.0, rate=rate)
    secs = len(samples) / found
    assert 0.25 <= secs <= 0.25 + 2 * (edges.MARGIN_SECS + edges.FRAME_SECS)
    fade = round(0.05 * found)
    ramp = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fade + 1) / fade)
    plain, _ = written(tmp_path, audio, trim=-40.0, rate=rate)
    np.testing.assert_allclose(
        samples[-fade:, 0], plain[-fade:, 0] * ramp, atol=2 / 32768
    )
    np.testing.assert_array_equal(samples[:-fade], plain[:-fade])


@pytest.mark.parametrize("kind", write.FORMATS)
def test_a_file_holds_its_title(tmp_path: pathlib.Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    writing = write.Writing(format=kind)
    write.write(path, tone(440), RATE, writing, "wavegan, step 3: Sieben ß")
    with soundfile.SoundFile(path) as file:
        assert file.title == "wavegan, step 3: Sieben ß"
    write.write(path, tone(440), RATE, writing)
    with soundfile.SoundFile(path) as file:
        assert not file.title
