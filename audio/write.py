"""Resamples, normalises, encodes and writes audio."""

import dataclasses
import io
import pathlib
from collections.abc import Callable

import numpy as np
import pyloudnorm
import soundfile
import soxr

from audio import decode
from system import atomic, settings

FORMATS = ("wav", "flac")
LOUDNESS = -23.0  # target in LUFS, recommended by EBU R 128
BLOCK_SECS = 0.4  # length of the blocks that loudness is measured in


def _to_peak(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Scales audio to a peak of 1; silence stays silence."""
    del sample_rate
    return audio / max(np.abs(audio).max(), 1e-9)


def _to_loudness(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Scales audio to `LOUDNESS`, or as near to it as a peak of 1 allows.

    Source: ITU-R BS.1770-4.
    """
    secs = len(audio) / sample_rate
    meter = pyloudnorm.Meter(
        sample_rate, block_size=min(BLOCK_SECS, 0.99 * secs)
    )
    with np.errstate(divide="ignore"):  # silence
        loudness = meter.integrated_loudness(audio.astype(np.float64))
    if not np.isfinite(loudness):
        return audio
    gain = 10 ** ((LOUDNESS - loudness) / 20)
    return audio * min(gain, 1 / np.abs(audio).max())


LEVELS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "none": lambda audio, sample_rate: audio,
    "peak": _to_peak,
    "loudness": _to_loudness,
}


@dataclasses.dataclass(frozen=True)
class Writing:
    """Settings of written audio files.

    Attributes:
      format: File format, one of `FORMATS`; samples have 16 bits in each.
      rate: Sampling rate in Hz to resample to; 0: no resampling.
      normalize: Normalisation of the level, a key of `LEVELS`.

    Raises:
      SettingError: A field is out of its range.
    """

    format: str = "wav"
    rate: int = 0
    normalize: str = "none"

    def __post_init__(self) -> None:
        """Checks the range of every field."""
        check = settings.check_value
        check("format", self.format, choices=FORMATS)
        check("normalize", self.normalize, choices=tuple(LEVELS))
        if self.rate:
            check("rate", self.rate, low=1000, high=384000)


def encode(
    audio: np.ndarray, sample_rate: int, writing: Writing | None = None
) -> bytes:
    """Encodes audio as the contents of a file.

    Args:
      audio: Audio, `[num_samples, channels]`; samples beyond [-1, 1] are
        clipped.
      sample_rate: Sampling rate of `audio` in Hz.
      writing: Settings; a WAV file at the same rate and level if left out.

    Returns:
      Contents of the file.
    """
    writing = writing or Writing()
    rate = writing.rate or sample_rate
    if rate != sample_rate:
        audio = soxr.resample(audio, sample_rate, rate)
    audio = LEVELS[writing.normalize](audio, rate)
    content = io.BytesIO()
    # Differs from the original: rounds to the nearest of 2**16 steps, the
    # inverse of reading; the original scales by 32767 and truncates.
    soundfile.write(
        content,
        decode.to_int16(audio),
        rate,
        "PCM_16",
        format=writing.format.upper(),
    )
    return content.getvalue()


def write(
    path: pathlib.Path,
    audio: np.ndarray,
    sample_rate: int,
    writing: Writing | None = None,
) -> None:
    """Encodes audio and writes the file atomically: whole or not at all.

    Args:
      path: File to write.
      audio: Audio, `[num_samples, channels]`.
      sample_rate: Sampling rate of `audio` in Hz.
      writing: Settings, as for `encode`.
    """
    atomic.write(path, encode(audio, sample_rate, writing))
