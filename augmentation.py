"""Augments what a discriminator hears, real and generated clips alike.

A discriminator learns a small data set by heart. If every clip that it hears,
real or generated, is changed at random first, it cannot, and the generator
still learns the data and not the changes: whoever matches the changed clips
matches the clips themselves. All changes are differentiable.

Source: Zhao et al. (2020), "Differentiable Augmentation for Data-Efficient GAN
Training"; Karras et al. (2020), "Training Generative Adversarial Networks with
Limited Data", section 2, for why the changes do not leak.
"""

import math
from collections.abc import Callable

import tensorflow as tf

import replicas

MAX_SHIFT = 1 / 16  # share of the clip
GAIN_DB = 6.0  # the largest change of level, up or down
TILT_DB = 6.0  # the largest change of the highest frequency, up or down
NOISE_DB = (-90.0, -40.0)  # below full scale


def _uniform(batch: int, seed: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Draws one number an example, `[batch, 1]`."""
    shape = [batch * replicas.count(), 1]
    draws = tf.random.stateless_uniform(shape, seed, low, high)
    return replicas.own_rows(draws)


def _gain(decibels: tf.Tensor) -> tf.Tensor:
    return 10.0 ** (decibels / 20.0)


def _shift(batch: int, length: int, seed: tf.Tensor) -> tf.Tensor:
    """Earlier or later by up to a sixteenth of the clip; the gap is silent."""
    delay = _uniform(batch, seed, -MAX_SHIFT, MAX_SHIFT) * length
    # A delay turns the phase of each frequency in proportion to it.
    angle = -math.pi * tf.round(delay) * tf.linspace(0.0, 1.0, length + 1)
    return tf.complex(tf.cos(angle), tf.sin(angle))


def _polarity(batch: int, length: int, seed: tf.Tensor) -> tf.Tensor:
    """Upside down, for one clip of two."""
    del length
    sign = tf.where(_uniform(batch, seed, 0.0, 1.0) < 0.5, -1.0, 1.0)
    return tf.cast(sign, tf.complex64)


def _level(batch: int, length: int, seed: tf.Tensor) -> tf.Tensor:
    """Louder or quieter by up to 6 dB."""
    del length
    decibels = _uniform(batch, seed, -GAIN_DB, GAIN_DB)
    return tf.cast(_gain(decibels), tf.complex64)


def _tilt(batch: int, length: int, seed: tf.Tensor) -> tf.Tensor:
    """Brighter or duller: decibels in proportion to the frequency."""
    decibels = _uniform(batch, seed, -TILT_DB, TILT_DB)
    decibels *= tf.linspace(0.0, 1.0, length + 1)
    return tf.cast(_gain(decibels), tf.complex64)


# Each gives the frequency response of a filter for every clip of a batch,
# `[batch, length + 1 or 1]`: any number of them cost one transform and back.
FILTERS: dict[str, Callable[[int, int, tf.Tensor], tf.Tensor]] = {
    "shift": _shift,
    "polarity": _polarity,
    "gain": _level,
    "filter": _tilt,
}
NOISE = "noise"
KINDS = (*FILTERS, NOISE)


def parse(names: str) -> tuple[str, ...]:
    """Splits the names of augmentations, as in "shift,polarity".

    Raises:
      ValueError: One is unknown.
    """
    kinds = tuple(name for name in names.split(",") if name)
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(
                f"augment is {names!r}: expected some of " + ",".join(KINDS)
            )
    return kinds


def augment(
    audio: tf.Tensor, kinds: tuple[str, ...], seed: tf.Tensor
) -> tf.Tensor:
    """Changes each clip of a batch at random.

    Args:
      audio: `[batch, length, channels]`; the channels of a clip are changed
        alike.
      kinds: Some of KINDS.
      seed: Of all draws, int64, `[2]`.

    Returns:
      Audio of the same shape, differentiable by `audio`.
    """
    batch, length = audio.shape[0] or tf.shape(audio)[0], audio.shape[1]
    seeds = {
        kind: tf.random.experimental.stateless_fold_in(seed, number)
        for number, kind in enumerate(KINDS)
    }
    filters = [kind for kind in kinds if kind in FILTERS]
    if filters:
        response = tf.ones([1, 1], tf.complex64)
        for kind in filters:
            response *= FILTERS[kind](batch, length, seeds[kind])
        # Twice the length: what a shift moves out does not come back in.
        signal = tf.transpose(audio, [2, 0, 1])
        spectrum = tf.signal.rfft(signal, [2 * length]) * response
        signal = tf.signal.irfft(spectrum, [2 * length])[..., :length]
        audio = tf.transpose(signal, [1, 2, 0])
    if NOISE in kinds:
        level = _gain(_uniform(batch, seeds[NOISE], *NOISE_DB))
        shape = [batch * replicas.count(), *audio.shape[1:]]
        noise = replicas.own_rows(
            tf.random.stateless_normal(shape, seeds[NOISE])
        )
        audio += level[..., tf.newaxis] * noise
    return audio
