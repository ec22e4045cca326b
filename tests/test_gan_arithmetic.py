"""Replays one training step in float64 from its networks' recorded inputs.

The recording tells the inputs of each call and, by comparison with the twin,
the phase shifts that it drew. All the rest is computed again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import call_recorder
import keras
import numpy as np
import pytest
import reference
import reference_training as training
import tensorflow as tf

import gan
import losses
import wavegan

Array = np.ndarray
Randomize = Callable[[Any], Any]
Random = np.random.Generator

CONFIG = wavegan.WaveGANConfig(
    slice_len=128, latent_dim=2, dim=1, kernel_len=9, phaseshuffle=2
)
BATCH = 4
CLIP = 0.2  # instead of 0.01, with which the generator's gradients vanish


@pytest.fixture
def step(
    rng: Random, randomize: Randomize, eagerly: None
) -> Callable[..., tuple[gan.GAN, call_recorder.Recording, dict[str, Any]]]:
    """Makes one recorded step of a small GAN with random weights."""

    def make(objective: losses.Objective, critic_steps: int) -> Any:
        model = gan.GAN(
            randomize(wavegan.build_generator(CONFIG)),
            randomize(wavegan.build_discriminator(CONFIG)),
            latent_dim=CONFIG.latent_dim,
            critic_steps=critic_steps,
        )
        if objective.clip:
            objective = dataclasses.replace(objective, clip=CLIP)
        model.compile(objective)
        calls = call_recorder.Recording(model)
        shape = (critic_steps, BATCH, CONFIG.slice_len, CONFIG.channels)
        batches = rng.normal(0, 0.5, shape).astype(np.float32)
        return model, calls, model.train_step(tf.constant(batches))

    return make


def critic_update(
    name: str, weights: Sequence[Array], calls: Sequence[call_recorder.Call]
) -> tuple[Any, list[Array]]:
    """The critic's loss and gradients in one update, by the twins.

    Args:
        name: Of the objective.
        weights: The critic's, float64.
        calls: What the critic was given: real, fake and, with a gradient
            penalty, what lies between.
    """
    inputs = [call.inputs.astype(np.float64) for call in calls]
    shifts = [call.shifts(CONFIG) for call in calls]
    scores = [
        reference.discriminator(weights, CONFIG, x, s)
        for x, s in zip(inputs[:2], shifts[:2], strict=True)
    ]
    of_critic = training.LOSSES[name][1]
    loss = of_critic(*scores)
    upstreams = training.central_differences(
        lambda point: of_critic(*point), scores
    )
    if name.startswith("wgan"):  # known exactly; Adam magnifies any noise
        upstreams = [np.full(BATCH, -1 / BATCH), np.full(BATCH, 1 / BATCH)]
    parts = [
        training.critic_weight_gradients(weights, CONFIG, x, upstream, s)
        for x, upstream, s in zip(
            inputs[:2], upstreams, shifts[:2], strict=True
        )
    ]
    if len(calls) == 3:
        loss += 10 * training.gradient_penalty(
            weights, CONFIG, inputs[2], shifts[2]
        )
        penalty = training.penalty_weight_gradients(
            weights, CONFIG, inputs[2], shifts[2]
        )
        parts.append([10 * gradient for gradient in penalty])
    return loss, [np.sum(part, axis=0) for part in zip(*parts, strict=True)]


def generator_update(
    name: str,
    weights: Sequence[Any],
    z: call_recorder.Call,
    score: call_recorder.Call,
) -> tuple[Any, list[Array]]:
    """The generator's loss and gradients, by central differences."""
    shifts = score.shifts(CONFIG)
    latent = z.inputs.astype(np.float64)

    def loss(point: list[Array]) -> Any:
        fake = reference.generator(point, CONFIG, latent)
        scores = reference.discriminator(score.weights, CONFIG, fake, shifts)
        return training.LOSSES[name][0](scores)

    return loss(list(weights)), training.central_differences(loss, weights)


def float64(weights: Sequence[Any]) -> list[Array]:
    """Copies in double precision."""
    return [np.asarray(weight, np.float64) for weight in weights]


@pytest.mark.parametrize("name", training.LOSSES)
def test_gradients_of_one_step_are_the_twins(
    name: str, step: Callable[..., Any]
) -> None:
    """Gradient descent at rate 1 shows the whole gradient of each network.

    The weights are below 2, so that float32 keeps the gradients to 1e-7.
    """
    objective = dataclasses.replace(
        losses.OBJECTIVES[name], optimizer=lambda: keras.optimizers.SGD(1.0)
    )
    model, calls, report = step(objective, critic_steps=1)
    *critic_calls, last = calls.discriminator
    assert len(critic_calls) == (3 if name == "wgan-gp" else 2)
    before = float64(critic_calls[0].weights)
    d_loss, gradients = critic_update(name, before, critic_calls)
    assert reference.relative_error(report["d_loss"], d_loss) < 1e-4
    scale = max(np.abs(gradient).max() for gradient in gradients)
    after = [w - g for w, g in zip(before, gradients, strict=True)]
    if name == "wgan":
        after = training.clip(after, CLIP)
    for got, want in zip(last.weights, after, strict=True):
        assert np.abs(got - want).max() < 1e-4 * scale + 1e-7

    before = float64(calls.generator[-1].weights)
    g_loss, gradients = generator_update(
        name, before, calls.generator[-1], last
    )
    assert reference.relative_error(report["g_loss"], g_loss) < 1e-4
    scale = max(np.abs(gradient).max() for gradient in gradients)
    after = model.generator.get_weights()
    for got, w, g in zip(after, before, gradients, strict=True):
        assert np.abs(got - (w - g)).max() < 1e-4 * scale + 1e-7


@pytest.mark.parametrize("name", ["wgan-gp", "wgan"])
def test_a_step_moves_the_weights_as_tf1s_optimizers_do(
    name: str, step: Callable[..., Any]
) -> None:
    """Two critic updates and one of the generator, replayed to the end."""
    model, calls, report = step(losses.OBJECTIVES[name], critic_steps=2)
    per_update = 3 if name == "wgan-gp" else 2
    optimizer = training.OPTIMIZERS[name]()
    start = float64(calls.discriminator[0].weights)
    weights, d_losses = start, []
    for update in range(2):
        first = update * per_update
        d_loss, gradients = critic_update(
            name, weights, calls.discriminator[first : first + per_update]
        )
        d_losses.append(d_loss)
        weights = optimizer.apply(weights, gradients)
        if name == "wgan":
            weights = training.clip(weights, CLIP)
    np.testing.assert_allclose(report["d_loss"], np.mean(d_losses), rtol=1e-4)
    compare_moves(start, weights, model.discriminator.get_weights())

    start = float64(calls.generator[-1].weights)
    g_loss, gradients = generator_update(
        name, start, calls.generator[-1], calls.discriminator[-1]
    )
    np.testing.assert_allclose(report["g_loss"], g_loss, rtol=1e-4)
    weights = training.OPTIMIZERS[name]().apply(start, gradients)
    compare_moves(start, weights, model.generator.get_weights())


def compare_moves(
    start: Sequence[Array], twin: Sequence[Array], got: Sequence[Any]
) -> None:
    """Asserts that weights went where the twin's went, to 1e-4 of the way."""
    for before, want, after in zip(start, twin, got, strict=True):
        way = np.abs(want - before).max()
        rounding = np.spacing(np.float32(np.abs(before).max()))
        assert np.abs(after - want).max() <= 1e-4 * way + 2 * rounding
