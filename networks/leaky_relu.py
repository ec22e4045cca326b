"""Computes leaky ReLUs whose second derivative costs nothing."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

Gradient = Callable[..., Any]


def leaky_relu(x: tf.Tensor, slope: float) -> tf.Tensor:
    """Computes a leaky ReLU whose derivative counts as a constant.

    TensorFlow's own second derivative would send zeros back through the whole
    network that the derivative's sign was computed from.

    Args:
      x: Tensor of any shape.
      slope: Slope for negative values, 0 or more.

    Returns:
      Tensor of the shape of `x`.
    """

    @tf.custom_gradient
    def forward(x: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        y = tf.nn.leaky_relu(x, slope)
        # y has the sign of x.
        return y, lambda dy: backward(dy, y)

    @tf.custom_gradient
    def backward(dy: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        dx = tf.raw_ops.LeakyReluGrad(gradients=dy, features=y, alpha=slope)
        return dx, lambda ddx: (backward(ddx, y), None)

    return forward(x)


@keras.saving.register_keras_serializable("wavegan")
class LeakyReLU(keras.layers.LeakyReLU):
    """`keras.layers.LeakyReLU`, evaluated by `leaky_relu`."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Applies the leaky ReLU to a tensor of any shape."""
        return leaky_relu(x, self.negative_slope)
