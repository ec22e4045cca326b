"""Builds the network of the diffusion model, a U-Net for folded audio.

Source: Ho et al. (2020), appendix B; Ronneberger et al. (2015), "U-Net".
"""

import math
from typing import Any

import keras
import numpy as np

from networks import dcgan

STRIDE = 4  # of positions, from one level of the network to the next
MULTIPLES = (1, 2, 4, 4)  # of `dim`: channels of each level
GROUPS = 8  # of channels that are normalised together
NUM_FREQUENCIES = 8  # sines, and cosines, that tell the network the time


def build(shape: tuple[int, int], dim: int, num_labels: int) -> keras.Model:
    """Builds the network that predicts the velocity.

    Args:
      shape: Positions and channels of a noisy clip; positions are a multiple of
        `STRIDE ** (len(MULTIPLES) - 1)`.
      dim: Number of channels of the first level, a multiple of `GROUPS`.
      num_labels: Number of labels, or 0.

    Returns:
      Model from `[noisy, time]` to velocities. Noisy clips and velocities are
      `[batch, *shape]`; times are given by their `time_features`. With labels,
      its input is `[noisy, time, known, label]`: known is 1, or 0 to ignore the
      label, `[batch, 1]`; label is int32, `[batch]`.
    """
    layers = keras.layers
    widths = [dim * multiple for multiple in MULTIPLES]
    noisy = keras.Input(shape, name="noisy")
    time = keras.Input((2 * NUM_FREQUENCIES,), name="time")
    inputs = [noisy, time]
    size = 4 * dim
    condition = layers.Dense(size, "silu", name="time_project")(time)
    if num_labels:
        known, label = keras.Input((1,), name="known"), dcgan.label_input()
        inputs += [known, label]
        vector = dcgan.LabelEmbedding(
            num_labels,
            size,
            embeddings_initializer="glorot_uniform",
            name="label_project",
        )(label)
        vector = layers.Multiply()([vector, known])
        condition = layers.Add()([condition, vector])
    condition = layers.Dense(size, "silu", name="condition")(condition)

    x = layers.Conv1D(widths[0], 3, padding="same", name="input")(noisy)
    levels = []
    for i, width in enumerate(widths):
        if i > 0:
            x = layers.Conv1D(width, STRIDE, STRIDE, name=f"downconv_{i}")(x)
        x = _block(x, condition, f"encoder_{i}")
        levels.append(x)
    for i, width in reversed([*enumerate(widths)]):
        if i < len(widths) - 1:
            # A transposed convolution whose windows do not overlap.
            x = layers.Dense(STRIDE * width, name=f"upconv_{i}")(x)
            x = layers.Reshape((-1, width))(x)
            x = layers.Add()([x, levels[i]])
        x = _block(x, condition, f"decoder_{i}")
    x = _normalise(x, "output_norm")
    x = layers.Conv1D(
        shape[1],
        3,
        padding="same",
        kernel_initializer="zeros",
        dtype="float32",
        name="output",
    )(x)
    return keras.Model(inputs, x, name="generator")


def _block(x: Any, condition: Any, name: str) -> Any:
    """Adds to feature maps what two convolutions make of them.

    Args:
      x: Feature maps, `[batch, positions, width]`.
      condition: Vector of time and label, which scales and shifts the maps
        between the convolutions, `[batch, size]`.
      name: First part of the layers' names.

    Returns:
      Feature maps of the same shape.

    Source: He et al. (2016); Perez et al. (2018), "FiLM".
    """
    layers = keras.layers
    width = x.shape[-1]
    y = _normalise(x, f"{name}_norm_0")
    y = layers.Conv1D(width, 3, padding="same", name=f"{name}_conv_0")(y)
    scale, shift = (
        layers.Reshape((1, width))(
            layers.Dense(width, bias_initializer=bias, name=f"{name}_{part}")(
                condition
            )
        )
        for part, bias in (("scale", "ones"), ("shift", "zeros"))
    )
    y = layers.GroupNormalization(GROUPS, name=f"{name}_norm_1")(y)
    y = layers.Add()([layers.Multiply()([y, scale]), shift])
    y = layers.Activation("silu")(y)
    y = layers.Conv1D(
        width,
        3,
        padding="same",
        kernel_initializer="zeros",
        name=f"{name}_conv_1",
    )(y)
    return layers.Add()([x, y])


def _normalise(x: Any, name: str) -> Any:
    """Applies group normalisation (Wu and He, 2018) and SiLU."""
    x = keras.layers.GroupNormalization(GROUPS, name=name)(x)
    return keras.layers.Activation("silu")(x)


def time_features(time: Any) -> Any:
    """Returns sines and cosines of times, as a network takes them.

    Args:
      time: Times between 0 and 1, `[batch, 1]`.

    Returns:
      Features, `[batch, 2 * NUM_FREQUENCIES]`.

    Source: Vaswani et al. (2017), section 3.5.
    """
    ops = keras.ops
    angle = time * (
        math.pi * 2.0 ** np.arange(NUM_FREQUENCIES, dtype="float32")
    )
    return ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=1)
