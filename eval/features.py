"""Computes the classifier's input: log-mel spectrograms of one second."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import soxr
import tensorflow as tf

import loader

SAMPLE_RATE = 16000  # Hz
SLICE_LEN = 16384  # samples
NUM_MELS = 128
LOWER_HZ, UPPER_HZ = 40.0, 7800.0
FLOOR = 1e-6  # keeps the logarithm of silence finite
FRAME_LEN = 1024  # samples, for the classifier; twice as many for distances
HOP_LEN = 128  # samples
NOISE_FLOOR_RMS = 1e-3
BATCH_SIZE = 64  # clips per call of TensorFlow


def log_mel(
    audio: np.ndarray, frame_len: int = FRAME_LEN, hop_len: int = HOP_LEN
) -> np.ndarray:
    """Computes log-mel spectrograms.

    A frame starts at every hop, and frames that reach past the end are padded
    with zeros; windows are periodic Hann windows; the bands are triangles on
    the mel scale and weigh magnitudes, not powers; the logarithm is natural.

    Args:
      audio: Samples at 16 kHz, `[batch, num_samples]`, `[batch, num_samples,
        1]`, or a single clip, `[num_samples]`.
      frame_len: Samples in a frame: 1024 for the classifier, 2048 for
        distances.
      hop_len: Samples between the starts of two frames.

    Returns:
      Log-mel spectrograms, float32, `[batch, ceil(num_samples / hop_len),
      128]`, without the batch axis for a single clip.

    Raises:
      ValueError: `audio` has another shape.

    Source: the paper, section 6.1 and its appendix; the settings of the
    authors' scripts.
    """
    audio = np.asarray(audio, np.float32)
    if audio.ndim == 1:
        return log_mel(audio[None], frame_len, hop_len)[0]
    if audio.ndim == 3 and audio.shape[-1] == 1:
        audio = audio[..., 0]
    if audio.ndim != 2:
        raise ValueError(
            f"audio has shape {audio.shape}: expected [batch, num_samples]"
        )
    num_frames = -(-audio.shape[1] // hop_len)
    result = np.empty([len(audio), num_frames, NUM_MELS], np.float32)
    for i in range(0, len(audio), BATCH_SIZE):
        part = slice(i, i + BATCH_SIZE)
        result[part] = _run(tf.constant(audio[part]), frame_len, hop_len)
    return result


def fit(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Converts clips to the classifier's input: one second, 16 kHz, 16 bits.

    Args:
      audio: Audio, `[batch, num_samples, channels]`; channels are averaged.
      sample_rate: Sampling rate of `audio` in Hz.

    Returns:
      Mono clips, cut at the end or padded with zeros, `[batch, 16384]`.
    """
    mono = audio.mean(axis=-1)
    if sample_rate != SAMPLE_RATE:
        mono = soxr.resample(mono.T, sample_rate, SAMPLE_RATE).T
    missing = max(SLICE_LEN - mono.shape[1], 0)
    return round_to_16_bits(np.pad(mono[:, :SLICE_LEN], [(0, 0), (0, missing)]))


def load(paths: Sequence[str]) -> np.ndarray:
    """Loads files as input of the classifier, `[num_files, 16384]`.

    Raises:
      FileNotFoundError: A file does not exist.
      ValueError: A file cannot be decoded.
    """
    return round_to_16_bits(loader.load_clips(paths, SLICE_LEN, SAMPLE_RATE))


def round_to_16_bits(audio: np.ndarray) -> np.ndarray:
    """Rounds samples to the steps of a 16-bit WAV file.

    The paper's scripts read 16-bit files at 16 kHz. Resampled audio has no
    rounding noise in the bands that it lacks, and there its log-mel spectrogram
    falls to a floor that no 16-bit file reaches.
    """
    return loader.from_int16(loader.to_int16(audio))


def add_noise_floor(audio: np.ndarray | tf.Tensor) -> Any:
    """Adds the same faint noise to every clip, 60 dB below full scale.

    In log(mel + 1e-6), the zeros that pad a short clip are as far from
    inaudible noise as that noise is from speech: without a common noise floor,
    a classifier's features separate digital silence from near silence before
    they separate words.

    Args:
      audio: One second at 16 kHz, `[batch, 16384]`.

    Returns:
      Audio with the noise floor, `[batch, 16384]`.
    """
    # Differs from the original: its classifier gets the clip alone.
    return audio + _noise_floor()


@functools.cache
def _noise_floor() -> np.ndarray:
    """Returns the fixed white noise of `add_noise_floor`, `[16384]`."""
    noise = np.random.default_rng(0).normal(0, NOISE_FLOOR_RMS, SLICE_LEN)
    return noise.astype(np.float32)


def log_mel_tensor(
    audio: tf.Tensor, frame_len: int = FRAME_LEN, hop_len: int = HOP_LEN
) -> tf.Tensor:
    """Computes what `log_mel` computes, on tensors and all clips at once."""
    # In float64: next to a loud band, the rounding error of a float32 transform
    # is not small compared with FLOOR.
    spectra = tf.signal.stft(
        tf.cast(audio, tf.float64),
        frame_len,
        hop_len,
        fft_length=frame_len,
        pad_end=True,
    )
    log_mels = tf.math.log(tf.abs(spectra) @ mel_matrix(frame_len) + FLOOR)
    return tf.cast(log_mels, tf.float32)


_run = tf.function(log_mel_tensor, reduce_retracing=True)


@functools.cache
def mel_matrix(fft_len: int) -> np.ndarray:
    """Returns the weights of the mel bands, `[fft_len // 2 + 1, 128]`."""
    with tf.init_scope():
        return tf.signal.linear_to_mel_weight_matrix(
            NUM_MELS,
            fft_len // 2 + 1,
            SAMPLE_RATE,
            LOWER_HZ,
            UPPER_HZ,
            tf.float64,
        ).numpy()
