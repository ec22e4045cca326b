"""Tests spectrograms against librosa, their moments, their inversion."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import hypothesis
import librosa
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digits import synthesizer
from networks import spectrogram

Random = np.random.Generator
SHAPE = (spectrogram.NUM_FRAMES, spectrogram.NUM_BINS, 1)
# Wide enough for any audio: nothing is clipped.
WIDE = spectrogram.Moments(
    np.full(spectrogram.NUM_BINS, -4.5, np.float32),
    np.full(spectrogram.NUM_BINS, 3.2, np.float32),
)
few = hypothesis.settings(max_examples=10, deadline=None)


def magnitude(audio: np.ndarray) -> np.ndarray:
    """Librosa's, of all bins but the last, `[batch, frames, bins]`."""
    audio = np.pad(np.asarray(audio)[..., 0], [(0, 0), (0, 128)])
    spectra = librosa.stft(
        audio, n_fft=256, hop_length=128, window="hann", center=False
    )
    return np.abs(spectra).transpose(0, 2, 1)[..., :128]


def voices(count: int, rng: Random) -> np.ndarray:
    """Recorded words at 16 kHz, `[count, 16384, 1]`."""
    clips = []
    for word in synthesizer.WORDS[:count]:
        speaker = synthesizer.draw_speaker(rng)
        sound = synthesizer.render_word(word, speaker, rng)
        clip = synthesizer.record(sound, synthesizer.draw_room(rng), rng)
        clips.append(np.pad(clip, (0, spectrogram.SLICE_LEN - len(clip))))
    return np.stack(clips)[..., np.newaxis].astype(np.float32)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Six words."""
    return voices(6, np.random.default_rng(3))


@pytest.fixture(scope="module")
def moments(speech: np.ndarray) -> spectrogram.Moments:
    """Of the words."""
    return spectrogram.measure_moments([speech])


def convergence_db(audio: np.ndarray, again: np.ndarray) -> np.ndarray:
    """How far magnitudes are off, as a part of themselves, per clip."""
    first, second = magnitude(audio), magnitude(again)
    error = np.linalg.norm(first - second, axis=(1, 2))
    return 20 * np.log10(error / np.linalg.norm(first, axis=(1, 2)))


# To spectrograms -------------------------------------------------------------


def test_spectrograms_equal_librosas(
    speech: np.ndarray, moments: spectrogram.Moments
) -> None:
    sigmas = np.log(magnitude(speech) + 1e-6) - moments.mean
    sigmas = sigmas / moments.std
    expected = np.clip(sigmas / 3, -1, 1)[..., np.newaxis]
    actual = spectrogram.to_spectrogram(speech, moments)
    assert actual.shape == (len(speech), 128, 128, 1)
    assert actual.dtype == tf.float32
    # Of near silence beside a loud bin, float32 keeps few digits.
    np.testing.assert_allclose(actual, expected, atol=5e-3)
    assert np.mean(np.abs(actual - expected) > 1e-4) < 0.02


def test_normalised_bins_have_zero_mean_and_unit_deviation(
    speech: np.ndarray, moments: spectrogram.Moments
) -> None:
    sigmas = 3 * spectrogram.to_spectrogram(speech, moments)[..., 0]
    clipped = np.mean(np.abs(sigmas) >= 3)
    assert clipped < 0.03
    np.testing.assert_allclose(np.mean(sigmas, (0, 1)), 0, atol=0.05)
    np.testing.assert_allclose(np.std(sigmas, (0, 1)), 1, atol=0.1)


def test_three_deviations_map_to_one_and_more_is_clipped() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16384) / 16000)[None, :, None]
    level = np.log(magnitude(tone)[0, 64, 16])  # bin 16: 1000 Hz
    for sigmas, expected in ((1.5, 0.5), (-1.5, -0.5), (4, 1), (-4, -1)):
        mean = np.full(128, level - sigmas, np.float32)
        moments = spectrogram.Moments(mean, np.ones(128, np.float32))
        picture = spectrogram.to_spectrogram(tone, moments)
        assert float(picture[0, 64, 16, 0]) == pytest.approx(expected, abs=1e-3)


def test_the_last_frame_is_padded_with_silence() -> None:
    audio = np.zeros((1, 16384, 1), np.float32)
    audio[0, -64] = 1  # in the last frame and the one before
    picture = np.exp(9.6 * spectrogram.to_spectrogram(audio, WIDE)[0, ..., 0])
    heard = np.flatnonzero(picture[:, 5] > 2 * picture[0, 5])
    np.testing.assert_array_equal(heard, [126, 127])


# Moments ---------------------------------------------------------------------


@few
@hypothesis.given(st.lists(st.integers(1, 5), max_size=3))
def test_moments_do_not_depend_on_batches(cuts: list[int]) -> None:
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 0.1, (6, 16384, 1)).astype(np.float32)
    audio *= np.geomspace(1e-3, 1, 6, dtype=np.float32)[:, None, None]
    levels = np.log(magnitude(audio) + 1e-6).reshape(-1, 128)
    batches = np.split(audio, sorted(set(cuts)))
    moments = spectrogram.measure_moments(iter(batches))
    np.testing.assert_allclose(moments.mean, levels.mean(0), rtol=1e-4)
    np.testing.assert_allclose(moments.std, levels.std(0), rtol=1e-4)
    assert moments.mean.dtype == moments.std.dtype == np.float32


def test_moments_of_nothing_or_of_silence_are_refused() -> None:
    with pytest.raises(ValueError, match="no audio"):
        spectrogram.measure_moments([])
    silence = np.zeros((2, 16384, 1), np.float32)
    with pytest.raises(ValueError, match="silence"):
        spectrogram.measure_moments([silence, silence])
    with pytest.raises(ValueError, match="not finite"):
        spectrogram.measure_moments([silence * np.nan])


def test_moments_of_other_shapes_are_refused() -> None:
    good, bad = np.ones(128), np.ones(129)
    for mean, std, name in ((bad, good, "mean"), (good, bad, "std")):
        with pytest.raises(ValueError, match=rf"{name} has shape \(129,\)"):
            spectrogram.Moments(mean, std)


def test_saved_moments_load_unchanged(
    tmp_path: pathlib.Path, moments: spectrogram.Moments
) -> None:
    path = tmp_path / "moments.npz"
    moments.save(path)
    again = spectrogram.Moments.load(path)
    np.testing.assert_array_equal(again.mean, moments.mean)
    np.testing.assert_array_equal(again.std, moments.std)
    assert list(tmp_path.iterdir()) == [path]
    assert 2 * path.stat().st_size < spectrogram.MAX_BYTES


def saved(**arrays: Any) -> bytes:
    """An NPZ file."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


ONES = np.ones(128, np.float32)
GOOD = saved(mean=ONES, std=ONES)
BROKEN = {
    "empty": b"",
    "text": b"mean 0\nstd 1\n",
    "cut off": GOOD[:-30],
    "too long": GOOD + bytes(spectrogram.MAX_BYTES),
    "something else": saved(z=ONES),
    "another shape": saved(mean=ONES[:100], std=ONES),
    "no deviation": saved(mean=ONES, std=0 * ONES),
    "no number": saved(mean=np.nan * ONES, std=ONES),
    "words": saved(mean=np.array(["a"] * 128), std=ONES),
    "pickled": saved(mean=np.array([{}] * 128), std=ONES),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_damaged_moment_files_are_refused_in_one_line(
    kind: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "moments.npz"
    path.write_bytes(BROKEN[kind])
    with pytest.raises(ValueError, match="moments.npz holds no") as error:
        spectrogram.Moments.load(path)
    assert "\n" not in str(error.value)
    assert "train_specgan.py moments" in str(error.value)


def test_a_missing_moment_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.npz is missing"):
        spectrogram.Moments.load(tmp_path / "nowhere.npz")


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_ends_in_an_error_or_valid_moments(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: int
) -> None:
    content = bytearray(GOOD)
    content[at] ^= change
    path = tmp_path_factory.mktemp("changed") / "moments.npz"
    path.write_bytes(content)
    try:
        moments = spectrogram.Moments.load(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:  # a date, a comment
        np.testing.assert_array_equal(moments.mean, ONES)
        np.testing.assert_array_equal(moments.std, ONES)


# And back --------------------------------------------------------------------


def test_speech_survives_the_round_trip(
    speech: np.ndarray, moments: spectrogram.Moments
) -> None:
    picture = spectrogram.to_spectrogram(speech, moments)
    audio = spectrogram.to_audio(picture, moments)
    assert audio.shape == speech.shape
    assert audio.dtype == tf.float32
    assert convergence_db(speech, audio).max() < -10
    loudness = np.std(audio, axis=1) / np.std(speech, axis=1)
    np.testing.assert_allclose(loudness, 1, atol=0.1)


def test_each_griffin_lim_iteration_reduces_the_error(
    speech: np.ndarray, moments: spectrogram.Moments
) -> None:
    picture = spectrogram.to_spectrogram(speech[:2], moments)
    errors = [
        convergence_db(speech[:2], spectrogram.to_audio(picture, moments, n))
        for n in (0, 1, 4, 16, 64)
    ]
    assert np.all(np.diff(errors, axis=0) < -1)


def test_with_true_phases_there_is_no_tremolo(rng: Random) -> None:
    signal = rng.normal(0, 0.1, (2, spectrogram.SLICE_LEN)).astype(np.float32)
    again = spectrogram._inverse_stft(spectrogram._stft(tf.constant(signal)))
    np.testing.assert_allclose(again[:, 128:], signal[:, 128:], atol=1e-6)
    # One window alone sees the first hop: it fades in.
    ratio = np.asarray(again[:, 1:128]) / signal[:, 1:128]
    fade = np.sin(np.pi * np.arange(1, 128) / 256) ** 4
    fade /= fade + np.cos(np.pi * np.arange(1, 128) / 256) ** 4
    np.testing.assert_allclose(ratio, [fade, fade], atol=2e-3)


@few
@hypothesis.given(
    hnp.arrays(np.float32, SHAPE, elements=st.floats(-1, 1, width=32))
)
def test_any_spectrogram_gives_finite_audio(picture: np.ndarray) -> None:
    audio = spectrogram.to_audio(picture[None], WIDE, iterations=2)
    assert audio.shape == (1, 16384, 1)
    assert np.all(np.isfinite(audio)) and np.max(np.abs(audio)) <= 1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_eager_results_agree(
    jit_compile: bool, speech: np.ndarray, moments: spectrogram.Moments
) -> None:
    @tf.function(jit_compile=jit_compile)
    def there_and_back(audio: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        picture = spectrogram.to_spectrogram(audio, moments)
        return picture, spectrogram.to_audio(picture, moments, iterations=1)

    picture, audio = there_and_back(tf.constant(speech[:2]))
    expected = spectrogram.to_spectrogram(speech[:2], moments)
    np.testing.assert_allclose(picture, expected, atol=1e-4)
    expected = spectrogram.to_audio(expected, moments, iterations=1)
    np.testing.assert_allclose(audio, expected, atol=1e-3)


def test_the_same_spectrogram_gives_the_same_audio(
    speech: np.ndarray, moments: spectrogram.Moments
) -> None:
    picture = spectrogram.to_spectrogram(speech, moments)
    whole = spectrogram.to_audio(picture, moments, iterations=3)
    again = spectrogram.to_audio(picture, moments, iterations=3)
    np.testing.assert_array_equal(whole, again)
    alone = spectrogram.to_audio(picture[3:4], moments, iterations=3)
    np.testing.assert_allclose(whole[3:4], alone, atol=1e-5)


@pytest.mark.parametrize(
    "shape", [(16384,), (2, 16384), (1, 16384, 2), (1, 8192, 1)]
)
def test_audio_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    audio = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=r"expected \[batch, 16384, 1\]"):
        spectrogram.to_spectrogram(audio, WIDE)
    with pytest.raises(ValueError, match=r"audio has shape"):
        spectrogram.measure_moments([audio])


def test_spectrograms_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \[batch, 128, 128, 1\]"):
        spectrogram.to_audio(np.zeros((1, 128, 129, 1)), WIDE)
    with pytest.raises(ValueError, match="iterations is -1"):
        spectrogram.to_audio(np.zeros((1, *SHAPE)), WIDE, iterations=-1)
