"""Scores examples by one or several discriminators.

The first takes the examples themselves. Any others take log-magnitude
spectrograms of the same examples. All losses and penalties are added.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from networks import audio_model, fast_conv, replicas, spectral_critic

Views = list[tf.Tensor]  # the same examples as the input of each critic


def num_rows(examples: tf.Tensor) -> Any:
    """Returns the size of a batch: a number where it is known."""
    return examples.shape[0] or tf.shape(examples)[0]


def has_batch_norm(*networks: keras.Model) -> bool:
    """Returns whether any of the networks has batch normalisation."""
    return any(
        isinstance(layer, keras.layers.BatchNormalization)
        for network in networks
        for layer in network.layers
    )


class Critics:
    """Scores examples by one or more discriminators.

    Args:
      first: Model from examples, or `[examples, label]`, to raw scores,
        `[batch]`.
      spectral: Models that `spectral_critic.build` made.
    """

    def __init__(
        self, first: keras.Model, spectral: Sequence[keras.Model] = ()
    ) -> None:
        self._networks = [first, *spectral]
        self._frame_lens = [spectral_critic.frame_len(net) for net in spectral]

    @property
    def variables(self) -> list[keras.Variable]:
        """Trainable weights of all critics."""
        return [v for net in self._networks for v in net.trainable_variables]

    def view(self, examples: tf.Tensor) -> Views:
        """Converts examples to the input of each critic."""
        return [
            examples,
            *(
                spectral_critic.to_log_magnitude(examples, frame_len)
                for frame_len in self._frame_lens
            ),
        ]

    def score(self, views: Views, label: tf.Tensor | None) -> list[tf.Tensor]:
        """Returns each critic's raw scores, `[batch]`."""
        return [
            _score(network, label, x)
            for network, x in zip(self._networks, views, strict=True)
        ]

    def score_both(
        self, reals: Views, fakes: Views, label: tf.Tensor | None
    ) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Returns each critic's raw scores of real and of generated examples.

        Both go through a critic in one pass if its score of an example does not
        depend on the other examples, that is, without batch normalisation.
        """
        pairs = []
        for network, real, fake in zip(
            self._networks, reals, fakes, strict=True
        ):
            if has_batch_norm(network):
                pair = [_score(network, label, x) for x in (real, fake)]
            else:
                labels = None if label is None else tf.tile(label, [2])
                both = tf.concat([real, fake], axis=0)
                with replicas.in_parts(2):
                    pair = tf.split(_score(network, labels, both), 2)
            pairs.append(tuple(pair))
        return pairs

    def penalise(
        self,
        penalty: Callable[..., tf.Tensor],
        weight: float,
        reals: Views,
        fakes: Views,
        label: tf.Tensor | None,
        alpha: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the sum of the gradient penalties and its gradients.

        Args:
          penalty: Function such as `losses.gradient_penalty`.
          weight: Weight of the penalties.
          reals: Real examples as the input of each critic.
          fakes: Generated examples as the input of each critic.
          label: Label of each example, int32, `[batch]`; None without labels.
          alpha: Position between real (0) and fake (1) for each example,
            `[batch]`.

        Returns:
          Weighted sum, `[]`, and its gradients with respect to `variables`.
        """
        with tf.GradientTape() as tape:
            parts = [
                penalty(
                    functools.partial(_score, network, label),
                    real,
                    fake,
                    alpha=alpha,
                )
                for network, real, fake in zip(
                    self._networks, reals, fakes, strict=True
                )
            ]
            total = weight * tf.add_n(parts)
        # The penalty does not depend on every bias, as on the last one.
        gradients = tape.gradient(
            total,
            [variable.value for variable in self.variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return total, gradients

    def no_penalty(self) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns zeros in the shapes of the results of `penalise`."""
        return tf.zeros([]), [tf.zeros(v.shape) for v in self.variables]


def with_dependency(first: list[tf.Tensor], views: Views) -> Views:
    """Returns views that are computed only after the tensors in `first`.

    See `fast_conv.with_dependency`.
    """
    return [fast_conv.with_dependency(first, x) for x in views]


def _score(
    network: keras.Model, label: tf.Tensor | None, x: tf.Tensor
) -> tf.Tensor:
    """Returns a critic's raw scores in training, `[batch]`."""
    return network(audio_model.with_label(x, label), training=True)
