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
from networks import spectral_critic

SMALL = wavegan.WaveGANConfig(
    slice_len=128, latent_dim=3, dim=2, kernel_len=9, phaseshuffle=2
)
BATCH = 4


def build(
    objective: str | losses.Objective = "wgan-gp",
    config: wavegan.WaveGANConfig = SMALL,
    jit_compile: bool = False,
    init: int = 0,
    num_spectral: int = 0,
    **fields: Any,
) -> gan.GAN:
    """Builds a compiled GAN.

    Args:
      objective: Of `losses.OBJECTIVES`, or its name.
      config: The shape of its networks.
      jit_compile: Compile the training step by XLA.
      init: Seed of the fresh weights.
      num_spectral: Discriminators of spectrograms beside the waveform's.
      **fields: Of `gan.GAN`.
    """
    keras.utils.set_random_seed(init)
    fields = {"latent_dim": config.latent_dim, "critic_steps": 2, **fields}
    networks = (
        wavegan.build_generator(config),
        wavegan.build_discriminator(config),
    )
    spectral = spectral_critic.build_beside(networks[1], num_spectral, dim=1)
    model = gan.GAN(*networks, spectral_critics=spectral, **fields)
    model.compile(objective, jit_compile=jit_compile)
    return model


def batches_of(model: gan.GAN, seed: int = 0, batch: int = BATCH) -> np.ndarray:
    """Noise, `[critic_steps, batch, slice_len, channels]`."""
    _, *of_example = model.discriminator.inputs[0].shape
    rng = np.random.default_rng(seed)
    shape = (model.critic_steps, batch, *of_example)
    return rng.normal(0, 0.3, shape).astype(np.float32)


def inputs_of(model: gan.GAN, seed: int = 0, batch: int = BATCH) -> Any:
    """Noise, and labels where the networks take them: what a step takes."""
    audio = batches_of(model, seed, batch)
    if not model.num_labels:
        return audio
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, model.num_labels, audio.shape[:2])
    return audio, labels.astype(np.int32)


@functools.cache
def graph_of(model: gan.GAN) -> Any:
    """The training step as a graph; eager where a test asks for that."""
    return tf.function(model.train_step, autograph=False)


def train(model: gan.GAN, steps: int, first: int = 0) -> list[dict[str, float]]:
    """Steps, each on its own batches; returns their losses."""
    step = graph_of(model)
    return [
        {
            name: float(value)
            for name, value in step(
                tf.nest.map_structure(tf.constant, inputs_of(model, first + i))
            ).items()
        }
        for i in range(steps)
    ]


def flat(model: Any) -> np.ndarray:
    """All weights of a network in one vector."""
    return np.concatenate([w.ravel() for w in model.get_weights()])
