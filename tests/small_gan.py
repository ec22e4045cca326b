"""A GAN small enough to train within a test."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import gan
import losses
import wavegan

SMALL = wavegan.WaveGANConfig(
    slice_len=128, latent_dim=3, dim=2, kernel_len=9, phaseshuffle=2
)
BATCH = 4


def build(
    objective: str | losses.Objective = "wgan-gp",
    config: wavegan.WaveGANConfig = SMALL,
    jit_compile: bool = False,
    init: int = 0,
    **fields: Any,
) -> gan.GAN:
    """A compiled GAN; `init` seeds the fresh weights."""
    keras.utils.set_random_seed(init)
    fields = {"latent_dim": config.latent_dim, "critic_steps": 2, **fields}
    model = gan.GAN(
        wavegan.build_generator(config),
        wavegan.build_discriminator(config),
        **fields,
    )
    model.compile(objective, jit_compile=jit_compile)
    return model


def batches_of(model: gan.GAN, seed: int = 0, batch: int = BATCH) -> np.ndarray:
    """Noise, `[critic_steps, batch, slice_len, channels]`."""
    shape = (model.critic_steps, batch, *model.discriminator.input_shape[1:])
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.3, shape).astype(np.float32)


@functools.cache
def graph_of(model: gan.GAN) -> Any:
    """The training step as a graph; eager where a test asks for that."""
    return tf.function(model.train_step)


def train(model: gan.GAN, steps: int, first: int = 0) -> list[dict[str, float]]:
    """Steps, each on its own batches; returns their losses."""
    step = graph_of(model)
    return [
        {
            name: float(value)
            for name, value in step(
                tf.constant(batches_of(model, first + i))
            ).items()
        }
        for i in range(steps)
    ]


def flat(model: Any) -> np.ndarray:
    """All weights of a network in one vector."""
    return np.concatenate([w.ravel() for w in model.get_weights()])
