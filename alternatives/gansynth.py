"""Builds a GANSynth: a GAN of log-magnitudes and instantaneous frequencies.

Phases themselves look random, but the speed at which a phase turns from frame
to frame, the instantaneous frequency, is constant for a steady tone. If it is
learned together with the magnitudes, phases need not be estimated, as by
Griffin and Lim: they are the sums of these turns.

Left out: the paper grows its networks during training; here they have SpecGAN's
layout. Its discriminator also classifies its input; here the label enters the
score, as in all GANs of this repository.

Source: Engel et al. (2019), "GANSynth: Adversarial Neural Audio Synthesis".
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import scipy.signal
import tensorflow as tf

import gan
import specgan
from networks import dcgan
from system import settings
from system.settings import setting

SLICE_LEN = 16384  # samples
RATE = 16000  # Hz, for the mel scale; it fits other rates less well
FRAME_LEN = 512  # samples
HOP_LEN = 128  # samples between two frames; GANSynth's overlap of 3/4
NUM_FRAMES = SLICE_LEN // HOP_LEN
NUM_BINS = FRAME_LEN // 2  # without the highest, at half the sampling rate
NUM_MELS = 128
MARGIN = (FRAME_LEN - HOP_LEN) // 2  # samples of frames outside of the clip
# Largest absolute logarithm of a magnitude, which becomes 1. A sine of
# amplitude 1 has a magnitude of 128, or e^4.9; the floor is 86 dB lower.
LOG_RANGE = 5.0
FLOOR = math.exp(-LOG_RANGE)


@dataclasses.dataclass(frozen=True)
class GANSynthConfig(dcgan.Config):
    """The architecture of both networks.

    Raises:
      SettingError: A setting is out of its range.
    """

    slice_len: int = setting(
        SLICE_LEN,
        f"Number of samples of a clip, which give {NUM_FRAMES} frames.",
        choices=(SLICE_LEN,),
    )
    channels: int = setting(
        1,
        "Number of audio channels, 1 to 64.",
        flag="data_num_channels",
        low=1,
        high=64,
    )
    kernel_len: int = setting(
        5,
        "Number of taps of every (transposed) convolution along each of its "
        "two axes.",
        flag="*_kernel_len",
        low=1,
        high=64,
    )
    batchnorm: bool = setting(
        False, "The generator has pixel norm instead.", choices=(False,)
    )

    def __post_init__(self) -> None:
        """Checks all settings."""
        settings.check(self)
        size = specgan.FIRST_SIZE
        self.check(size**2, self.kernel_len**2, 2 * size)

    @property
    def widths(self) -> tuple[int, ...]:
        """Output channels of the critic's strided layers, in order of use."""
        return tuple(self.dim * 2**i for i in range(specgan.NUM_LAYERS))

    @property
    def example_channels(self) -> int:
        """A log-magnitude and a frequency for each channel of the audio."""
        return 2 * self.channels


# The networks ----------------------------------------------------------------


def build_generator(config: GANSynthConfig) -> keras.Model:
    """Builds the generator G.

    Args:
      config: Architecture of the network.

    Returns:
      Model from latent vectors z, `[batch, latent_dim]`, to examples in [-1,
      1], `[batch, NUM_FRAMES, NUM_MELS, 2 * channels]`, as `from_audio` makes
      them. With labels, its input is `[z, label]`, where label is int32,
      `[batch]`.

    Source: Engel et al. (2019), section 2; table 5 of the WaveGAN paper.
    """
    inputs, x = dcgan.generate(
        config,
        (specgan.FIRST_SIZE, specgan.FIRST_SIZE),
        lambda x, width, i: specgan.upconv(pixel_norm(x), width, i, config),
    )
    return keras.Model(inputs, x, name="generator")


def build_discriminator(config: GANSynthConfig) -> keras.Model:
    """Builds the discriminator D, the critic of WGAN-GP.

    Args:
      config: Architecture of the network.

    Returns:
      Model from examples, `[batch, NUM_FRAMES, NUM_MELS, 2 * channels]`, to raw
      scores, `[batch]`; higher scores mean more real. With labels, its input is
      `[example, label]`.

    Source: table 6 of the WaveGAN paper.
    """
    shape = (NUM_FRAMES, NUM_MELS, config.example_channels)
    inputs, score = dcgan.discriminate(
        config,
        keras.Input(shape, name="example"),
        lambda x, width, i: specgan.downconv(x, width, i, config),
        lambda x: x,
    )
    return keras.Model(inputs, score, name="discriminator")


def pixel_norm(x: Any) -> Any:
    """Scales the features of each position to a mean square of 1.

    Args:
      x: Symbolic feature maps, `[batch, ..., channels]`.

    Source: Karras et al. (2018), "Progressive Growing of GANs", section 4.2.
    """
    x = keras.layers.UnitNormalization()(x)
    return keras.layers.Rescaling(math.sqrt(x.shape[-1]))(x)


# The representation ----------------------------------------------------------


def _mel_bins() -> np.ndarray:
    """Places mel bins among linear ones, from the lowest to the highest.

    Source: O'Shaughnessy (1987), for the scale.
    """
    hertz = RATE / FRAME_LEN  # of a bin
    highest = np.log1p((NUM_BINS - 1) * hertz / 700)
    return 700 / hertz * np.expm1(np.linspace(0, highest, NUM_MELS))


# Mel bins are 14 Hz apart at 0 Hz, and 170 Hz at 8 kHz.
_BINS = np.arange(NUM_BINS)
MEL_BINS = _mel_bins()
NEAREST_BIN = np.rint(MEL_BINS).astype(int)  # of each mel bin
NEAREST_MEL = np.abs(MEL_BINS - _BINS[:, np.newaxis]).argmin(axis=1)
TURN = 2 * math.pi * HOP_LEN / FRAME_LEN * NEAREST_BIN  # of a mel bin in a hop
# Turns phases at the start of a frame into those in its middle, and back.
_HALF_A_FRAME = (-1.0) ** _BINS.astype(np.float32)
_WINDOW = scipy.signal.windows.hann(FRAME_LEN, sym=False).astype(np.float32)


def mel_filters() -> np.ndarray:
    """Returns the share of each bin in each mel bin, `[NUM_BINS, NUM_MELS]`.

    A filter is a triangle, which reaches to the next mel bins or, where these
    are closer, to the next bins of the linear scale. Its shares add up to 1.
    """
    width = np.maximum(np.gradient(MEL_BINS), 1)
    distance = np.abs(_BINS[:, np.newaxis] - MEL_BINS)
    triangles = np.maximum(0, 1 - distance / width)
    return (triangles / triangles.sum(axis=0)).astype(np.float32)


def wrap(angle: Any) -> Any:
    """Returns the same angles from -pi to below pi."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def analyse(audio: tf.Tensor) -> tf.Tensor:
    """Converts audio to log-magnitudes and instantaneous frequencies.

    Magnitudes are means of power over each mel bin. Means of neighbouring
    phases would say nothing: a mel bin has the phase of the nearest linear bin,
    and its frequency is the difference from that bin's. (The paper's is the
    phase's whole turn in a hop, which jumps from 1 to -1 at each odd multiple
    of 62.5 Hz, in the middle of harmonics. The difference is unambiguous for
    tones that are within two bins.)

    Args:
      audio: Clips, `[batch, SLICE_LEN, channels]`.

    Returns:
      Log-magnitudes and instantaneous frequencies, both scaled to [-1, 1],
      `[batch, NUM_FRAMES, NUM_MELS, 2 * channels]`. A frequency of 1 is a
      difference of two bins, 62.5 Hz. The first frame holds phases.

    Source: Engel et al. (2019), section 2.1; Flanagan and Golden (1966), "Phase
    Vocoder".
    """
    spectrum = _stft(audio)
    power = tf.einsum("btfc,fm->btmc", tf.abs(spectrum) ** 2, mel_filters())
    log_magnitude = tf.math.log(tf.sqrt(power) + FLOOR)
    scaled = tf.minimum(log_magnitude / LOG_RANGE, 1.0)
    nearest = tf.gather(spectrum, NEAREST_BIN, axis=2)
    turned = wrap(np.outer(np.arange(1, NUM_FRAMES + 1), TURN))[..., np.newaxis]
    # The phases of what cannot be heard would be noise to learn.
    phase = tf.where(
        tf.abs(nearest) > FLOOR,
        tf.math.angle(nearest) - turned.astype(np.float32),
        0.0,
    )
    before = tf.pad(phase[:, :-1], [(0, 0), (1, 0), (0, 0), (0, 0)])
    return tf.concat([scaled, wrap(phase - before) / math.pi], axis=3)


def synthesise(examples: Any) -> Any:
    """Converts what `analyse` makes, or a generator, to audio.

    Written with `keras.ops`, so that it takes symbolic tensors, too.

    Args:
      examples: Log-magnitudes and instantaneous frequencies in [-1, 1],
        `[batch, NUM_FRAMES, NUM_MELS, 2 * channels]`.

    Returns:
      Audio in [-1, 1], `[batch, SLICE_LEN, channels]`.

    Source: Engel et al. (2019), section 2.1.
    """
    ops = keras.ops
    scaled, frequency = ops.split(examples, 2, axis=3)
    # Linear interpolation of the logarithms between mel bins.
    place = np.interp(_BINS, MEL_BINS, np.arange(NUM_MELS))
    lower = np.minimum(place.astype(int), NUM_MELS - 2)
    share = (place - lower).astype(np.float32)[:, np.newaxis]
    low, high = (ops.take(scaled, (lower + i).tolist(), axis=2) for i in (0, 1))
    scaled = low + (high - low) * share
    magnitude = ops.exp(scaled * LOG_RANGE) - FLOOR
    # Subtracted: Keras's addition takes a vector for a bias, and this one for a
    # bias of frames, which are as many as mel bins.
    back = wrap(-TURN).astype(np.float32)[:, np.newaxis]
    phase = ops.cumsum(frequency * math.pi - back, axis=1)
    phase = ops.take(phase, NEAREST_MEL.tolist(), axis=2)
    audio = _inverse_stft(
        magnitude * ops.cos(phase), magnitude * ops.sin(phase)
    )
    return ops.clip(audio, -1.0, 1.0)


def _stft(audio: tf.Tensor) -> tf.Tensor:
    """Computes a short-time Fourier transform.

    Phases are those in the middle of a frame, where the neighbouring bins of a
    steady tone have the same.

    Args:
      audio: Clips, `[batch, SLICE_LEN, channels]`.

    Returns:
      Complex spectra, `[batch, NUM_FRAMES, NUM_BINS, channels]`.
    """
    signal = tf.transpose(audio, [0, 2, 1])
    signal = tf.pad(signal, [(0, 0), (0, 0), (MARGIN, MARGIN)])
    spectrum = tf.signal.stft(signal, FRAME_LEN, HOP_LEN)[..., :NUM_BINS]
    return tf.transpose(spectrum * _HALF_A_FRAME, [0, 2, 3, 1])


def _inverse_stft(real: Any, imaginary: Any) -> Any:
    """Computes the audio whose `_stft` is nearest.

    Args:
      real: Real part of the spectra, `[batch, NUM_FRAMES, NUM_BINS, channels]`.
      imaginary: Their imaginary part.

    Returns:
      Audio, `[batch, SLICE_LEN, channels]`.

    Source: Griffin and Lim (1984), equation 6.
    """
    ops = keras.ops
    parts = []
    for part in (real, imaginary):
        part = ops.transpose(part, (0, 3, 1, 2)) * _HALF_A_FRAME
        parts.append(ops.pad(part, [(0, 0), (0, 0), (0, 0), (0, 1)]))
    frames = ops.irfft(tuple(parts), fft_length=FRAME_LEN) * _WINDOW
    return ops.transpose(_overlap_add(frames) * _overlap_gain(), (0, 2, 1))


def _overlap_add(frames: Any) -> Any:
    """Adds overlapping frames to a signal.

    Args:
      frames: `[batch, channels, NUM_FRAMES, FRAME_LEN]`.

    Returns:
      Signal without its margins, `[batch, channels, SLICE_LEN]`.
    """
    ops = keras.ops
    num_hops = FRAME_LEN // HOP_LEN
    channels = frames.shape[1]
    hops = ops.reshape(frames, (-1, channels, NUM_FRAMES, num_hops, HOP_LEN))
    # The first hop of frame i is added to hop i, its second to the next.
    signal = sum(
        ops.pad(
            hops[:, :, :, i],
            [(0, 0), (0, 0), (i, num_hops - 1 - i), (0, 0)],
        )
        for i in range(num_hops)
    )
    signal = ops.reshape(signal, (-1, channels, SLICE_LEN + 2 * MARGIN))
    return signal[:, :, MARGIN:-MARGIN]


def _overlap_gain() -> np.ndarray:
    """Returns 1 by the sum of the squared windows at each sample of a clip."""
    total = np.zeros(SLICE_LEN + 2 * MARGIN, np.float32)
    for start in range(0, SLICE_LEN, HOP_LEN):
        total[start : start + FRAME_LEN] += _WINDOW**2
    return 1 / total[MARGIN:-MARGIN]


class GANSynth(gan.GAN):
    """A GAN of log-magnitudes and frequencies that takes and returns audio.

    Source: Engel et al. (2019).
    """

    def from_audio(self, audio: tf.Tensor) -> tf.Tensor:
        """Converts audio to what the networks learn: see `analyse`."""
        return analyse(audio)

    def to_audio(self, examples: Any) -> Any:
        """Converts what the networks make to audio: see `synthesise`."""
        return synthesise(examples)
