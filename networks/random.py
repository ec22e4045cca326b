"""Draws all random numbers of a training step from seed, update and purpose.

One counter numbers all updates of a run, those of the critic and of the
generator. So a resumed run draws the same numbers as one without a break. In
distributed training, every replica draws for the whole batch and takes its own
rows.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from networks import replicas

# Purposes of draws; those of random layers are numbered from LAYERS on.
Z, ALPHA, LAYERS = range(3)
AUGMENT_REAL, AUGMENT_FAKE = -1, -2
ROWS = -3
TIME, NOISE, DROP = -4, -5, -6


class Draws:
    """Draws the random numbers of a GAN's training.

    Args:
      seed: Seed of all draws, an int64 variable, `[]`.
      *networks: Networks with random layers: phase shuffle and dropout.
    """

    def __init__(self, seed: tf.Variable, *networks: keras.Model) -> None:
        self._seed = seed
        self._states = [s for net in networks for s in _random_states(net)]

    def z(self, batch: int, latent_dim: int, update: tf.Tensor) -> tf.Tensor:
        """Draws latent vectors, uniform in [-1, 1), `[batch, latent_dim]`."""
        shape = [batch * replicas.count(), latent_dim]
        return replicas.own_rows(
            tf.random.stateless_uniform(shape, self._key(update, Z), -1.0, 1.0)
        )

    def alpha(self, batch: int, update: tf.Tensor) -> tf.Tensor:
        """Draws positions between real (0) and fake (1), `[batch]`.

        Gradient penalties are evaluated at these positions, uniform in [0, 1).
        """
        return self.uniform(batch, update, ALPHA)

    def uniform(self, batch: int, update: tf.Tensor, purpose: int) -> tf.Tensor:
        """Draws numbers, uniform in [0, 1), `[batch]`."""
        shape = [batch * replicas.count()]
        return replicas.own_rows(
            tf.random.stateless_uniform(shape, self._key(update, purpose))
        )

    def times(self, batch: int, update: tf.Tensor) -> tf.Tensor:
        """Draws times in [0, 1), `[batch]`: one in each equal part of it."""
        count = batch * replicas.count()
        draws = tf.random.stateless_uniform([count], self._key(update, TIME))
        first = tf.cast(tf.range(count), tf.float32)
        return replicas.own_rows((first + draws) / tf.cast(count, tf.float32))

    def normal(
        self, shape: Sequence[int], update: tf.Tensor, purpose: int
    ) -> tf.Tensor:
        """Draws normally distributed numbers, of the shape of a batch."""
        shape = [shape[0] * replicas.count(), *shape[1:]]
        return replicas.own_rows(
            tf.random.stateless_normal(shape, self._key(update, purpose))
        )

    def rows(
        self, count: int, limit: tf.Tensor, update: tf.Tensor
    ) -> tf.Tensor:
        """Draws whole numbers below `limit`, int32, `[count]`.

        They are the same on all replicas.
        """
        return tf.random.stateless_uniform(
            [count], self._key(update, ROWS), 0, limit, tf.int32
        )

    def augmentation(self, update: tf.Tensor, purpose: int) -> tf.Tensor:
        """Returns the seed of a batch's augmentation, `[2]`.

        Args:
          update: Number of the update that uses the batch.
          purpose: AUGMENT_REAL or AUGMENT_FAKE.
        """
        return self._key(update, purpose)

    def reseed_layers(self, update: tf.Tensor) -> None:
        """Seeds the random layers, phase shuffle and dropout, for an update.

        Their generators advance with each call, so that real, fake and
        interpolated examples get different draws.
        """
        for purpose, state in enumerate(self._states, start=LAYERS):
            state.assign(self._key(update, purpose))

    def _key(self, update: tf.Tensor, purpose: int) -> tf.Tensor:
        """Returns the seed of one draw, `[2]`."""
        seed = tf.stack([self._seed, update])
        seed = tf.random.experimental.stateless_fold_in(
            seed, tf.constant(purpose, tf.int64)
        )
        # Keras increments the second number with each call. The hash keeps two
        # purposes from counting through the same numbers.
        return tf.random.stateless_uniform([2], seed, None, None, tf.int64)


def _random_states(network: keras.Model) -> list[Any]:
    """Returns the states of random layers: the variables but the weights."""
    weights = {id(weight) for weight in network.weights}
    return [v for v in network.variables if id(v) not in weights]
