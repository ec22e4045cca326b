"""Tests the options of the training step that the paper does not have."""

from __future__ import annotations

import dataclasses
from typing import Any

import call_recorder
import keras
import numpy as np
import pytest
import reference
import reference_training
import small_gan
import tensorflow as tf

import losses
import wavegan

STILL = dataclasses.replace(small_gan.SMALL, phaseshuffle=0)


def weights_after_one_update(
    penalty_weight: float, penalty_interval: int = 1
) -> list[np.ndarray]:
    """Updates a fresh discriminator once, as update 0, 1, 2 or 3 of a run.

    Returns:
      Weights of the discriminator after each of these updates.
    """
    model = small_gan.build(
        dataclasses.replace(
            losses.OBJECTIVES["wgan-gp"], penalty_weight=penalty_weight
        ),
        penalty_interval=penalty_interval,
    )
    batch = tf.constant(small_gan.batches_of(model)[0])
    variables = [
        *model.discriminator.weights,
        *model.discriminator_optimizer.variables,
    ]
    fresh = [np.array(variable) for variable in variables]
    results = []
    for update in range(4):
        for variable, value in zip(variables, fresh, strict=True):
            variable.assign(value)
        number = tf.constant(update, tf.int64)
        (fake,) = model._fakes_of_updates([batch], [None], number)
        model._update_discriminator(batch, fake, None, number)
        results.append(small_gan.flat(model.discriminator))
    return results


def test_a_penalty_at_every_third_update_weighs_three_times_as_much() -> None:
    lazy = weights_after_one_update(5.0, penalty_interval=3)
    with_penalty = weights_after_one_update(15.0)
    without = weights_after_one_update(0.0)
    for update in range(4):
        same, other = with_penalty[update], without[update]
        if update % 3:
            same, other = other, same
        np.testing.assert_array_equal(lazy[update], same)
        assert np.any(lazy[update] != other)


def test_lazy_penalties_are_counted_across_steps() -> None:
    """Two updates a step, one penalty in three: updates 0, 3, 6 of all."""
    model = small_gan.build(penalty_interval=3)
    seen = []
    original = model.objective.penalty

    def note(*args: object, **kwargs: object) -> tf.Tensor:
        seen.append(int(model.step) * 2 + len(updates) - 1)
        return original(*args, **kwargs)

    updates: list[int] = []
    update_once = model._update_discriminator

    def count(*batch: Any) -> tf.Tensor:
        *_, update = batch
        updates.append(int(update))
        return update_once(*batch)

    model.objective = dataclasses.replace(model.objective, penalty=note)
    model._update_discriminator = count  # type: ignore[method-assign, assignment]
    tf.config.run_functions_eagerly(True)
    try:
        for i in range(4):
            updates.clear()
            model.train_step(tf.constant(small_gan.batches_of(model, i)))
    finally:
        tf.config.run_functions_eagerly(False)
    assert seen == [0, 3, 6]


@pytest.mark.usefixtures("eagerly")
def test_a_relativistic_generator_gets_real_scores() -> None:
    model = small_gan.build("r3gan", config=STILL, critic_steps=1)
    batches = small_gan.batches_of(model)
    calls = call_recorder.Recording(model)
    g_loss = float(model.train_step(tf.constant(batches))["g_loss"])
    *_, real, fake = calls.discriminator
    np.testing.assert_array_equal(real.inputs, batches[-1])
    weights = model.discriminator.get_weights()
    scores = (
        reference.discriminator(weights, STILL, call.inputs)
        for call in (fake, real)
    )
    twin = reference_training.relativistic_generator(*scores)
    np.testing.assert_allclose(g_loss, twin, rtol=1e-4)


@pytest.mark.parametrize("name", ["r1", "r3gan"])
def test_younger_objectives_tell_real_from_fake(name: str) -> None:
    model = small_gan.build(config=STILL, critic_steps=1)
    model.compile(name, learning_rate=1e-9, disc_learning_rate=1e-2)
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(128) / 3)[:, None]
    real = np.float32(wave * rng.uniform(0.5, 1, (1, 4, 1, 1)))
    step = tf.function(model.train_step)
    losses_of_d = [float(step(real)["d_loss"]) for _ in range(60)]
    np.testing.assert_allclose(losses_of_d[0], np.log(2), atol=0.1)
    assert losses_of_d[-1] < 0.5


def test_each_network_has_its_own_rate_and_the_penalty_its_weight() -> None:
    model = small_gan.build()
    for given, rates in (
        ({}, (1e-4, 1e-4)),
        ({"learning_rate": 3e-4}, (3e-4, 3e-4)),
        ({"disc_learning_rate": 5e-4}, (1e-4, 5e-4)),
        ({"learning_rate": 3e-4, "disc_learning_rate": 5e-4}, (3e-4, 5e-4)),
    ):
        model.compile("wgan-gp", **given)  # type: ignore[arg-type]
        optimizers = model.generator_optimizer, model.discriminator_optimizer
        found = [float(optimizer.learning_rate) for optimizer in optimizers]
        np.testing.assert_allclose(found, rates)
        assert model.objective.penalty_weight == 10
    model.compile("wgan-gp", penalty_weight=2.5)
    assert model.objective.penalty_weight == 2.5
    assert losses.OBJECTIVES["wgan-gp"].penalty_weight == 10


def test_an_interval_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="penalty_interval is 0"):
        small_gan.build(penalty_interval=0)


@pytest.mark.parametrize("per_example", [False, True])
def test_the_config_says_for_whom_a_shift_is_drawn(per_example: bool) -> None:
    config = dataclasses.replace(
        small_gan.SMALL, phaseshuffle_per_example=per_example
    )
    model: keras.Model = wavegan.build_discriminator(config)
    batch = tf.tile(tf.random.stateless_normal([1, 128, 1], [1, 2]), [32, 1, 1])
    scores = model(batch, training=True).numpy()
    assert (np.ptp(scores) > 1e-6) == per_example


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_gradient_that_is_no_number_is_noted_as_if_its_loss_were(
    network: str,
) -> None:
    def flat(*scores: tf.Tensor) -> tf.Tensor:
        # 0, with the slope of a root at 0.
        return tf.reduce_mean(tf.sqrt(tf.nn.relu(0 * scores[-1])))

    sound = losses.OBJECTIVES["wgan"]
    changes: dict[str, Any] = {network: flat}
    broken = dataclasses.replace(sound, **changes)
    model = small_gan.build(broken, critic_steps=1)
    rows = small_gan.train(model, 2)
    assert np.isnan(rows[0][f"{network[0]}_loss"])
    assert int(model.first_nonfinite_step) == 1
    model = small_gan.build(sound)
    small_gan.train(model, 2)
    assert int(model.first_nonfinite_step) > 2
