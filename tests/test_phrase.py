"""Tests the trimming of words and their joining with pauses."""

import numpy as np
import pytest

from audio import edges
from modes import phrase

RATE = 8000


def word(start: int, end: int, num_samples: int = 8192) -> np.ndarray:
    """A loud tone from one sample to another, noise at -60 dB around it."""
    rng = np.random.default_rng(0)
    audio = 5e-4 * rng.standard_normal((num_samples, 1))
    audio[start:end, 0] += 0.7 * np.sin(0.5 * np.arange(end - start))
    return audio.astype(np.float32)


@pytest.mark.parametrize(("start", "end"), [(2000, 5000), (0, 3000)])
def test_a_word_is_cut_out_with_its_margins(start: int, end: int) -> None:
    trimmed = edges.trim(word(start, end), RATE, phrase.SILENCE_DB)
    margin = edges.MARGIN_SECS * RATE
    expected = end - start + margin * (2 if start else 1)
    # A frame at each end may be partly silent.
    assert abs(len(trimmed) - expected) <= 2 * edges.FRAME_SECS * RATE
    assert np.abs(trimmed).max() == np.abs(word(start, end)).max()
    assert trimmed[-1] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("num_samples", [64, 1000, 8192])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_silence_and_noise_are_kept_whole(
    num_samples: int, scale: float
) -> None:
    rng = np.random.default_rng(0)
    audio = scale * rng.uniform(-1, 1, (num_samples, 2)).astype(np.float32)
    np.testing.assert_array_equal(edges.trim(audio, RATE, -35), audio)


def test_pauses_are_between_words_alone() -> None:
    clips = [word(2000, 5000), word(1000, 3000), word(4000, 8000)]
    audio = phrase.join(clips, RATE)
    trimmed = [edges.trim(clip, RATE, phrase.SILENCE_DB) for clip in clips]
    pause = np.zeros((round(phrase.PAUSE_SECS * RATE), 1))
    expected = [trimmed[0], pause, trimmed[1], pause, trimmed[2]]
    np.testing.assert_array_equal(audio, np.concatenate(expected))
    np.testing.assert_array_equal(phrase.join(clips[:1], RATE), trimmed[0])
