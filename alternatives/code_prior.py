"""Learns which code follows which, and draws sequences of codes.

The prior is autoregressive: it gives the probabilities of a code when all codes
before it are known.
"""

from collections.abc import Callable
from typing import Any

import keras

from networks import audio_model, dcgan

TAPS = 4  # of each causal convolution; dilations are powers of it


def build(
    num_codes: int, codebook_size: int, dim: int, num_labels: int
) -> keras.Model:
    """Builds a stack of dilated causal convolutions that see all codes so far.

    Args:
      num_codes: Number of codes of a clip.
      codebook_size: Number of different codes.
      dim: Number of channels of each layer.
      num_labels: Number of labels; 0: the prior takes no labels.

    Returns:
      Model from the first codes of clips, int32, `[batch, count]`, to the
      logits of each of them and of the code that follows, `[batch, count + 1,
      codebook_size]`. With labels, its input is `[codes, label]`, where label
      is int32, `[batch]`.

    Source: van den Oord et al. (2016), "WaveNet", section 2.1.
    """
    codes = keras.Input((None,), dtype="int32", name="codes")
    x = keras.layers.Embedding(codebook_size, dim, name="embedding")(codes)
    # Zeros stand before the first code, which is predicted from them.
    x = keras.layers.ZeroPadding1D((1, 0))(x)
    inputs, x = add_label(codes, x, num_labels)
    seen, i = 1, 0
    while seen < num_codes:
        change = keras.layers.Conv1D(
            dim,
            TAPS,
            dilation_rate=TAPS**i,
            padding="causal",
            activation="relu",
            name=f"causal_{i}",
        )(x)
        x = keras.layers.Add()([x, change])
        seen, i = TAPS * seen, i + 1
    logits = keras.layers.Dense(codebook_size, name="logits")(x)
    return keras.Model(inputs, logits, name="prior")


def add_label(codes: Any, x: Any, num_labels: int) -> tuple[Any, Any]:
    """Adds a learned vector of the label to all time steps, if there is one.

    Args:
      codes: Input of the network.
      x: Feature maps, `[batch, time, dim]`.
      num_labels: Number of labels.

    Returns:
      Inputs of the network, and the new feature maps.
    """
    if not num_labels:
        return codes, x
    label = dcgan.label_input()
    vector = dcgan.LabelEmbedding(
        num_labels, x.shape[-1], name="label_project"
    )(label)
    vector = keras.layers.Reshape((1, x.shape[-1]))(vector)
    return [codes, label], keras.layers.Add()([x, vector])


def sample(prior: Callable[..., Any], z: Any, label: Any = None) -> Any:
    """Draws sequences of codes.

    Each code is drawn by the inverse of its distribution function from one
    number. So codes have exactly the prior's distribution, and as long as z
    hardly changes, neither do the first codes. (Gumbel noise draws from the
    same distribution, but needs as many numbers for each code as there are
    different codes.)

    Args:
      prior: What `build` builds, or a network like it.
      z: A number for each code, uniform in [-1, 1), `[batch, num_codes]`.
      label: Label of each clip, `[batch]`; None without labels.

    Returns:
      Codes, int32, `[batch, num_codes]`.
    """
    codes = keras.ops.cast(z[:, :0], "int32")
    for i in range(z.shape[1]):
        inputs = audio_model.with_label(codes, label)
        logits = prior(inputs, training=False)[:, -1]
        code = draw(logits, (z[:, i : i + 1] + 1) / 2)
        codes = keras.ops.concatenate([codes, code], axis=1)
    return codes


def draw(logits: Any, uniform: Any) -> Any:
    """Draws a number for each row by the inverse of its distribution function.

    Args:
      logits: Logits of the numbers, `[batch, count]`.
      uniform: Numbers uniform in [0, 1), `[batch, 1]`.

    Returns:
      The first numbers at which the sum of the probabilities exceeds `uniform`,
      int32, `[batch, 1]`.
    """
    sums = keras.ops.cumsum(keras.ops.softmax(logits), axis=-1)
    # Rounding may leave the last sum below 1, so it is not looked at.
    passed = keras.ops.cast(sums[:, :-1] <= uniform, "int32")
    return keras.ops.sum(passed, axis=-1, keepdims=True)
