"""Resamples, trims, normalises, encodes and writes audio."""

import dataclasses
import io
import pathlib
from collections.abc import Callable

import numpy as np
import pyloudnorm
import soundfile
import soxr

from audio import decode, edges
from system import atomic, settings

SUBTYPES = {  # of samples, by format; the first is the default
    "wav": ("PCM_16", "PCM_24", "FLOAT"),
    "flac": ("PCM_16", "PCM_24"),
}
FORMATS = tuple(SUBTYPES)
LOUDNESS = -23.0  # target in LUFS, recommended by EBU R 128
BLOCK_SECS = 0.4  # length of the blocks that loudness is measured in


def _to_peak(
    audio: np.ndarray, sample_rate: int, loudness: float
) -> np.ndarray:
    """Scales audio to a peak of 1; silence stays silence."""
    del sample_rate, loudness
    return audio / max(np.abs(audio).max(), 1e-9)


def _to_loudness(
    audio: np.ndarray, sample_rate: int, loudness: float
) -> np.ndarray:
    """Scales audio to a loudness, or as near to it as a peak of 1 allows.

    Source: ITU-R BS.1770-4.
    """
    secs = len(audio) / sample_rate
    meter = pyloudnorm.Meter(
        sample_rate, block_size=min(BLOCK_SECS, 0.99 * secs)
    )
    with np.errstate(divide="ignore"):  # silence
        measured = meter.integrated_loudness(audio.astype(np.float64))
    if not np.isfinite(measured):
        return audio
    gain = 10 ** ((loudness - measured) / 20)
    return audio * min(gain, 1 / np.abs(audio).max())


LEVELS: dict[str, Callable[[np.ndarray, int, float], np.ndarray]] = {
    "none": lambda audio, sample_rate, loudness: audio,
    "peak": _to_peak,
    "loudness": _to_loudness,
}


@dataclasses.dataclass(frozen=True)
class Writing:
    """Settings of written audio files.

    Attributes:
      format: File format, one of `FORMATS`.
      rate: Sampling rate in Hz to resample to; 0: no resampling.
      normalize: Normalisation of the level, a key of `LEVELS`.
      subtype: Type of the samples, one of the format's `SUBTYPES`.
      loudness: Target of the normalisation "loudness", in LUFS.
      trim: Level in dB, relative to the loudest moment, below which the start
        and the end are cut off as silent; 0: nothing is cut off.
      fade: Length of the fade-out in milliseconds.

    Raises:
      SettingError: A field is out of its range.
    """

    format: str = "wav"
    rate: int = 0
    normalize: str = "none"
    subtype: str = SUBTYPES[FORMATS[0]][0]
    loudness: float = LOUDNESS
    trim: float = 0.0
    fade: float = 0.0

    def __post_init__(self) -> None:
        """Checks the range of every field."""
        check = settings.check_value
        check("format", self.format, choices=FORMATS)
        check("normalize", self.normalize, choices=tuple(LEVELS))
        check("subtype", self.subtype, choices=SUBTYPES[self.format])
        check("loudness", self.loudness, low=-70.0, high=0.0)
        check("trim", self.trim, low=-120.0, high=0.0)
        check("fade", self.fade, low=0.0)
        if self.rate:
            check("rate", self.rate, low=1000, high=384000)


def encode(
    audio: np.ndarray,
    sample_rate: int,
    writing: Writing | None = None,
    title: str = "",
) -> bytes:
    """Encodes audio as the contents of a file.

    Args:
      audio: Audio, `[num_samples, channels]`; samples beyond [-1, 1] are
        clipped.
      sample_rate: Sampling rate of `audio` in Hz.
      writing: Settings; a WAV file at the same rate and level if left out.
      title: Title that the file says of itself: in the INFO chunk of a WAV
        file, in the comments of a FLAC file; "": none.

    Returns:
      Contents of the file.
    """
    writing = writing or Writing()
    rate = writing.rate or sample_rate
    if rate != sample_rate:
        audio = soxr.resample(audio, sample_rate, rate)
    if writing.trim:
        audio = edges.trim(audio, rate, writing.trim)
    audio = LEVELS[writing.normalize](audio, rate, writing.loudness)
    audio = edges.fade_out(audio, rate, writing.fade)
    if writing.subtype == "PCM_16":
        # Differs from the original: rounds to the nearest of 2**16 steps, the
        # inverse of reading; the original scales by 32767 and truncates.
        audio = decode.to_int16(audio)
    content = io.BytesIO()
    with soundfile.SoundFile(
        content,
        "w",
        rate,
        audio.shape[1],
        writing.subtype,
        format=writing.format.upper(),
    ) as file:
        if title:
            file.title = title
        file.write(audio)
    return content.getvalue()


def write(
    path: pathlib.Path,
    audio: np.ndarray,
    sample_rate: int,
    writing: Writing | None = None,
    title: str = "",
) -> None:
    """Encodes audio and writes the file atomically: whole or not at all.

    Args:
      path: File to write.
      audio: Audio, `[num_samples, channels]`.
      sample_rate: Sampling rate of `audio` in Hz.
      writing: Settings, as for `encode`.
      title: Title, as for `encode`.
    """
    atomic.write(path, encode(audio, sample_rate, writing, title))
