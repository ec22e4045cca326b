"""Cuts the silence before and after a sound, and fades its end."""

import numpy as np

FRAME_SECS = 0.01  # over which the level is measured
MARGIN_SECS = 0.03  # kept on both sides, for weak consonants such as "f"
FADE_SECS = 0.005  # at a cut, so that it does not click


def trim(
    audio: np.ndarray, sample_rate: int, threshold_db: float
) -> np.ndarray:
    """Cuts the silence before and after a sound.

    Args:
      audio: `[num_samples, channels]`.
      sample_rate: In Hz.
      threshold_db: Level below which a frame is silent, in dB relative to the
        loudest frame.

    Returns:
      The part from the first to the last frame that is not silent, with a
      margin on both sides; all of a clip that is silent throughout.
    """
    frame_len = max(1, min(len(audio), round(FRAME_SECS * sample_rate)))
    num_frames = len(audio) // frame_len
    frames = audio[: num_frames * frame_len].reshape(num_frames, -1)
    levels = np.sqrt((frames**2).mean(axis=1))
    threshold = levels.max() * 10 ** (threshold_db / 20)
    loud = np.flatnonzero(~(levels < threshold))  # NaN is not silent
    margin = round(MARGIN_SECS * sample_rate)
    start = max(0, loud[0] * frame_len - margin)
    end = min(len(audio), (loud[-1] + 1) * frame_len + margin)
    if loud[-1] == num_frames - 1:  # so are the samples of no whole frame
        end = len(audio)
    sound = audio[start:end].copy()
    ramp = np.linspace(0, 1, round(FADE_SECS * sample_rate) + 1)[:-1, None]
    if start > 0:
        sound[: len(ramp)] *= ramp
    if end < len(audio):
        sound[-len(ramp) or len(sound) :] *= ramp[::-1]
    return sound


def fade_out(
    audio: np.ndarray, sample_rate: int, milliseconds: float
) -> np.ndarray:
    """Fades the end of a sound to silence, by half a period of a cosine.

    Args:
      audio: `[num_samples, channels]`.
      sample_rate: In Hz.
      milliseconds: Length of the fade; at most all of the sound fades.
    """
    length = min(len(audio), round(milliseconds / 1000 * sample_rate))
    faded = audio.copy()
    ramp = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, length + 1) / max(length, 1))
    faded[len(audio) - length :] *= ramp[:, None].astype(audio.dtype)
    return faded
