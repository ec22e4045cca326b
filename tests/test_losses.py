"""Tests losses and optimizers, against references and by properties."""

from __future__ import annotations

import dataclasses

import hypothesis
import keras
import numpy as np
import pytest
import reference_training
import tensorflow as tf
from hypothesis import strategies as st

import losses

Random = np.random.Generator

REAL = np.array([-5, 1.4, 12.5, 2.7], np.float32)
FAKE = np.array([10, 4.4, -5.5, 3.6], np.float32)

FUNCTIONS = {
    "dcgan": (
        losses.non_saturating_generator,
        losses.non_saturating_discriminator,
    ),
    "lsgan": (
        losses.least_squares_generator,
        losses.least_squares_discriminator,
    ),
    "wgan": (losses.wasserstein_generator, losses.wasserstein_discriminator),
}

scores = st.lists(st.floats(-50, 50, width=32), min_size=4, max_size=4).map(
    lambda values: np.array(values, np.float32)
)


# Losses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "of_generator", "of_discriminator"),
    [
        ("dcgan", 1.38582, 2.91693),
        ("lsgan", 35.3925, 41.73375),
        ("wgan", -3.125, 0.225),
        ("wgan-gp", -3.125, 0.225),
    ],
)
def test_golden_losses(
    name: str, of_generator: float, of_discriminator: float
) -> None:
    objective = losses.OBJECTIVES[name]
    g_loss = objective.generator(tf.constant(FAKE))
    d_loss = objective.discriminator(tf.constant(REAL), tf.constant(FAKE))
    assert g_loss.shape == d_loss.shape == ()
    np.testing.assert_allclose(g_loss, of_generator, rtol=1e-5)
    np.testing.assert_allclose(d_loss, of_discriminator, rtol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_table_holds_the_functions(name: str) -> None:
    objective = losses.OBJECTIVES[name]
    assert (objective.generator, objective.discriminator) == FUNCTIONS[name]


def test_the_table_holds_the_papers_settings() -> None:
    rows = {
        name: (row.penalty_weight, row.clip)
        for name, row in losses.OBJECTIVES.items()
    }
    assert rows == {
        "dcgan": (0, 0),
        "lsgan": (0, 0),
        "wgan": (0, 0.01),
        "wgan-gp": (10, 0),
        "r1": (1, 0),
        "r3gan": (1, 0),
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        losses.OBJECTIVES["wgan"].clip = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("name", FUNCTIONS)
@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(real=scores, fake=scores)
def test_losses_and_their_gradients_equal_the_reference(
    name: str, real: np.ndarray, fake: np.ndarray
) -> None:
    of_generator, of_discriminator = FUNCTIONS[name]
    twins = reference_training.LOSSES[name]
    x, y = tf.constant(real), tf.constant(fake)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        g_loss, d_loss = of_generator(y), of_discriminator(x, y)
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    np.testing.assert_allclose(g_loss, twins[0](fake), rtol=1e-5, atol=1e-5)
    d_twin = twins[1](real, fake)
    np.testing.assert_allclose(d_loss, d_twin, rtol=1e-5, atol=1e-5)
    gradients = [tape.gradient(g_loss, y), *tape.gradient(d_loss, [x, y])]
    differences = reference_training.central_differences(
        lambda point: twins[0](*point), [fake], step=1e-4
    ) + reference_training.central_differences(
        lambda point: twins[1](*point), [real, fake], step=1e-4
    )
    for gradient, difference in zip(gradients, differences, strict=True):
        np.testing.assert_allclose(gradient, difference, rtol=1e-4, atol=1e-6)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(real=scores, fake=scores, by=st.floats(-8, 8, width=32))
def test_wasserstein_critic_ignores_an_offset(
    real: np.ndarray, fake: np.ndarray, by: float
) -> None:
    loss = losses.wasserstein_discriminator
    offset = np.float32(by)
    moved = loss(tf.constant(real + offset), tf.constant(fake + offset))
    still = loss(tf.constant(real), tf.constant(fake))
    np.testing.assert_allclose(moved, still, atol=1e-4)


@pytest.mark.parametrize("size", [80.0, 1e4, 1e30])
def test_non_saturating_losses_stay_finite(size: float) -> None:
    right, wrong = tf.constant([size]), tf.constant([-size])
    of_generator, of_discriminator = FUNCTIONS["dcgan"]
    assert 0 <= float(of_generator(right)) < 1e-30
    assert 0 <= float(of_discriminator(right, wrong)) < 1e-30
    np.testing.assert_allclose(of_generator(wrong), size, rtol=1e-6)
    np.testing.assert_allclose(of_discriminator(wrong, right), size, rtol=1e-6)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(real=scores, fake=scores)
def test_relativistic_losses_equal_the_reference_and_mirror(
    real: np.ndarray, fake: np.ndarray
) -> None:
    x, y = tf.constant(real), tf.constant(fake)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        g_loss = losses.relativistic_generator(y, x)
        d_loss = losses.relativistic_discriminator(x, y)
    twins = reference_training
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    for loss, twin, swapped in (
        (g_loss, twins.relativistic_generator(fake, real), (y, x)),
        (d_loss, twins.relativistic_discriminator(real, fake), (x, y)),
    ):
        np.testing.assert_allclose(loss, twin, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            loss, losses.relativistic_discriminator(*swapped), rtol=1e-6
        )
    # What is good for one network is bad for the other.
    of_x = tape.gradient(g_loss, x).numpy(), tape.gradient(d_loss, x).numpy()
    assert np.all(of_x[0] >= 0) and np.all(of_x[1] <= 0)


# Optimizers ------------------------------------------------------------------


@pytest.mark.parametrize("name", losses.OBJECTIVES)
def test_optimizers_are_tf1s(name: str, rng: Random) -> None:
    """From gradients of 1e-10, below every epsilon, to 100."""
    optimizer = losses.OBJECTIVES[name].optimizer()
    sizes = 10.0 ** np.arange(-10, 3)
    variable = keras.Variable(np.zeros((2, len(sizes)), np.float32))
    twin = reference_training.OPTIMIZERS[name]()
    point = [np.zeros((2, len(sizes)))]
    optimizer.build([variable])
    for _ in range(6):
        g = (rng.normal(size=(2, len(sizes))) * sizes).astype(np.float32)
        optimizer.apply([tf.constant(g)], [variable])
        point = twin.apply(point, [g.astype(np.float64)])
        np.testing.assert_allclose(variable.numpy(), point[0], rtol=1e-4)


@pytest.mark.parametrize("name", ["lsgan", "wgan"])
def test_rmsprops_epsilon_is_tf1s(name: str) -> None:
    """It counts once the ones that it starts from are forgotten."""
    optimizer = losses.OBJECTIVES[name].optimizer()
    variable = keras.Variable(np.zeros(3, np.float32))
    twin = reference_training.OPTIMIZERS[name]()
    point = [np.zeros(3)]
    optimizer.build([variable])
    gradient = np.array([1e-6, 1e-5, 1e-4], np.float32)
    for g in [*([0 * gradient] * 260), gradient, -2 * gradient]:
        optimizer.apply([tf.constant(g)], [variable])
        point = twin.apply(point, [g.astype(np.float64)])
    np.testing.assert_allclose(variable.numpy(), point[0], rtol=1e-4)


def test_each_optimizer_is_a_new_one() -> None:
    for objective in losses.OBJECTIVES.values():
        assert objective.optimizer() is not objective.optimizer()
