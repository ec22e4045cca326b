"""Tests each augmentation of the discriminator's input, and its draws."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.fft
import small_gan
import tensorflow as tf
from test_spectrogram_augmentation import MOMENTS, change, normalise

import gan
from networks import augmentation, replicas
from networks import random as random_lib

Random = np.random.Generator
LEN, BATCH = 256, 64


@pytest.fixture
def noise(rng: Random) -> np.ndarray:
    return rng.normal(0, 0.3, (BATCH, LEN, 2)).astype(np.float32)


# Audio -----------------------------------------------------------------------


def moved(clip: np.ndarray, delay: int) -> np.ndarray:
    """A clip so many samples later; zeros fill the gap."""
    gap = np.zeros_like(clip[: abs(delay)])
    if delay < 0:
        return np.concatenate([clip[-delay:], gap])
    return np.concatenate([gap, clip[: len(clip) - delay]])


@pytest.mark.parametrize("length", [64, LEN, 4096])
def test_a_shift_moves_and_fills_with_silence(rng: Random, length: int) -> None:
    audio = rng.normal(0, 0.3, (BATCH, length, 2)).astype(np.float32)
    found = change(audio, "shift")
    delays = []
    for clip, late in zip(audio, found, strict=True):
        errors = {
            delay: np.abs(late - moved(clip, delay)).max()
            for delay in range(-length // 16 - 1, length // 16 + 2)
        }
        delays.append(min(errors, key=lambda delay: errors[delay]))
        assert errors[delays[-1]] < 2e-6
    assert max(map(abs, delays)) <= length // 16
    assert min(delays) < -length // 32 and max(delays) > length // 32


def test_polarity_turns_about_half_of_the_clips(noise: np.ndarray) -> None:
    found = change(noise, "polarity")
    signs = np.sign(np.sum(found * noise, axis=(1, 2)))
    np.testing.assert_allclose(found, signs[:, None, None] * noise, atol=1e-6)
    assert BATCH / 4 < np.sum(signs > 0) < 3 * BATCH / 4


def test_a_gain_is_one_number_a_clip_within_6_db(noise: np.ndarray) -> None:
    found = change(noise, "gain")
    gains = np.sum(found * noise, (1, 2)) / np.sum(noise**2, (1, 2))
    np.testing.assert_allclose(found, gains[:, None, None] * noise, atol=1e-6)
    decibels = 20 * np.log10(gains)
    assert np.all(np.abs(decibels) <= 6)
    assert np.ptp(decibels) > 9
    assert len(set(gains)) == BATCH


def test_a_filter_is_a_straight_line_in_decibels(noise: np.ndarray) -> None:
    impulses = np.zeros((BATCH, LEN, 1), np.float32)
    impulses[:, LEN // 2] = 1
    found = change(impulses, "filter")[..., 0].astype(np.float64)
    response = np.abs(scipy.fft.rfft(found, axis=1))
    decibels = 20 * np.log10(response)
    tilt = decibels[:, -1]
    assert np.all(np.abs(tilt) <= 6.01) and np.ptp(tilt) > 9
    steps = np.diff(decibels, axis=1) * np.sign(tilt)[:, None]
    assert np.all(steps[np.abs(tilt) > 0.5] > 0), "monotone"
    line = tilt[:, None] * np.linspace(0, 1, LEN // 2 + 1)
    np.testing.assert_allclose(decibels, line, atol=0.1)
    symmetric = found[:, 1:]  # around the impulse: nothing moves
    np.testing.assert_allclose(symmetric, symmetric[:, ::-1], atol=1e-6)


def test_noise_is_between_90_and_40_db_below_full_scale() -> None:
    silence = np.zeros((BATCH, 4096, 1), np.float32)
    found = change(silence, "noise")
    decibels = 20 * np.log10(np.std(found, axis=(1, 2)))
    assert np.all((decibels > -91) & (decibels < -39))
    assert np.ptp(decibels) > 40
    spectra = np.abs(scipy.fft.rfft(found[..., 0], axis=1)) ** 2
    powers = spectra.mean(axis=0) / spectra.mean()
    halves = powers[1:1025].mean(), powers[1025:2049].mean()
    np.testing.assert_allclose(halves, 1, atol=0.1, err_msg="white")


def test_several_changes_are_made_one_after_another(noise: np.ndarray) -> None:
    at_once = change(noise, "polarity", "gain", "shift", "noise")
    by_turns = change(noise, "gain")
    for kind in ("shift", "polarity", "noise"):
        by_turns = change(by_turns, kind)
    np.testing.assert_allclose(at_once, by_turns, atol=3e-6)
    assert np.array_equal(change(noise), noise)


@pytest.mark.parametrize("kind", augmentation.KINDS)
def test_both_channels_are_changed_alike(noise: np.ndarray, kind: str) -> None:
    if kind == "noise":
        return
    twins = np.repeat(noise[..., :1], 2, axis=2)
    found = change(twins, kind)
    np.testing.assert_array_equal(found[..., 0], found[..., 1])


# Gradients and draws ---------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 64, 2), (2, 128, 128, 1)])
def test_gradients_are_the_adjoint_of_the_change(
    rng: Random, shape: tuple[int, ...]
) -> None:
    """All but noise is affine in audio, and in log-magnitudes."""
    kinds = tuple(k for k in augmentation.SPECTROGRAM_KINDS if k != "noise")
    if len(shape) == 3:
        kinds = augmentation.KINDS
    x, step, upstream = (
        tf.constant(rng.normal(0, 0.3, shape), tf.float32) for _ in range(3)
    )
    seed = tf.constant([1, 2], tf.int64)

    def run(x: tf.Tensor) -> tf.Tensor:
        if len(shape) == 3:
            return augmentation.augment(x, kinds, seed)
        return augmentation.augment_spectrogram(x, kinds, MOMENTS, seed)

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = run(x)
    gradient = tape.gradient(y, x, upstream)
    moved = run(x + step) - y
    np.testing.assert_allclose(
        np.vdot(gradient, step), np.vdot(upstream, moved), rtol=1e-3, atol=1e-3
    )
    assert np.any(gradient != 0)


def test_gradients_through_noise_in_spectrograms_are_finite() -> None:
    x = tf.constant(np.stack([np.full((128, 128, 1), v) for v in (-1, 0, 1)]))
    x = tf.cast(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = augmentation.augment_spectrogram(
            x, ("noise",), MOMENTS, tf.constant([1, 2], tf.int64)
        )
    gradient = tape.gradient(y, x).numpy()
    assert np.all((gradient >= 0) & (gradient <= 1.001))
    assert np.all(gradient[2].mean() > 0.9)


@pytest.mark.parametrize("kind", augmentation.KINDS)
def test_draws_follow_seed_update_and_purpose(
    noise: np.ndarray, kind: str
) -> None:
    model = small_gan.build(augment=(kind,), seed=5)

    def heard(model: gan.GAN, update: int, purpose: int) -> np.ndarray:
        seed = model._draws.augmentation(tf.constant(update, tf.int64), purpose)
        return model.augment_examples(tf.constant(noise), seed).numpy()

    one = heard(model, 3, random_lib.AUGMENT_REAL)
    np.testing.assert_array_equal(heard(model, 3, random_lib.AUGMENT_REAL), one)
    other = small_gan.build(augment=(kind,), seed=6)
    for x in (
        heard(model, 4, random_lib.AUGMENT_REAL),
        heard(model, 3, random_lib.AUGMENT_FAKE),
        heard(other, 3, random_lib.AUGMENT_REAL),
    ):
        assert np.any(np.abs(x - one) > 1e-5)


@pytest.mark.parametrize("kind", augmentation.KINDS)
def test_replicas_draw_for_the_whole_batch(
    noise: np.ndarray,
    rng: Random,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = [noise]
    if kind in augmentation.SPECTROGRAM_KINDS:
        inputs.append(normalise(rng.normal(-2, 1, (16, 128, 128))))
    for x in inputs:
        whole, half = change(x, kind), len(x) // 2
        with monkeypatch.context() as patch:
            patch.setattr(replicas, "count", lambda: 2)
            rows = slice(half, None)
            patch.setattr(replicas, "own_rows", operator.itemgetter(rows))
            second = change(x[half:], kind)
        np.testing.assert_allclose(second, whole[half:], atol=1e-6)


@pytest.mark.usefixtures("eagerly")
def test_real_and_fake_are_changed_apart_before_they_are_scored() -> None:
    model = small_gan.build(augment=("gain",), critic_steps=1)
    scored: list[np.ndarray] = []
    made: list[np.ndarray] = []

    def record(network: Any, inputs: bool, calls: list[np.ndarray]) -> None:
        call: Callable[..., Any] = network.call

        def note(x: Any, *args: Any, **kwargs: Any) -> Any:
            y = call(x, *args, **kwargs)
            calls.append((x if inputs else y).numpy())
            return y

        network.call = note

    record(model.discriminator, True, scored)
    record(model.generator, False, made)
    batch = small_gan.batches_of(model)
    model.train_step(tf.constant(batch))
    both, between, last = scored
    real, fake = np.split(both, 2)
    gains = []
    for shown, given in ((real, batch[0]), (fake, made[0]), (last, made[1])):
        ratio = np.sum(shown * given, (1, 2)) / np.sum(given**2, (1, 2))
        np.testing.assert_allclose(
            shown, ratio[:, None, None] * given, atol=1e-5
        )
        gains.append(ratio)
    assert len(np.unique(np.round(gains, 5))) == 12, "all drawn apart"
    way = np.sum((between - real) * (fake - real), (1, 2))
    way /= np.sum((fake - real) ** 2, (1, 2))
    on_the_line = real + way[:, None, None] * (fake - real)
    np.testing.assert_allclose(between, on_the_line, atol=1e-5)


@pytest.mark.parametrize(
    "names", ["echo", "shift,shift", "shift, gain", "Gain"]
)
def test_unknown_names_are_refused_with_the_choices(names: str) -> None:
    with pytest.raises(
        ValueError, match=f"augment is '{names}': expected some"
    ):
        augmentation.parse(names)


def test_names_are_split() -> None:
    assert augmentation.parse("") == ()
    assert augmentation.parse("noise,shift") == ("noise", "shift")
