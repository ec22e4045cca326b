"""Tests SpecGAN's training, from audio to audio."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import gan
import specgan
from networks import spectrogram

Random = np.random.Generator
MOMENTS = spectrogram.Moments(np.full(128, -3.0), np.full(128, 2.0))


def build(kind: Callable[..., gan.GAN], **fields: Any) -> gan.GAN:
    """A compiled GAN of small networks, of always the same weights."""
    config = specgan.SpecGANConfig(
        latent_dim=3, dim=1, kernel_len=3, phaseshuffle=1, **fields
    )
    keras.utils.set_random_seed(0)
    model = kind(
        specgan.build_generator(config),
        specgan.build_discriminator(config),
        latent_dim=3,
        critic_steps=2,
        ema_decay=0.9,
    )
    model.compile("wgan-gp")
    return model


@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.usefixtures("eagerly")
def test_it_learns_the_spectrograms_of_the_audio(
    batchnorm: bool, rng: Random
) -> None:
    audio = rng.normal(0, 0.1, (2, 4, 16384, 1)).astype(np.float32)
    model = build(
        functools.partial(specgan.SpecGAN, moments=MOMENTS),
        batchnorm=batchnorm,
    )
    twin = build(gan.GAN, batchnorm=batchnorm)
    before = [np.array(w) for w in model.trainable_variables]
    losses = model.train_step(tf.constant(audio))
    pictures = [spectrogram.to_spectrogram(part, MOMENTS) for part in audio]
    assert losses == twin.train_step(tf.stack(pictures))
    for ours, theirs in zip(model.variables, twin.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    moved = [
        np.any(old != new)
        for old, new in zip(before, model.trainable_variables, strict=True)
    ]
    assert np.mean(moved) > 0.7  # a bias before a normalisation may stay


def test_it_is_heard_through_griffin_and_lim(rng: Random) -> None:
    model = build(
        functools.partial(specgan.SpecGAN, moments=MOMENTS, iterations=3)
    )
    z = rng.uniform(-1, 1, (2, 3)).astype(np.float32)
    model.generator.set_weights(
        [3 * weights for weights in model.generator.get_weights()]
    )
    silent = model.generate(z)  # by the average, which has not learnt that
    model.ema_generator.set_weights(model.generator.get_weights())
    expected = spectrogram.to_audio(model.generator(z), MOMENTS, iterations=3)
    np.testing.assert_array_equal(model.generate(z), expected)
    assert np.any(silent != expected)
