"""Tests the augmentation of SpecGAN's spectrograms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft
import tensorflow as tf

import specgan
from networks import augmentation
from networks import random as random_lib
from networks import spectrogram as spectrogram_lib

Random = np.random.Generator
LEN = 256
MOMENTS = spectrogram_lib.Moments(
    np.linspace(0, -3, 128).astype(np.float32),
    np.linspace(2, 3, 128).astype(np.float32),
)
SIGMA = 3 * MOMENTS.std.astype(np.float64)


def change(x: Any, *kinds: str, seed: int = 1) -> np.ndarray:
    """Augments audio, or spectrograms, as the shape says."""
    given = tf.constant(x, tf.float32)
    seeds = tf.constant([seed, 2], tf.int64)
    if given.shape.rank == 4:
        return augmentation.augment_spectrogram(
            given, kinds, MOMENTS, seeds
        ).numpy()
    return augmentation.augment(given, kinds, seeds).numpy()


def normalise(logs: np.ndarray) -> np.ndarray:
    """What SpecGAN's networks exchange, `[batch, 128, 128, 1]`."""
    return ((logs - MOMENTS.mean) / SIGMA)[..., np.newaxis]


def restore(spectrogram: np.ndarray) -> np.ndarray:
    """The inverse of `normalise`."""
    return spectrogram[..., 0].astype(np.float64) * SIGMA + MOMENTS.mean


@pytest.fixture
def logs(rng: Random) -> np.ndarray:
    """Natural logarithms of magnitudes, `[batch, 128, 128]`."""
    return rng.normal(-2, 1, (16, 128, 128))


def test_spectrograms_move_by_frames_and_silence_fills_the_gap(
    logs: np.ndarray,
) -> None:
    silent = spectrogram_lib.to_spectrogram(tf.zeros([1, 16384, 1]), MOMENTS)[
        0, 0
    ]
    found = change(normalise(logs), "shift")
    delays = []
    for before, after in zip(normalise(logs), found, strict=True):
        errors = {}
        for delay in range(-9, 10):
            expected = np.roll(before, delay, axis=0)
            expected[slice(delay) if delay > 0 else slice(128 + delay, 128)] = (
                silent
            )
            errors[delay] = np.abs(after - expected).max()
        delays.append(min(errors, key=lambda delay: errors[delay]))
        assert errors[delays[-1]] < 1e-6
    assert max(map(abs, delays)) <= 8
    assert np.ptp(delays) > 8


@pytest.mark.parametrize("kind", ["gain", "filter"])
def test_gains_and_tilts_of_spectrograms_are_those_of_audio(
    logs: np.ndarray, kind: str
) -> None:
    added = restore(change(normalise(logs), kind)) - logs
    decibels = 20 / np.log(10) * added
    np.testing.assert_allclose(
        decibels, decibels[:, :1] + 0 * decibels, atol=1e-4
    )
    last = decibels[:, 0, -1]
    assert np.all(np.abs(last) <= 6) and np.ptp(last) > 6
    share = np.arange(128) / 127 if kind == "filter" else np.ones(128)
    line = last[:, None] * share
    np.testing.assert_allclose(decibels[:, 0], line, atol=1e-4)
    # The same draws make the same change of a sound.
    impulse = np.zeros((16, LEN, 1))
    impulse[:, LEN // 2] = 1
    heard = np.abs(scipy.fft.rfft(change(impulse, kind)[..., 0], axis=1))
    middle = 20 * np.log10(heard[:, LEN // 4])
    np.testing.assert_allclose(middle, decibels[:, 0, 64], atol=0.05)


def test_noise_in_spectrograms_has_the_power_of_noise_in_audio() -> None:
    silence = np.zeros((16, 16384, 1), np.float32)
    heard = change(silence, "noise")  # the levels are drawn alike
    wide = spectrogram_lib.Moments(np.full(128, -4.5), np.full(128, 4.0))
    seen, of_audio = (
        3 * wide.std * x.numpy()[..., 0] + wide.mean
        for x in (
            augmentation.augment_spectrogram(
                spectrogram_lib.to_spectrogram(tf.constant(silence), wide),
                ("noise",),
                wide,
                tf.constant([1, 2], tf.int64),
            ),
            spectrogram_lib.to_spectrogram(tf.constant(heard), wide),
        )
    )
    powers = [
        np.log(np.mean(np.exp(2 * x[:, 1:127, 1:]), axis=(1, 2)))
        for x in (seen, of_audio)
    ]
    np.testing.assert_allclose(powers[0], powers[1], atol=0.05)
    spreads = [np.std(x[:, 1:127, 1:], axis=(1, 2)) for x in (seen, of_audio)]
    np.testing.assert_allclose(spreads[0], spreads[1], rtol=0.05)


def test_loud_spectrograms_hide_the_noise(logs: np.ndarray) -> None:
    loud = normalise(logs + 6)
    np.testing.assert_allclose(change(loud, "noise"), loud, atol=0.05)


def test_spectrograms_have_no_polarity() -> None:
    with pytest.raises(
        ValueError, match="augment is 'polarity': expected some"
    ):
        build_specgan(("polarity",))


def build_specgan(kinds: tuple[str, ...]) -> specgan.SpecGAN:
    """A SpecGAN of small networks."""
    config = specgan.SpecGANConfig(latent_dim=3, dim=1, kernel_len=3)
    return specgan.SpecGAN(
        specgan.build_generator(config),
        specgan.build_discriminator(config),
        latent_dim=3,
        critic_steps=1,
        moments=MOMENTS,
        augment=kinds,
    )


def test_specgan_learns_augmented_spectrograms(rng: Random) -> None:
    model = build_specgan(augmentation.SPECTROGRAM_KINDS)
    model.compile("wgan-gp")
    shown: list[np.ndarray] = []
    call = model.discriminator.call

    def note(x: Any, *args: Any, **kwargs: Any) -> Any:
        shown.append(x.numpy())
        return call(x, *args, **kwargs)

    model.discriminator.call = note
    tf.config.run_functions_eagerly(True)
    try:
        audio = rng.normal(0, 0.1, (1, 2, 16384, 1)).astype(np.float32)
        report = model.train_step(tf.constant(audio))
    finally:
        tf.config.run_functions_eagerly(False)
    assert np.isfinite(float(report["d_loss"]))
    seed = model._draws.augmentation(
        tf.constant(0, tf.int64), random_lib.AUGMENT_REAL
    )
    expected = augmentation.augment_spectrogram(
        model.from_audio(tf.constant(audio[0])), model.augment, MOMENTS, seed
    )
    np.testing.assert_allclose(shown[0][:2], expected, atol=1e-6)
