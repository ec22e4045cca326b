"""Decodes audio files to samples, in the TensorFlow graph or outside of it.

Plain WAV files are decoded in the TensorFlow graph or by NumPy, all others by
libsndfile or ffmpeg in processes of their own. All give the same samples.
"""

import functools
import importlib
import io
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import soundfile
import soxr
import tensorflow as tf
from absl import logging

from audio import decoders, headers, spool

FULL_SCALE = 32768  # number of 16-bit steps between 0 and 1
LOUDEST = (
    1e9  # larger samples are refused: they are no audio, and sums overflow
)
# What `route` chooses from: `read`, or decoders in the graph; from 2 on, these
# are tensorflow-io's, one a codec.
PYTHON, TENSORFLOW = 0, 1
_MARGIN = 256  # reach of soxr's HQ filter, in samples of the lower rate
_BLOCK_LEN = 1 << 20  # samples of a long file that are in memory at a time
# WAV codec -> type of samples, and their values of silence and full scale
_PLAIN_SAMPLES = {
    "PCM_U8": ("u1", 128, 128),
    "PCM_16": ("<i2", 0, 2**15),
    "PCM_24": ("<i4", 0, 2**31),  # with a zero byte
    "FLOAT": ("<f4", 0, 1),
}
# WAV codec -> tensorflow-io's type, and its values of silence and full scale
_CODECS = {
    "PCM_U8": (tf.uint8, 128.0, 128.0),
    "PCM_16": (tf.int16, 0.0, 32768.0),
    "PCM_24": (tf.int32, 0.0, 2.0**31),
    "FLOAT": (tf.float32, 0.0, 1.0),
}


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Converts audio in [-1, 1] to 16-bit samples: x 32768, rounded, clipped.

    Differs from the original: it multiplies by 32767 and truncates.
    """
    scaled = np.rint(np.asarray(audio) * np.float32(FULL_SCALE))
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
    """Converts 16-bit samples to float32 audio in [-1, 1), by 1 / 32768."""
    return np.asarray(samples).astype(np.float32) / np.float32(FULL_SCALE)


def decode_audio(
    path: headers.Path,
    sample_rate: int | None = None,
    channels: int = 1,
    normalize: bool = False,
) -> np.ndarray:
    """Decodes a whole audio file.

    Args:
      path: Audio file.
      sample_rate: Target sampling rate in Hz; None: the file's own.
      channels: Target number of channels, as in `index_slices`.
      normalize: Whether to divide by the peak of the result; silence stays
        silence.

    Returns:
      Audio, float32 in [-1, 1] (float files may exceed it),
      `[num_samples, channels]`.

    Raises:
      FileNotFoundError: The file does not exist.
      ValueError: The file cannot be decoded, or not to this number of channels.

    Source: the authors' loader.py, decode_audio.
    """
    info = headers.require_info(path)
    rate = sample_rate or info.sample_rate
    headers.check_target(info, rate, channels)
    audio = read(info, 0, info.num_samples_at(rate), rate, channels)
    # Differs from the original: it always normalises, whatever its flag says.
    peak = np.abs(audio).max() if normalize else 0.0
    return audio / peak if peak > 0 else audio


def load_clips(
    paths: Sequence[headers.Path], slice_len: int, sample_rate: int
) -> np.ndarray:
    """Decodes the first slice of every file, for evaluation.

    Args:
      paths: Audio files.
      slice_len: Number of samples in a slice.
      sample_rate: Target sampling rate in Hz.

    Returns:
      Mono audio, float32 in [-1, 1], one row for each path, padded with zeros,
      `[num_files, slice_len]`.

    Raises:
      FileNotFoundError: A file does not exist.
      ValueError: A file cannot be decoded.
    """
    clips = np.zeros([len(paths), slice_len], np.float32)
    for clip, path in zip(clips, paths, strict=True):
        info = headers.require_info(path)
        headers.check_target(info, sample_rate, 1)
        end = min(slice_len, info.num_samples_at(sample_rate))
        clip[:end] = read(info, 0, end, sample_rate, 1)[:, 0]
    return clips


def _mix(
    audio: np.ndarray, info: headers.AudioInfo, channels: int
) -> np.ndarray:
    """Checks samples and converts them to a number of channels.

    Raises:
      headers.BadAudioError: A sample is not finite, or too large.
    """
    if not (np.abs(audio) < LOUDEST).all():
        reason = f"it has NaN or infinite samples, or beyond {LOUDEST:g}"
        raise headers.BadAudioError(info.path, reason)
    if channels == 1:
        audio = audio.mean(axis=1, keepdims=True)
    return np.broadcast_to(audio, [len(audio), channels])


def _decode_plain(info: headers.AudioInfo, start: int, stop: int) -> np.ndarray:
    """Decodes a part of an intact WAV file, at its own rate and channels.

    Raises:
      OSError: The file has changed.
    """
    _, bits = headers.PLAIN_CODECS[info.subtype]
    align = info.channels * bits // 8
    with pathlib.Path(info.path).open("rb") as file:
        same = info.is_of(os.fstat(file.fileno()))
        if not same or not info.fits(file.read(headers.HEAD_LEN)):
            raise OSError("changed since its header was read")
        file.seek(info.num_bytes - (info.num_samples - start) * align)
        content = np.frombuffer(file.read((stop - start) * align), np.uint8)
    if bits == 24:
        content = np.pad(content.reshape(-1, 3), [[0, 0], [1, 0]])
    dtype, zero, scale = _PLAIN_SAMPLES[info.subtype]
    samples = content.reshape(-1).view(dtype).astype(np.float32)
    samples = (samples - np.float32(zero)) / np.float32(scale)
    return samples.reshape(-1, info.channels)


def _decode(
    info: headers.AudioInfo, start: int, stop: int
) -> Iterator[np.ndarray]:
    """Decodes a part of a file, at its own rate and channels.

    Args:
      info: Header of the file.
      start: First sample; not 0 only if the file seeks exactly.
      stop: End of the part, exclusive.

    Yields:
      Audio, float32, `[num, info.channels]`, together `stop - start` samples.

    Raises:
      headers.BadAudioError: The file cannot be decoded, or has changed.
    """
    missing = stop - start
    try:
        if not info.is_of(pathlib.Path(info.path).stat()):
            raise OSError("changed since its header was read")
        if info.intact:
            yield _decode_plain(info, start, stop)
            return
        for block in decoders.POOL.decode(info.path, start, stop):
            audio = np.frombuffer(block, np.float32)
            audio = audio.reshape(-1, info.channels)
            missing -= len(audio)
            yield audio
        if missing:
            raise OSError(
                f"damaged, or shorter than its header says: {missing} samples "
                "cannot be decoded"
            )
    except OSError as error:
        reason = headers.explain(error)
        raise headers.BadAudioError(info.path, reason) from error


def _decode_whole(
    info: headers.AudioInfo, rate: int, channels: int
) -> Iterator[np.ndarray]:
    """Decodes a file from its start, in blocks, at another rate.

    Yields:
      Audio, float32, `[num, channels]`.
    """
    resampler = None
    if rate != info.sample_rate:
        resampler = soxr.ResampleStream(
            info.sample_rate, rate, channels, "float32", "HQ"
        )
    missing = info.num_samples
    for block in _decode(info, 0, info.num_samples):
        missing -= len(block)
        audio = _mix(block, info, channels)
        if resampler:
            audio = resampler.resample_chunk(audio, last=not missing)
        yield audio


def _read_from_whole(
    info: headers.AudioInfo, start: int, stop: int, rate: int, channels: int
) -> np.ndarray:
    """Reads a part of a file that is decoded whole once; see `read`."""
    shape = info.num_samples_at(rate), channels
    blocks = functools.partial(_decode_whole, info, rate, channels)
    try:
        key = info, rate, channels
        return _spool().read(key, shape, start, stop, blocks)
    except OSError as error:  # no space: correct, but slow
        text = "files are decoded again for every slice: %s"
        logging.log_first_n(logging.WARNING, text, 1, headers.explain(error))
        audio = np.concatenate([*blocks()])[start:stop]
        return np.pad(audio, [[0, stop - start - len(audio)], [0, 0]])


def read(
    info: headers.AudioInfo, start: int, stop: int, rate: int, channels: int
) -> np.ndarray:
    """Decodes a part of a file; it equals that part of the whole file decoded.

    Args:
      info: Header of the file.
      start: First sample of the part, counted at the target rate.
      stop: End of the part, exclusive, counted at the target rate.
      rate: Target sampling rate in Hz.
      channels: Target number of channels.

    Returns:
      Audio, float32, `[stop - start, channels]`.

    Raises:
      headers.BadAudioError: The file cannot be decoded, or has changed.
    """
    if start and not info.seeks:
        return _read_from_whole(info, start, stop, rate, channels)
    common = math.gcd(rate, info.sample_rate)
    up, down = rate // common, info.sample_rate // common
    base, low, high = start, start, stop
    if up != down:
        margin = math.ceil(_MARGIN * max(1, up / down))
        # Resampling that starts at a multiple of the filter's period has the
        # same phase as resampling from the start of the file.
        base = max(0, start - margin) // up * up
        low = base // up * down
        high = min(info.num_samples, (stop + margin) * down // up + 1)
    audio = np.concatenate([*_decode(info, low, high)])
    audio = _mix(audio, info, channels)
    if up != down:
        # Differs from the original: it resamples by librosa's older methods.
        # Ours is soxr's.
        audio = soxr.resample(audio, info.sample_rate, rate, "HQ")
    audio = audio[start - base : stop - base]
    return np.pad(audio, [[0, stop - start - len(audio)], [0, 0]])


@functools.cache
def _spool() -> spool.Spool:
    """Returns the spool of this process, made when it is needed."""
    return spool.Spool()


@functools.cache
def measure_peak(info: headers.AudioInfo, rate: int, channels: int) -> float:
    """Returns the largest magnitude of a file, which it reads in blocks."""
    end, peak = info.num_samples_at(rate), 0.0
    share = min(1.0, rate / info.sample_rate) / info.channels
    block_len = max(1, int(_BLOCK_LEN * share))
    for start in range(0, end, block_len):
        stop = min(start + block_len, end)
        block = read(info, start, stop, rate, channels)
        peak = max(peak, float(np.abs(block).max()))
    return peak


def read_intact(info: headers.AudioInfo) -> bytes | None:
    """Reads the contents of a file, or returns None if the file has changed.

    A broken file can crash the graph's decoders, and a file can change between
    the scan of its header and reading. So the very bytes that are decoded are
    checked again.
    """
    try:
        with pathlib.Path(info.path).open("rb", buffering=0) as file:
            same = info.is_of(os.fstat(file.fileno()))
            contents = file.read() if same else b""
    except OSError:
        return None
    whole = len(contents) == info.num_bytes and info.fits(contents)
    return contents if whole else None


@functools.cache
def tensorflow_io() -> Any:
    """Returns tensorflow-io's audio module, or None if it does not work."""
    try:
        audio = importlib.import_module("tensorflow_io").audio
        wav = io.BytesIO()
        soundfile.write(wav, np.zeros(2, np.int16), 8000, format="WAV")
        audio.decode_wav(wav.getvalue(), dtype=tf.int16)  # loads compiled code
    except Exception:  # however it fails, `read` reads the same files
        return None
    return audio


def route(
    info: headers.AudioInfo, rate: int, channels: int, longest: int
) -> int:
    """Chooses the decoder of a file.

    FLAC files are not decoded by tensorflow-io, because it decodes damaged
    files to wrong samples.

    Args:
      info: Header of the file.
      rate: Target sampling rate in Hz.
      channels: Target number of channels.
      longest: Largest number of samples that the graph may decode.

    Returns:
      `PYTHON`, or else the number of a decoder in `graph_decoders`.
    """
    too_long, resampled = info.num_samples > longest, info.sample_rate != rate
    # The graph sums more than two channels in another order than NumPy does.
    other_mean = channels == 1 and info.channels > 2
    if not info.intact or too_long or other_mean or resampled:
        return PYTHON
    if (info.format, info.subtype) == ("WAV", "PCM_16"):
        return TENSORFLOW
    if not tensorflow_io():
        return PYTHON
    return TENSORFLOW + 1 + list(_CODECS).index(info.subtype)


def graph_decoders(with_io: bool) -> list[Callable[[tf.Tensor], tf.Tensor]]:
    """Returns the decoders by the numbers that `route` gives.

    Args:
      with_io: Whether to include the decoders of tensorflow-io.

    Returns:
      Functions from the contents of a file, a string `[]`, to audio, float32,
      `[num_samples, channels]`.
    """

    def decode_wav(
        dtype: tf.DType, zero: float, scale: float, contents: tf.Tensor
    ) -> tf.Tensor:
        samples = tensorflow_io().decode_wav(contents, dtype=dtype)
        return (tf.cast(samples, tf.float32) - zero) / scale

    codecs = _CODECS.values() if with_io else ()
    return [
        lambda contents: tf.zeros([0, 1]),  # for PYTHON
        lambda contents: tf.audio.decode_wav(contents).audio,
        *(functools.partial(decode_wav, *codec) for codec in codecs),
    ]
