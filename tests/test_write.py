"""Tests the sampling rate, level and format of written audio."""

import pathlib

import numpy as np
import pyloudnorm
import pytest
import soundfile

from audio import write

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
    assert soundfile.info(path).subtype == "PCM_16"
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
