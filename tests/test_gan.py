"""Tests the training step: its draws, its updates, and exact resumption.

The arithmetic of one step is held against twins in test_gan_arithmetic.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import call_recorder
import numpy as np
import pytest
import reference
import small_gan
import tensorflow as tf

import gan
import losses

Randomize = Callable[[Any], Any]
Random = np.random.Generator

# What a step draws -----------------------------------------------------------


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("critic_steps", [1, 3])
def test_each_update_takes_its_own_real_batch_once(critic_steps: int) -> None:
    model = small_gan.build(critic_steps=critic_steps)
    batches = small_gan.batches_of(model)
    calls = call_recorder.Recording(model)
    model.train_step(tf.constant(batches))
    inputs = [call.inputs for call in calls.discriminator]
    assert len(inputs) == 3 * critic_steps + 1
    order = [
        [i for i, x in enumerate(inputs) if np.array_equal(x, batch)]
        for batch in batches
    ]
    assert all(len(places) == 1 for places in order), "each batch, once"
    assert order == sorted(order)
    assert len(calls.generator) == critic_steps + 1


@pytest.mark.usefixtures("eagerly")
def test_the_discriminator_changes_in_its_updates_only() -> None:
    model = small_gan.build(critic_steps=3)
    before_g, before_d = (
        small_gan.flat(model.generator),
        small_gan.flat(model.discriminator),
    )
    calls = call_recorder.Recording(model)
    model.train_step(tf.constant(small_gan.batches_of(model)))
    for call in calls.generator:
        np.testing.assert_array_equal(call.flat_weights(), before_g)
    states = [call.flat_weights() for call in calls.discriminator]
    np.testing.assert_array_equal(states[0], before_d)
    changes = [np.any(a != b) for a, b in zip(states, states[1:], strict=False)]
    assert sum(changes) == 3, "one change for each critic update"
    np.testing.assert_array_equal(
        small_gan.flat(model.discriminator), states[-1]
    )
    assert np.any(small_gan.flat(model.generator) != before_g)


@pytest.mark.usefixtures("eagerly")
def test_z_is_uniform_and_fresh_in_every_update() -> None:
    model = small_gan.build(critic_steps=2)
    calls = call_recorder.Recording(model)
    for seed in range(2):
        batches = small_gan.batches_of(model, seed, batch=500)
        model.train_step(tf.constant(batches))
    z = np.stack([call.inputs for call in calls.generator])
    assert z.shape == (6, 500, 3)
    assert len(np.unique(z)) > 0.99 * z.size, "no number is used twice"
    assert z.min() >= -1 and z.max() <= 1
    counts, _ = np.histogram(z, bins=8, range=(-1, 1))
    assert np.all(np.abs(counts - z.size / 8) < 5 * np.sqrt(z.size / 8))


@pytest.mark.usefixtures("eagerly")
def test_penalty_looks_between_real_and_fake_at_fresh_alphas() -> None:
    model = small_gan.build(critic_steps=2)
    calls = call_recorder.Recording(model)
    model.train_step(tf.constant(small_gan.batches_of(model, batch=8)))
    alphas = []
    for update in range(2):
        real, fake, x_hat = (
            call.inputs.astype(np.float64)
            for call in calls.discriminator[3 * update : 3 * update + 3]
        )
        step = fake - real
        alpha = np.sum((x_hat - real) * step, (1, 2)) / np.sum(step**2, (1, 2))
        on_the_line = real + alpha[:, None, None] * step
        np.testing.assert_allclose(x_hat, on_the_line, atol=1e-6)
        assert np.all((alpha > -1e-6) & (alpha < 1 + 1e-6))
        alphas.extend(np.round(alpha, 5))
    assert len(set(alphas)) == 16, "one for each example and update"


@pytest.mark.usefixtures("eagerly")
def test_real_fake_and_between_are_shuffled_apart(
    rng: Random, randomize: Randomize
) -> None:
    config = dataclasses.replace(
        small_gan.SMALL, slice_len=512, dim=1, kernel_len=5
    )
    model = small_gan.build(config=config, critic_steps=2)
    randomize(model.generator)
    randomize(model.discriminator)
    calls = call_recorder.Recording(model)
    for seed in range(6):
        batches = small_gan.batches_of(model, seed, batch=2)
        model.train_step(tf.constant(batches))
    shifts = np.array([call.shifts(config) for call in calls.discriminator])
    assert shifts.shape == (42, 2)  # 6 x (2 x 3 + 1) calls, two shuffles
    assert set(shifts.ravel()) == {-2, -1, 0, 1, 2}
    # Equal sequences would mean a shared draw: by chance, one in 5**6 pairs
    # of the first kind (over steps), fewer of the second (within a step).
    by_step = shifts.reshape(6, 14)
    assert len({tuple(draws) for draws in by_step.T}) == 14, "shared draws"
    assert len({tuple(draws) for draws in by_step}) == 6


@pytest.mark.usefixtures("eagerly")
def test_draws_depend_on_seed_and_step_alone() -> None:
    def draws(model: gan.GAN, step: int) -> list[np.ndarray]:
        model.step.assign(step)
        calls = call_recorder.Recording(model)
        model.train_step(tf.constant(small_gan.batches_of(model)))
        return [call.inputs for call in calls.generator]

    model = small_gan.build(seed=1)
    first, second = draws(model, 0), draws(model, 1)
    np.testing.assert_array_equal(draws(model, 0), first)
    np.testing.assert_array_equal(
        draws(small_gan.build(seed=1, init=9), 1), second
    )
    other = draws(small_gan.build(seed=2), 0)
    for a, b in ((first, second), (first, other), (second, other)):
        assert not np.intersect1d(a, b).size


# What a step changes ---------------------------------------------------------


@pytest.mark.usefixtures("eagerly")
def test_step_counts_generator_updates() -> None:
    model = small_gan.build(critic_steps=3)
    assert model.step.dtype == tf.int64
    assert int(model.step) == 0
    small_gan.train(model, 2)
    assert int(model.step) == 2


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("objective", losses.OBJECTIVES)
def test_every_objective_trains_both_networks(objective: str) -> None:
    model = small_gan.build(objective)
    before = (
        small_gan.flat(model.generator),
        small_gan.flat(model.discriminator),
    )
    for report in small_gan.train(model, 2):
        assert set(report) == {"d_loss", "g_loss"}
        assert np.all(np.isfinite(list(report.values())))
    for network, weights in zip(
        (model.generator, model.discriminator), before, strict=True
    ):
        assert np.all(np.isfinite(small_gan.flat(network)))
        assert np.any(small_gan.flat(network) != weights)


@pytest.mark.usefixtures("eagerly")
def test_wgan_clips_every_weight_of_the_critic_only() -> None:
    model = small_gan.build("wgan")
    small_gan.train(model, 1)
    assert np.abs(small_gan.flat(model.discriminator)).max() == np.float32(0.01)
    assert np.abs(small_gan.flat(model.generator)).max() > 0.05


@pytest.mark.usefixtures("eagerly")
def test_equal_seeds_make_equal_runs_and_others_do_not() -> None:
    runs = []
    for seed in (3, 3, 4):
        model = small_gan.build(seed=seed)
        reports = small_gan.train(model, 3)
        runs.append((reports, small_gan.flat(model.generator)))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    assert np.any(runs[0][1] != runs[2][1])


@pytest.mark.usefixtures("eagerly")
def test_average_follows_its_law() -> None:
    model = small_gan.build(ema_decay=0.25)
    assert model.ema_generator is not model.generator
    average = small_gan.flat(model.generator).astype(np.float64)
    np.testing.assert_array_equal(small_gan.flat(model.ema_generator), average)
    for i in range(4):
        small_gan.train(model, 1, first=i)
        decay = min(0.25, (1 + i) / (10 + i))  # young: it forgets faster
        average = decay * average
        average += (1 - decay) * small_gan.flat(model.generator)
        error = reference.relative_error(
            small_gan.flat(model.ema_generator), average
        )
        assert error < 1e-6
    assert np.any(
        small_gan.flat(model.ema_generator) != small_gan.flat(model.generator)
    )
    z = np.ones((1, 3), np.float32)
    assert model.ema_generator(z).shape == (1, 128, 1)


def test_without_averaging_the_average_is_the_generator() -> None:
    model = small_gan.build(ema_decay=0.0)
    assert model.ema_generator is model.generator


@pytest.mark.usefixtures("eagerly")
def test_averaging_does_not_change_the_run() -> None:
    runs = []
    for decay in (0.0, 0.9):
        model = small_gan.build(ema_decay=decay)
        runs.append(
            (
                small_gan.train(model, 2),
                small_gan.flat(model.generator).tolist(),
            )
        )
    assert runs[0] == runs[1]


@pytest.mark.usefixtures("eagerly")
def test_averages_of_batch_norms_move_in_every_update(
    randomize: Randomize,
) -> None:
    """In D's updates too, as in the authors' code."""
    config = dataclasses.replace(small_gan.SMALL, batchnorm=True)
    model = small_gan.build("dcgan", config, critic_steps=3)
    randomize(model.generator)
    calls = call_recorder.Recording(model)
    kernel, bias, _, _, mean, variance = model.generator.get_weights()[:6]
    model.train_step(tf.constant(small_gan.batches_of(model)))
    assert len(calls.generator) == 4
    for call in calls.generator:
        h = (call.inputs @ kernel + bias).reshape(-1, 4)
        mean = 0.99 * mean + 0.01 * h.mean(axis=0)
        variance = 0.99 * variance + 0.01 * h.var(axis=0)
    norm = model.generator.get_layer("batchnorm_0")
    assert reference.relative_error(norm.moving_mean, mean) < 1e-5
    assert reference.relative_error(norm.moving_variance, variance) < 1e-5
