"""Sound as SpecGAN sees it: normalised log-spectrograms, and the way back.

A clip of 16384 samples becomes a picture of 128 frames by 128 frequency bins in
[-1, 1]. Phases are lost; Griffin and Lim's iteration guesses them anew.

Source: section 4 of the paper; Griffin and Lim (1984), "Signal Estimation
from Modified Short-Time Fourier Transform".
"""

import dataclasses
import io
import pathlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

SLICE_LEN = 16384  # samples
FRAME_LEN = 256  # samples
HOP_LEN = 128  # samples between two frames
NUM_FRAMES = SLICE_LEN // HOP_LEN
NUM_BINS = FRAME_LEN // 2  # without the highest, at half the sample rate
WINDOW_POWER = 3 / 8 * FRAME_LEN  # of a Hann window
FLOOR = 1e-6  # keeps the logarithm of silence finite
CLIP_SIGMAS = 3.0  # standard deviations that become 1
MAX_BYTES = 2**16  # of a file of moments, which takes 2**11


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """What is normal in each frequency bin of a data set.

    Attributes:
      mean: Of the natural logarithm of magnitudes, `[NUM_BINS]`.
      std: Their standard deviation, `[NUM_BINS]`.

    Raises:
      ValueError: An array has another shape, is not finite, or is a deviation
        of 0 or less.
    """

    mean: np.ndarray
    std: np.ndarray

    def __post_init__(self) -> None:
        """Checks both arrays."""
        for name, value in vars(self).items():
            if np.shape(value) != (NUM_BINS,):
                raise ValueError(
                    f"{name} is of shape {np.shape(value)}: expected "
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
        """Whether both are the same numbers."""
        return isinstance(other, Moments) and all(
            np.array_equal(value, getattr(other, name))
            for name, value in vars(self).items()
        )

    __hash__ = None  # type: ignore[assignment]

    def save(self, path: pathlib.Path) -> None:
        """Writes an NPZ file, whole or not at all.

        Raises:
          OSError: It cannot be written.
        """
        content = io.BytesIO()
        np.savez(content, mean=self.mean, std=self.std)
        draft = path.with_name(path.name + ".part")
        draft.write_bytes(content.getvalue())
        draft.replace(path)

    @classmethod
    def load(cls, path: pathlib.Path) -> "Moments":
        """Reads what `save` wrote.

        Raises:
          FileNotFoundError: There is no such file.
          ValueError: The file is damaged, or of something else.
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
        except Exception as error:  # broken archives raise nearly all there are
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{path} holds no moments ({reason}): measure them again by "
                "`train_specgan.py moments`"
            ) from None


def measure_moments(batches: Iterable[tf.Tensor]) -> Moments:
    """Measures the moments of a data set, one batch in memory at a time.

    Args:
      batches: Audio, each `[batch, SLICE_LEN, 1]`.

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
    """Turns audio into what SpecGAN learns.

    Args:
      audio: Samples in [-1, 1], `[batch, SLICE_LEN, 1]`.
      moments: Of the data set.

    Returns:
      Normalised log-magnitudes in [-1, 1], `[batch, NUM_FRAMES, NUM_BINS, 1]`:
      0 is the mean of a bin, 1 lies 3 standard deviations above it.

    Raises:
      ValueError: `audio` is of another shape.

    Source: section 4 of the paper.
    """
    sigmas = (_log_magnitude(audio) - moments.mean) / moments.std
    return tf.clip_by_value(sigmas / CLIP_SIGMAS, -1.0, 1.0)[..., tf.newaxis]


def to_audio(
    spectrogram: tf.Tensor, moments: Moments, iterations: int = 16
) -> tf.Tensor:
    """Turns what `to_spectrogram` or SpecGAN makes into audio.

    The same spectrograms give the same audio: all phases start at 0. That pulls
    lone steady tones towards multiples of 125 Hz; more iterations pull less.

    Args:
      spectrogram: `[batch, NUM_FRAMES, NUM_BINS, 1]`, in [-1, 1].
      moments: Of the data set.
      iterations: Of Griffin and Lim's; 0: all phases are 0.

    Returns:
      Samples in [-1, 1], `[batch, SLICE_LEN, 1]`.

    Raises:
      ValueError: `spectrogram` is of another shape, or `iterations` negative.

    Source: section 4 of the paper; the authors' code.
    """
    check_iterations(iterations)
    spectrogram = _checked(
        spectrogram, "spectrogram", (NUM_FRAMES, NUM_BINS, 1)
    )[..., 0]
    sigmas = CLIP_SIGMAS * spectrogram
    magnitude = tf.exp(sigmas * moments.std + moments.mean)
    # Differs from the original: the bin that nobody learns is silent; the
    # original holds it at its mean.
    magnitude = tf.pad(magnitude, [[0, 0], [0, 0], [0, 1]])
    magnitude = tf.cast(magnitude, tf.complex64)
    signal = _inverse_stft(magnitude)
    for _ in range(iterations):
        guess = _stft(signal)
        length = tf.maximum(tf.abs(guess), 1e-8)
        signal = _inverse_stft(magnitude * guess / tf.cast(length, guess.dtype))
    return tf.clip_by_value(signal, -1.0, 1.0)[..., tf.newaxis]


def check_iterations(iterations: int) -> None:
    """Checks a number of iterations of Griffin and Lim's.

    Raises:
      ValueError: It is negative.
    """
    if iterations < 0:
        raise ValueError(f"iterations is {iterations}: expected 0 or more")


def _log_magnitude(audio: tf.Tensor) -> tf.Tensor:
    """Of the bins that are learnt, `[batch, NUM_FRAMES, NUM_BINS]`."""
    audio = _checked(audio, "audio", (SLICE_LEN, 1))[..., 0]
    return tf.math.log(tf.abs(_stft(audio))[..., :NUM_BINS] + FLOOR)


def _stft(signal: tf.Tensor) -> tf.Tensor:
    """Maps `[batch, SLICE_LEN]` to `[batch, NUM_FRAMES, NUM_BINS + 1]`.

    Frames start at every hop; zeros fill the second half of the last one.
    """
    return tf.signal.stft(
        signal,
        FRAME_LEN,
        HOP_LEN,
        window_fn=tf.signal.hann_window,  # the periodic one
        pad_end=True,
    )


def _inverse_stft(spectrum: tf.Tensor) -> tf.Tensor:
    """The signal whose `_stft` is nearest, `[batch, SLICE_LEN]`.

    All but exactly: its first hop, which a single rising window sees, rises
    from silence instead of being divided by nearly nothing.
    """
    # Differs from the original: it overlaps frames that were windowed twice
    # and leaves it at that, which is a tremolo of one beat a hop, 6 dB deep.
    signal = tf.signal.inverse_stft(
        spectrum,
        FRAME_LEN,
        HOP_LEN,
        window_fn=tf.signal.inverse_stft_window_fn(HOP_LEN),
    )
    return signal[:, :SLICE_LEN]


def _checked(x: tf.Tensor, name: str, shape: tuple[int, ...]) -> tf.Tensor:
    """Returns x as float32; ValueError unless it is `[batch, *shape]`."""
    x = tf.cast(x, tf.float32)
    if x.shape[1:] != shape:
        raise ValueError(
            f"{name} is of shape {tuple(x.shape)}: expected [batch, "
            f"{', '.join(map(str, shape))}]"
        )
    return x
