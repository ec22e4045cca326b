"""Converts audio to the normalised log-spectrograms of SpecGAN, and back.

A clip of 16384 samples becomes an image of 128 frames by 128 frequency bins in
[-1, 1]. Phases are discarded, and the Griffin-Lim algorithm estimates them.

Source: section 4 of the paper; Griffin and Lim (1984), "Signal Estimation
from Modified Short-Time Fourier Transform".
"""

import dataclasses
import io
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from system import atomic, settings

SLICE_LEN = 16384  # samples
FRAME_LEN = 256  # samples
HOP_LEN = 128  # samples between two frames
NUM_FRAMES = SLICE_LEN // HOP_LEN
NUM_BINS = FRAME_LEN // 2  # without the highest, at half the sampling rate
WINDOW_POWER = 3 / 8 * FRAME_LEN  # sum of the squares of a Hann window
FLOOR = 1e-6  # keeps the logarithm of silence finite
CLIP_SIGMAS = 3.0  # standard deviations above the mean that become 1
MAX_BYTES = 2**16  # largest file of moments that is read; they take 2**11


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Mean and standard deviation of a data set in each frequency bin.

    Attributes:
      mean: Mean of the natural logarithm of magnitudes, `[NUM_BINS]`.
      std: Standard deviation of the same, `[NUM_BINS]`.

    Raises:
      ValueError: An array has another shape, is not finite, or is a deviation
        of 0 or less.
    """

    mean: np.ndarray
    std: np.ndarray

    def __post_init__(self) -> None:
        """Checks the shapes and values of both arrays."""
        for name, value in vars(self).items():
            if np.shape(value) != (NUM_BINS,):
                raise ValueError(
                    f"{name} has shape {np.shape(value)}: expected "
                    f"({NUM_BINS},)"
                )
            if not np.all(np.isfinite(value)):
                raise ValueError(f"{name} is not finite in each bin")
        if np.min(self.std) <= 0:
            raise ValueError(
                f"std is {np.min(self.std):g} in bin {np.argmin(self.std)}: "
                "expected above 0, which all audio but silence gives"
            )

    def __eq__(self, other: object) -> bool:
        """Returns whether all numbers are equal."""
        return isinstance(other, Moments) and all(
            np.array_equal(value, getattr(other, name))
            for name, value in vars(self).items()
        )

    __hash__ = None  # type: ignore[assignment]

    def save(self, path: pathlib.Path) -> None:
        """Writes an NPZ file atomically: whole or not at all.

        Raises:
          OSError: The file cannot be written.
        """
        content = io.BytesIO()
        np.savez(content, mean=self.mean, std=self.std)
        atomic.write(path, content.getvalue())

    @classmethod
    def load(cls, path: pathlib.Path) -> "Moments":
        """Reads a file that `save` wrote.

        Raises:
          FileNotFoundError: The file does not exist.
          ValueError: The file is damaged, or does not hold moments.
        """
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path} is missing: measure it by `train_specgan.py moments`"
            ) from None
        try:
            if len(content) > MAX_BYTES:
                raise ValueError(f"it is longer than {MAX_BYTES} bytes")
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return cls(
                    np.asarray(arrays["mean"], np.float32),
                    np.asarray(arrays["std"], np.float32),
                )
        except Exception as error:  # broken archives raise nearly any exception
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{path} holds no moments ({reason}): measure them again by "
                "`train_specgan.py moments`"
            ) from None


def measure_moments(batches: Iterable[tf.Tensor]) -> Moments:
    """Measures the moments of a data set, with one batch in memory at a time.

    Args:
      batches: Batches of audio, `[batch, SLICE_LEN, 1]` each.

    Returns:
      Mean and standard deviation over all frames of all clips.

    Raises:
      ValueError: There is no batch, one has another shape, or all is silent.

    Source: section 4 of the paper; Chan et al. (1979), "Updating Formulae and
    a Pairwise Algorithm for Computing Sample Variances".
    """
    count = 0
    mean, squares = np.zeros(NUM_BINS), np.zeros(NUM_BINS)
    for audio in batches:
        frames = np.asarray(_log_magnitude(audio), np.float64)
        frames = frames.reshape(-1, NUM_BINS)
        step = frames.mean(axis=0) - mean
        share = len(frames) / (count + len(frames))
        squares += np.sum((frames - frames.mean(axis=0)) ** 2, axis=0)
        squares += step**2 * count * share
        mean += step * share
        count += len(frames)
    if not count:
        raise ValueError("there is no audio to measure moments of")
    std = np.sqrt(squares / count)
    return Moments(mean.astype(np.float32), std.astype(np.float32))


def to_spectrogram(audio: tf.Tensor, moments: Moments) -> tf.Tensor:
    """Converts audio to the normalised spectrograms that SpecGAN learns.

    Args:
      audio: Audio in [-1, 1], `[batch, SLICE_LEN, 1]`.
      moments: Moments of the data set.

    Returns:
      Normalised log-magnitudes in [-1, 1], `[batch, NUM_FRAMES, NUM_BINS, 1]`:
      0 is the mean of a bin, 1 lies 3 standard deviations above it.

    Raises:
      ValueError: `audio` has another shape.

    Source: section 4 of the paper.
    """
    sigmas = (_log_magnitude(audio) - moments.mean) / moments.std
    return tf.clip_by_value(sigmas / CLIP_SIGMAS, -1.0, 1.0)[..., tf.newaxis]


def to_audio(
    spectrogram: tf.Tensor, moments: Moments, iterations: int = 16
) -> tf.Tensor:
    """Converts spectrograms from `to_spectrogram` or SpecGAN to audio.

    The same spectrograms give the same audio, because all phases start at 0.
    This moves single steady tones towards multiples of 125 Hz, less so with
    more iterations.

    Args:
      spectrogram: Normalised log-magnitudes in [-1, 1], `[batch, NUM_FRAMES,
        NUM_BINS, 1]`.
      moments: Moments of the data set.
      iterations: Number of Griffin-Lim iterations; 0: all phases are 0.

    Returns:
      Audio in [-1, 1], `[batch, SLICE_LEN, 1]`.

    Raises:
      ValueError: `spectrogram` has another shape, or `iterations` is negative.

    Source: section 4 of the paper; the authors' code.
    """
    settings.check_value("iterations", iterations, low=0)
    spectrogram = _checked(
        spectrogram, "spectrogram", (NUM_FRAMES, NUM_BINS, 1)
    )[..., 0]
    sigmas = CLIP_SIGMAS * spectrogram
    magnitude = tf.exp(sigmas * moments.std + moments.mean)
    # Differs from the original: the highest bin, which is not learned, is
    # silent; the original sets it to its mean.
    magnitude = tf.pad(magnitude, [[0, 0], [0, 0], [0, 1]])
    magnitude = tf.cast(magnitude, tf.complex64)

    def with_phases_of(spectrum: tf.Tensor) -> tf.Tensor:
        length = tf.maximum(tf.abs(spectrum), 1e-8)
        return magnitude * spectrum / tf.cast(length, spectrum.dtype)

    signal = griffin_lim(
        magnitude, with_phases_of, _stft, _inverse_stft, iterations
    )
    return tf.clip_by_value(signal, -1.0, 1.0)[..., tf.newaxis]


def griffin_lim(
    spectrum: Any,
    with_phases_of: Callable[[Any], Any],
    stft: Callable[[Any], Any],
    inverse_stft: Callable[[Any], Any],
    iterations: int,
) -> Any:
    """Estimates a signal whose spectrum has given magnitudes.

    Each iteration keeps the phases of the signal's spectrum and replaces its
    magnitudes. Tensors may be of any library; so may the representation of
    complex numbers.

    Args:
      spectrum: The magnitudes, with first phases.
      with_phases_of: Function that gives the magnitudes the phases of another
        spectrum.
      stft: Function from a signal to its spectrum.
      inverse_stft: Function from a spectrum to the nearest signal.
      iterations: Number of iterations; 0 keeps the first phases.

    Returns:
      Signal, as `inverse_stft` returns it.

    Source: Griffin and Lim (1984), section III.
    """
    signal = inverse_stft(spectrum)
    for _ in range(iterations):
        signal = inverse_stft(with_phases_of(stft(signal)))
    return signal


def _log_magnitude(audio: tf.Tensor) -> tf.Tensor:
    """Returns log-magnitudes of the learned bins.

    Returns:
      Natural logarithms, `[batch, NUM_FRAMES, NUM_BINS]`.
    """
    audio = _checked(audio, "audio", (SLICE_LEN, 1))[..., 0]
    return tf.math.log(tf.abs(_stft(audio))[..., :NUM_BINS] + FLOOR)


def _stft(signal: tf.Tensor) -> tf.Tensor:
    """Computes a short-time Fourier transform.

    A frame starts at every hop; the second half of the last one is zeros.

    Args:
      signal: Audio, `[batch, SLICE_LEN]`.

    Returns:
      Complex spectra, `[batch, NUM_FRAMES, NUM_BINS + 1]`.
    """
    return tf.signal.stft(
        signal,
        FRAME_LEN,
        HOP_LEN,
        window_fn=tf.signal.hann_window,  # the periodic one
        pad_end=True,
    )


def _inverse_stft(spectrum: tf.Tensor) -> tf.Tensor:
    """Computes the signal whose `_stft` is nearest, `[batch, SLICE_LEN]`.

    This is exact except in the first hop, which only one window covers, with
    its rising half: the signal fades in there, because dividing by the window
    would divide by nearly 0.
    """
    # Differs from the original: it adds overlapping frames that were windowed
    # twice and does not divide by the sum of squared windows, which causes a
    # tremolo of one beat for each hop, 6 dB deep.
    signal = tf.signal.inverse_stft(
        spectrum,
        FRAME_LEN,
        HOP_LEN,
        window_fn=tf.signal.inverse_stft_window_fn(HOP_LEN),
    )
    return signal[:, :SLICE_LEN]


def _checked(x: tf.Tensor, name: str, shape: tuple[int, ...]) -> tf.Tensor:
    """Returns x as float32, or raises ValueError for another shape.

    Args:
      x: Tensor, `[batch, *shape]`.
      name: Name of x in the error.
      shape: Expected shape without the batch.
    """
    x = tf.cast(x, tf.float32)
    if x.shape[1:] != shape:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}: expected [batch, "
            f"{', '.join(map(str, shape))}]"
        )
    return x
