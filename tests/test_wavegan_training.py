"""Tests networks in training: phase shuffle, dropout, averages, gradients."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import reference
import reference_training
import tensorflow as tf

import wavegan

CLOSE = 1e-5  # float32 against float64, as a part of the largest value
Randomize = Callable[[Any], Any]
Random = np.random.Generator


def config_of(**fields: Any) -> wavegan.WaveGANConfig:
    """A small configuration, some fields replaced."""
    small = {"slice_len": 64, "latent_dim": 3, "dim": 2, **fields}
    return wavegan.WaveGANConfig(**small)


def test_discriminator_shuffles_each_layer_on_its_own_in_training(
    rng: Random, randomize: Randomize
) -> None:
    config = config_of(slice_len=512, dim=1, phaseshuffle=1, kernel_len=9)
    model = randomize(wavegan.build_discriminator(config))
    x = rng.normal(size=(1, 512, 1)).astype(np.float32)
    weights = model.get_weights()
    twins = {
        shifts: reference.discriminator(weights, config, x, shifts)[0]
        for shifts in itertools.product((-1, 0, 1), repeat=2)
    }
    seen = set()
    for _ in range(100):
        score = float(model(x, training=True)[0])
        error, shifts = min((abs(score - twins[s]), s) for s in twins)
        assert error < 1e-5 * max(map(abs, twins.values()))
        seen.add(shifts)
    assert seen == set(twins)
    for scores in (model(x), model(x, training=False)):
        assert reference.relative_error(scores, [twins[0, 0]]) < CLOSE


def test_radius_zero_never_shuffles(rng: Random, randomize: Randomize) -> None:
    config = config_of(slice_len=128, phaseshuffle=0)
    model = randomize(wavegan.build_discriminator(config))
    x = rng.normal(size=(2, 128, 1)).astype(np.float32)
    scores = {tuple(np.asarray(model(x, training=True))) for _ in range(10)}
    assert scores == {tuple(np.asarray(model(x, training=False)))}


def test_dropout_masks_whole_channels_of_single_examples(
    rng: Random, randomize: Randomize
) -> None:
    config = config_of(slice_len=128, dim=1, dropout=0.25, phaseshuffle=0)
    model = randomize(wavegan.build_discriminator(config))
    x = rng.normal(size=(1, 128, 1)).astype(np.float32)
    weights = model.get_weights()
    chances: dict[float, float] = {}  # of each possible score
    for kept in itertools.product((0, 1), repeat=3):
        masks = np.array(kept) / 0.75
        (score,) = reference.discriminator(
            weights, config, x, masks=[masks[:1], masks[1:]]
        )
        chance = 0.75 ** sum(kept) * 0.25 ** (3 - sum(kept))
        chances[score] = chances.get(score, 0.0) + chance
    assert len(chances) == 7  # with all of the last layer gone, one score
    possible = np.array(list(chances))
    scores = np.asarray(model(np.repeat(x, 400, axis=0), training=True))
    errors = np.abs(scores[:, None] - possible)
    assert errors.min(axis=1).max() < 1e-5 * np.abs(possible).max()
    counts = np.bincount(errors.argmin(axis=1), minlength=7)
    expected = 400 * np.array(list(chances.values()))
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))
    plain = reference.discriminator(weights, config, x)
    assert reference.relative_error(model(x, training=False), plain) < CLOSE


def test_inference_changes_no_weight(rng: Random, randomize: Randomize) -> None:
    config = config_of(slice_len=128, batchnorm=True)
    inputs = (
        rng.normal(size=(3, config.latent_dim)),
        rng.normal(size=(3, 128, 1)),
    )
    builds = (wavegan.build_generator, wavegan.build_discriminator)
    for build, x in zip(builds, inputs, strict=True):
        model = randomize(build(config))
        before = model.get_weights()
        model(x.astype(np.float32), training=False)
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)


def test_moving_averages_follow_the_batch_with_momentum_099(
    rng: Random, randomize: Randomize
) -> None:
    config = config_of(batchnorm=True)
    model = randomize(wavegan.build_generator(config))
    kernel, bias, _, _, mean, variance = model.get_weights()[:6]
    z = rng.uniform(-1, 1, (4, config.latent_dim)).astype(np.float32)
    model(z, training=True)
    h = (z @ kernel + bias).reshape(-1, 2)
    new = model.get_weights()
    assert (
        reference.relative_error(new[4], 0.99 * mean + 0.01 * h.mean(0)) < CLOSE
    )
    assert (
        reference.relative_error(new[5], 0.99 * variance + 0.01 * h.var(0))
        < CLOSE
    )
    model(z, training=False)
    np.testing.assert_array_equal(model.get_weights()[4], new[4])


@pytest.mark.parametrize(
    "variant",
    [{}, {"batchnorm": True, "slice_len": 128}, {"post_filter_len": 8}],
)
def test_networks_save_and_load_in_safe_mode(
    variant: dict[str, Any],
    tmp_path: pathlib.Path,
    rng: Random,
    randomize: Randomize,
) -> None:
    config = config_of(upsample="cubic", dropout=0.5, **variant)
    z = rng.uniform(-1, 1, (2, config.latent_dim)).astype(np.float32)
    inputs: Any = z
    for build in (wavegan.build_generator, wavegan.build_discriminator):
        model = randomize(build(config))
        model.save(tmp_path / "model.keras")
        path = tmp_path / "model.keras"
        again = keras.models.load_model(path, safe_mode=True)
        outputs = model(inputs, training=False)
        np.testing.assert_array_equal(again(inputs, training=False), outputs)
        inputs = outputs


@pytest.mark.parametrize("upsample", ["zeros", "cubic"])
def test_generator_gradients_are_central_differences(
    upsample: str, rng: Random, randomize: Randomize
) -> None:
    config = config_of(
        slice_len=128, dim=1, kernel_len=5, upsample=upsample, batchnorm=True
    )
    model = randomize(wavegan.build_generator(config))
    z = tf.constant(rng.uniform(-1, 1, (3, config.latent_dim)), tf.float32)
    dy = rng.normal(size=(3, 128, 1))
    with tf.GradientTape() as tape:
        y = model(z, training=True)
        total = tf.reduce_sum(y * tf.constant(dy, tf.float32))
    gradients = tape.gradient(total, model.trainable_weights)
    weights = model.get_weights()
    z64 = z.numpy().astype(np.float64)

    def twin(point: list[Any]) -> Any:
        y = reference.generator(point, config, z64, training=True)
        return np.sum(y * dy)

    differences = reference_training.central_differences(twin, weights)
    differences = [
        difference
        for variable, difference in zip(model.weights, differences, strict=True)
        if variable.trainable
    ]
    scale = max(np.abs(difference).max() for difference in differences)
    for gradient, difference in zip(gradients, differences, strict=True):
        assert np.abs(gradient - difference).max() < 1e-4 * scale
