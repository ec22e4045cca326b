"""What the judge hears: log-mel spectrograms of one second at 16 kHz."""

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
FRAME_LEN = 1024  # samples, of the classifier; of distances, twice as many
HOP_LEN = 128  # samples
ROOM_TONE_RMS = 1e-3
BATCH_SIZE = 64  # clips at once


def log_mel(
    audio: np.ndarray, frame_len: int = FRAME_LEN, hop_len: int = HOP_LEN
) -> np.ndarray:
    """Computes log-mel spectrograms.

    Frames start at every hop and run over the end into zeros, under periodic
    Hann windows; bands are triangles on the mel scale, of magnitudes, not
    powers; the logarithm is natural.

    Args:
      audio: Samples at 16 kHz, `[batch, num_samples]`, `[batch, num_samples,
        1]`, or of one clip, `[num_samples]`.
      frame_len: Samples in a frame: 1024 before the classifier, 2048 before
        distances.
      hop_len: Samples between two frames.

    Returns:
      float32 `[batch, ceil(num_samples / hop_len), 128]`, without the batch if
      there was none.

    Raises:
      ValueError: `audio` is of another shape.

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
            f"audio is of shape {audio.shape}: expected [batch, num_samples]"
        )
    num_frames = -(-audio.shape[1] // hop_len)
    result = np.empty([len(audio), num_frames, NUM_MELS], np.float32)
    for i in range(0, len(audio), BATCH_SIZE):
        part = slice(i, i + BATCH_SIZE)
        result[part] = _run(tf.constant(audio[part]), frame_len, hop_len)
    return result


def fit(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Brings clips to what the classifier hears: one second at 16 kHz, 16 bits.

    Args:
      audio: `[batch, num_samples, channels]`; of channels the mean is taken.
      sample_rate: In Hz.

    Returns:
      Cut at the end, or filled up with zeros, `[batch, 16384]`.
    """
    mono = audio.mean(axis=-1)
    if sample_rate != SAMPLE_RATE:
        mono = soxr.resample(mono.T, sample_rate, SAMPLE_RATE).T
    missing = max(SLICE_LEN - mono.shape[1], 0)
    return round_to_16_bits(np.pad(mono[:, :SLICE_LEN], [(0, 0), (0, missing)]))


def load(paths: Sequence[str]) -> np.ndarray:
    """Loads files as what the classifier hears, `[num_files, 16384]`.

    Raises:
      FileNotFoundError: A file does not exist.
      ValueError: A file cannot be decoded.
    """
    return round_to_16_bits(loader.load_clips(paths, SLICE_LEN, SAMPLE_RATE))


def round_to_16_bits(audio: np.ndarray) -> np.ndarray:
    """Rounds samples as a WAV file does.

    The paper's scripts read 16-bit files at 16 kHz. What was resampled has no
    rounding noise in the bands that it lacks, and its log-mel spectrogram falls
    there to a floor that no such file knows.
    """
    return loader.from_int16(loader.to_int16(audio))


def add_room_tone(audio: np.ndarray | tf.Tensor) -> Any:
    """Adds faint noise, always the same, 60 dB below full scale.

    To log(mel + 1e-6), the zeros that fill up a short clip are as far from
    noise that nobody hears as that noise is from speech: without a common
    floor, a classifier's features tell digital silence from near silence
    before they tell words apart.

    Args:
      audio: One second at 16 kHz, `[batch, 16384]`.

    Returns:
      The same shape.
    """
    # Differs from the original: it hears the clip alone.
    return audio + _room_tone()


@functools.cache
def _room_tone() -> np.ndarray:
    tone = np.random.default_rng(0).normal(0, ROOM_TONE_RMS, SLICE_LEN)
    return tone.astype(np.float32)


def log_mel_tensor(
    audio: tf.Tensor, frame_len: int = FRAME_LEN, hop_len: int = HOP_LEN
) -> tf.Tensor:
    """Does as `log_mel` within a graph, all clips at once."""
    # In float64: beside a loud band, the rounding of a float32 transform is not
    # small against the floor.
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
    """Weights of the bands, `[fft_len // 2 + 1, 128]`."""
    with tf.init_scope():
        return tf.signal.linear_to_mel_weight_matrix(
            NUM_MELS,
            fft_len // 2 + 1,
            SAMPLE_RATE,
            LOWER_HZ,
            UPPER_HZ,
            tf.float64,
        ).numpy()
