"""Tests the gradient penalty: its value and its second-order gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
import reference
import reference_training
import tensorflow as tf
from hypothesis import strategies as st

import losses
import wavegan

Randomize = Callable[[Any], Any]
Random = np.random.Generator

Critic = tuple[Any, wavegan.WaveGANConfig, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(params=[1, 2], ids=["mono", "stereo"])
def critic(
    request: pytest.FixtureRequest, rng: Random, randomize: Randomize
) -> Critic:
    """A small critic, real and fake examples, and one alpha for each."""
    config = wavegan.WaveGANConfig(
        slice_len=128, dim=2, channels=request.param, phaseshuffle=0
    )
    model = randomize(wavegan.build_discriminator(config))
    real, fake = rng.normal(size=(2, 3, 128, request.param)).astype(np.float32)
    return model, config, real, fake, np.array([0.1, 0.9, 0.4], np.float32)


def between(
    real: np.ndarray, fake: np.ndarray, alpha: np.ndarray
) -> np.ndarray:
    """Where the penalty looks, `[batch, time, channels]`, float64."""
    share = alpha[:, None, None].astype(np.float64)
    return (1 - share) * real + share * fake


def penalty_of(critic: Critic, **options: Any) -> tuple[Any, list[Any]]:
    """The penalty and its gradients by the critic's weights."""
    model, _, real, fake, alpha = critic

    @tf.function(**options)
    def differentiate(
        real: tf.Tensor, fake: tf.Tensor, alpha: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            penalty = losses.gradient_penalty(model, real, fake, alpha=alpha)
        gradients = tape.gradient(
            penalty,
            [variable.value for variable in model.trainable_variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return penalty, gradients

    return differentiate(
        tf.constant(real), tf.constant(fake), tf.constant(alpha)
    )


def test_critic_gradient_equals_the_reference(critic: Critic) -> None:
    model, config, real, _, _ = critic
    x = tf.constant(real)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(model(x))
    twin = reference_training.critic_gradient(model.get_weights(), config, real)
    assert reference.relative_error(tape.gradient(total, x), twin) < 1e-5


def test_penalty_equals_the_reference(critic: Critic) -> None:
    model, config, real, fake, alpha = critic
    twin = reference_training.gradient_penalty(
        model.get_weights(), config, between(real, fake, alpha), ()
    )
    assert twin > 1e-3
    penalty, _ = penalty_of(critic)
    assert penalty.shape == ()
    assert reference.relative_error(penalty, twin) < 1e-5


@pytest.mark.parametrize("jit_compile", [False, True])
def test_second_order_gradients_equal_the_reference(
    critic: Critic, jit_compile: bool
) -> None:
    model, config, real, fake, alpha = critic
    twins = reference_training.penalty_weight_gradients(
        model.get_weights(), config, between(real, fake, alpha), ()
    )
    _, gradients = penalty_of(critic, jit_compile=jit_compile)
    for gradient, twin in zip(gradients, twins, strict=True):
        assert reference.relative_error(gradient, twin) < 1e-4


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(
    slopes=st.lists(st.floats(0.25, 4, width=32), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_penalty_of_a_linear_critic_is_known(
    slopes: list[float], seed: int
) -> None:
    """A score w . x has the slope ||w|| wherever one looks."""
    rng = np.random.default_rng(seed)
    w = np.array(slopes, np.float32)
    real, fake = rng.normal(size=(2, 4, len(w))).astype(np.float32)
    penalty = losses.gradient_penalty(
        lambda x: tf.linalg.matvec(x, tf.constant(w)),
        tf.constant(real),
        tf.constant(fake),
    )
    expected = (np.linalg.norm(w.astype(np.float64)) - 1) ** 2
    np.testing.assert_allclose(penalty, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_the_norm_is_of_each_whole_example(rank: int, rng: Random) -> None:
    shape = (3, 4, 2, 5)[:rank]
    scale = np.array([0.5, 1.0, 3.0], np.float32)
    w = rng.normal(size=shape[1:]).astype(np.float32)
    # Example i has the slope scale[i] ||w||: the mean of squares differs from
    # the square of means, and from norms over a part of the axes.
    penalty = losses.gradient_penalty(
        lambda x: scale * tf.reduce_sum(w * x, axis=list(range(1, rank))),
        tf.zeros(shape),
        tf.ones(shape),
        alpha=tf.constant([0.1, 0.5, 0.9]),
    )
    expected = np.mean((scale * np.linalg.norm(w) - 1) ** 2)
    np.testing.assert_allclose(penalty, expected, rtol=1e-5)


def test_a_flat_critic_costs_one_and_breaks_nothing() -> None:
    """Dropout can silence a small critic: no NaN may come of it."""
    w = tf.Variable([0.0, 0.0])
    with tf.GradientTape() as tape:
        penalty = losses.gradient_penalty(
            lambda x: tf.linalg.matvec(x, w), tf.zeros((2, 2)), tf.ones((2, 2))
        )
    assert float(penalty) == 1
    assert np.all(np.isfinite(tape.gradient(penalty, w)))


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1, 1)])
def test_alpha_goes_from_real_to_fake(
    shape: tuple[int, ...], rng: Random
) -> None:
    real, fake = rng.normal(size=(2, 3, 8, 2)).astype(np.float32)
    alpha = np.array([0.0, 0.25, 1.0], np.float32)
    seen = []

    def look(x: tf.Tensor) -> tf.Tensor:
        seen.append(x)
        return tf.reduce_sum(x, axis=[1, 2])

    losses.gradient_penalty(
        look,
        tf.constant(real),
        tf.constant(fake),
        alpha=tf.constant(alpha.reshape(shape)),
    )
    (x_hat,) = seen
    assert reference.relative_error(x_hat, between(real, fake, alpha)) < 1e-6


def test_drawn_alphas_are_uniform_one_for_each_example() -> None:
    seen = []

    def look(x: tf.Tensor) -> tf.Tensor:
        seen.append(x.numpy())
        return tf.reduce_sum(x, axis=[1, 2])

    zeros, ones = tf.zeros((2000, 3, 2)), tf.ones((2000, 3, 2))
    for seed in (1, 1, 2):
        tf.random.set_seed(seed)
        losses.gradient_penalty(look, zeros, ones)
    alpha = seen[0][:, 0, 0]
    np.testing.assert_array_equal(
        seen[0], np.broadcast_to(alpha[:, None, None], (2000, 3, 2))
    )
    assert alpha.min() >= 0 and alpha.max() <= 1
    counts, _ = np.histogram(alpha, bins=10, range=(0, 1))
    assert np.all(np.abs(counts - 200) < 5 * np.sqrt(200))
    np.testing.assert_array_equal(seen[0], seen[1], "the seed decides")
    assert np.any(seen[0] != seen[2])


@pytest.mark.parametrize(
    ("penalty", "points"),
    [(losses.r1_penalty, "real"), (losses.r1_r2_penalty, "both")],
    ids=["r1", "r1+r2"],
)
def test_r1_and_r2_penalties_and_gradients_equal_the_reference(
    critic: Critic, penalty: Any, points: str, rng: Random
) -> None:
    model, config, real, fake, alpha = critic
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        ours = penalty(model, tf.constant(real), tf.constant(fake), alpha=alpha)
    gradients = tape.gradient(
        ours, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )

    def twin(weights: list[np.ndarray]) -> Any:
        looked_at = [real, fake] if points == "both" else [real]
        return sum(
            reference_training.slope_penalty(weights, config, x)
            for x in looked_at
        )

    weights = [w.astype(np.float64) for w in model.get_weights()]
    assert reference.relative_error(ours, twin(weights)) < 1e-5
    # Along one random line through all weights.
    line = [rng.normal(size=w.shape) for w in weights]
    step = 1e-6
    ahead, behind = (
        twin([w + sign * step * d for w, d in zip(weights, line, strict=True)])
        for sign in (1, -1)
    )
    slope = sum(
        float(np.sum(g.numpy() * d))
        for g, d in zip(gradients, line, strict=True)
    )
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-3)
