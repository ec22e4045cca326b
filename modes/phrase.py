"""Joins clips of single words into a phrase."""

from collections.abc import Sequence

import numpy as np

# Between two words. Longer than the silence within a word (before the burst of
# a "t" or "k": up to 0.1 s), so that words stay apart; shorter than the pause
# at a comma (0.2 s and more), so that they belong together.
PAUSE_SECS = 0.15
FRAME_SECS = 0.01  # over which the level is measured
# Relative to the loudest frame. Of 200 clips by the weights of pretrained/, 95%
# are below it where no word is; of 600 real digits (FSDD), already trimmed, it
# keeps 84% ("six") to 96% of the time, and the margin most of the rest.
SILENCE_DB = -35.0
MARGIN_SECS = 0.03  # kept on both sides, for weak consonants such as "f"
FADE_SECS = 0.005  # at a cut, so that it does not click


def trim(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Cuts the silence before and after a word.

    Args:
      audio: `[num_samples, channels]`.
      sample_rate: In Hz.

    Returns:
      The part from the first to the last frame that is not silent, with a
      margin on both sides; all of a clip that is silent throughout.
    """
    frame_len = max(1, min(len(audio), round(FRAME_SECS * sample_rate)))
    num_frames = len(audio) // frame_len
    frames = audio[: num_frames * frame_len].reshape(num_frames, -1)
    levels = np.sqrt((frames**2).mean(axis=1))
    threshold = levels.max() * 10 ** (SILENCE_DB / 20)
    loud = np.flatnonzero(~(levels < threshold))  # NaN is not silent
    margin = round(MARGIN_SECS * sample_rate)
    start = max(0, loud[0] * frame_len - margin)
    end = min(len(audio), (loud[-1] + 1) * frame_len + margin)
    if loud[-1] == num_frames - 1:  # so are the samples of no whole frame
        end = len(audio)
    word = audio[start:end].copy()
    ramp = np.linspace(0, 1, round(FADE_SECS * sample_rate) + 1)[:-1, None]
    if start > 0:
        word[: len(ramp)] *= ramp
    if end < len(audio):
        word[-len(ramp) or len(word) :] *= ramp[::-1]
    return word


def join(clips: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
    """Joins words, trimmed and with a pause between two of them.

    Args:
      clips: Audio of each word, `[num_samples, channels]`.
      sample_rate: In Hz.

    Returns:
      Audio, `[num_samples, channels]`.
    """
    pause = np.zeros(
        (round(PAUSE_SECS * sample_rate), clips[0].shape[-1]), np.float32
    )
    parts = [trim(clips[0], sample_rate)]
    for clip in clips[1:]:
        parts += [pause, trim(clip, sample_rate)]
    return np.concatenate(parts)
