"""Augments the input of the discriminator, real and generated clips alike.

A discriminator memorises a small data set. It cannot do so if every clip that
it scores, real or generated, is first changed at random. The generator still
learns the data and not the changes: if the distributions of changed clips
match, those of the clips themselves do too. All changes are differentiable.

Source: Zhao et al. (2020), "Differentiable Augmentation for Data-Efficient GAN
Training"; Karras et al. (2020), "Training Generative Adversarial Networks with
Limited Data", section 2, for why the changes do not leak.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from networks import replicas
from networks import spectrogram as spectrogram_lib
from system import settings

MAX_SHIFT = 1 / 16  # largest shift, as a share of the clip
GAIN_DB = 6.0  # largest change of level, up or down
TILT_DB = 6.0  # largest change of the highest frequency, up or down
NOISE_DB = (-90.0, -40.0)  # range of the noise's level relative to full scale
NEPERS = math.log(10) / 20  # nepers in a decibel


def _shift(batch: Any, length: int, seed: tf.Tensor) -> tf.Tensor:
    """Moves a clip by up to a sixteenth of its length; the gap is silent."""
    # A delay rotates the phase of each frequency in proportion to it. Full
    # rotations are taken out by integer arithmetic, which is exact.
    delay = tf.cast(_draw_delay(batch, length, seed), tf.int64)
    steps = delay * tf.range(length + 1, dtype=tf.int64) % (2 * length)
    angle = -math.pi / length * tf.cast(steps, tf.float32)
    return tf.complex(tf.cos(angle), tf.sin(angle))


def _polarity(batch: Any, length: int, seed: tf.Tensor) -> tf.Tensor:
    """Inverts the polarity of a clip with a probability of one half."""
    del length
    sign = tf.where(_uniform(batch, seed, 0.0, 1.0) < 0.5, -1.0, 1.0)
    return tf.cast(sign, tf.complex64)


def _gain(batch: Any, length: int, seed: tf.Tensor) -> tf.Tensor:
    """Changes the level of a clip by up to 6 dB, up or down."""
    del length
    decibels = _uniform(batch, seed, -GAIN_DB, GAIN_DB)
    return tf.cast(tf.exp(NEPERS * decibels), tf.complex64)


def _tilt(batch: Any, length: int, seed: tf.Tensor) -> tf.Tensor:
    """Tilts the spectrum: the gain in dB is proportional to the frequency."""
    decibels = _uniform(batch, seed, -TILT_DB, TILT_DB)
    decibels *= tf.linspace(0.0, 1.0, length + 1)
    return tf.cast(tf.exp(NEPERS * decibels), tf.complex64)


# Each function returns the frequency response of a filter for every clip of a
# batch, `[batch, length + 1 or 1]`. The responses are multiplied, so that any
# number of filters costs one Fourier transform and its inverse.
FILTERS: dict[str, Callable[[Any, int, tf.Tensor], tf.Tensor]] = {
    "shift": _shift,
    "polarity": _polarity,
    "gain": _gain,
    "filter": _tilt,
}
NOISE = "noise"
KINDS = (*FILTERS, NOISE)
# Augmentations of spectrograms, which have no polarity.
SPECTROGRAM_KINDS = ("shift", "gain", "filter", NOISE)


def parse(names: str) -> tuple[str, ...]:
    """Splits a list of augmentations, such as "shift,polarity", into names.

    Raises:
      SettingError: A name is unknown, or occurs twice.
    """
    kinds = tuple(name for name in names.split(",") if name)
    check(kinds, KINDS)
    return kinds


def check(kinds: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Checks names of augmentations.

    Raises:
      SettingError: A name is not in `known`, or occurs twice.
    """
    if set(kinds) - set(known) or len(set(kinds)) < len(kinds):
        raise settings.SettingError(
            "augment",
            ",".join(kinds),
            f"some of {','.join(known)}, each once",
        )


def augment(
    audio: tf.Tensor, kinds: tuple[str, ...], seed: tf.Tensor
) -> tf.Tensor:
    """Changes each clip of a batch at random.

    Args:
      audio: Clips, `[batch, length, channels]`; all channels of a clip are
        changed in the same way.
      kinds: Names of the augmentations, some of KINDS.
      seed: Seed of all random draws, int64, `[2]`.

    Returns:
      Augmented clips, `[batch, length, channels]`, differentiable with respect
      to `audio`.
    """
    batch, length = audio.shape[0] or tf.shape(audio)[0], audio.shape[1]
    seeds = _split(seed)
    filters = [kind for kind in kinds if kind in FILTERS]
    if filters:
        response = tf.ones([1, 1], tf.complex64)
        for kind in filters:
            response *= FILTERS[kind](batch, length, seeds[kind])
        # The transform has twice the length, so that samples that are shifted
        # out at one end do not come back at the other.
        signal = tf.transpose(audio, [2, 0, 1])
        spectrum = tf.signal.rfft(signal, [2 * length]) * response
        signal = tf.signal.irfft(spectrum, [2 * length])[..., :length]
        audio = tf.transpose(signal, [1, 2, 0])
    if NOISE in kinds:
        decibels = _uniform(batch, seeds["noise level"], *NOISE_DB)
        shape = [batch * replicas.count(), *audio.shape[1:]]
        noise = tf.random.stateless_normal(shape, seeds[NOISE])
        level = tf.exp(NEPERS * decibels)[..., tf.newaxis]
        audio += level * replicas.own_rows(noise)
    return audio


def augment_spectrogram(
    spectrogram: tf.Tensor,
    kinds: tuple[str, ...],
    moments: spectrogram_lib.Moments,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Changes each spectrogram of a batch as if its audio were augmented.

    Shifts are by whole frames; gains and tilts are added to log-magnitudes; the
    power of noise is added to that of the audio. Nothing is clipped, because
    clipping stops gradients.

    Args:
      spectrogram: Spectrograms as from `spectrogram.to_spectrogram`, `[batch,
        NUM_FRAMES, NUM_BINS, 1]`.
      kinds: Names of the augmentations, some of SPECTROGRAM_KINDS.
      moments: Moments that the spectrograms were normalised with.
      seed: Seed of all random draws, int64, `[2]`.

    Returns:
      Augmented spectrograms of the same shape, differentiable with respect to
      `spectrogram`.
    """
    batch = spectrogram.shape[0] or tf.shape(spectrogram)[0]
    num_frames, num_bins = spectrogram_lib.NUM_FRAMES, spectrogram_lib.NUM_BINS
    seeds = _split(seed)
    sigma = np.float32(spectrogram_lib.CLIP_SIGMAS * moments.std)
    logs = sigma * spectrogram[..., 0] + np.float32(moments.mean)
    if "gain" in kinds:
        decibels = _uniform(batch, seeds["gain"], -GAIN_DB, GAIN_DB)
        logs += NEPERS * decibels[..., tf.newaxis]
    if "filter" in kinds:
        decibels = _uniform(batch, seeds["filter"], -TILT_DB, TILT_DB)
        share = tf.range(num_bins, dtype=tf.float32) / num_bins
        logs += NEPERS * decibels[..., tf.newaxis] * share
    if "shift" in kinds:
        delay = _draw_delay(batch, num_frames, seeds["shift"])
        source = tf.range(num_frames) - tf.cast(delay, tf.int32)
        moved = tf.gather(
            logs, tf.clip_by_value(source, 0, num_frames - 1), batch_dims=1
        )
        inside = (source >= 0) & (source < num_frames)
        silence = np.maximum(
            math.log(spectrogram_lib.FLOOR), moments.mean - sigma
        )
        logs = tf.where(inside[..., tf.newaxis], moved, np.float32(silence))
    if NOISE in kinds:
        decibels = _uniform(batch, seeds["noise level"], *NOISE_DB)
        shape = [batch * replicas.count(), num_frames, num_bins]
        draws = tf.random.stateless_uniform(shape, seeds[NOISE], 1e-7, 1.0)
        # In each bin, the power of white noise is exponentially distributed.
        power = spectrogram_lib.WINDOW_POWER * -tf.math.log(
            replicas.own_rows(draws)
        )
        noise = NEPERS * decibels[..., tf.newaxis] + tf.math.log(power) / 2
        logs += tf.nn.softplus(2 * (noise - logs)) / 2
    return ((logs - np.float32(moments.mean)) / sigma)[..., tf.newaxis]


def _split(seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Derives a separate seed for each random draw, by its name."""
    return {
        name: tf.random.experimental.stateless_fold_in(seed, number)
        for number, name in enumerate((*KINDS, "noise level"))
    }


def _uniform(batch: Any, seed: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Draws a uniform number for each example, `[batch, 1]`."""
    shape = [batch * replicas.count(), 1]
    draws = tf.random.stateless_uniform(shape, seed, low, high)
    return replicas.own_rows(draws)


def _draw_delay(batch: Any, length: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws the delay of each example, in whole steps, `[batch, 1]`."""
    return tf.round(_uniform(batch, seed, -MAX_SHIFT, MAX_SHIFT) * length)
