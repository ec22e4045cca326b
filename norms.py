"""Batch normalisation as TF1 did it, for the networks that want it."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("wavegan")
class BatchOnlyNormalization(keras.layers.BatchNormalization):
    """Normalises by the batch at hand, in training and in inference.

    Its moving averages are there for the layout's sake; they never move.

    Source: the authors' code, for the discriminator.
    """

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Maps `[..., channels]` to the same shape."""
        del training
        mean, variance = tf.nn.moments(x, list(range(x.shape.rank - 1)))
        return tf.nn.batch_normalization(
            x, mean, variance, self.beta, self.gamma, self.epsilon
        )


class BatchNorms:
    """Makes batch norms named in the order of use, or nothing at all.

    Args:
      enabled: Make them.
      kind: Of the layers, `keras.layers.BatchNormalization` or like it.
    """

    def __init__(self, enabled: bool, kind: type[keras.layers.Layer]) -> None:
        self._enabled = enabled
        self._kind = kind
        self._count = 0

    def __call__(self, x: Any) -> Any:
        """Normalises a tensor of a functional model, if enabled."""
        if not self._enabled:
            return x
        # TF1's constants, which are Keras's defaults too: said, not assumed.
        norm = self._kind(
            momentum=0.99, epsilon=1e-3, name=f"batchnorm_{self._count}"
        )
        self._count += 1
        return norm(x)
