"""All that is random in a training step, a function of seed, update, purpose.

An update is one optimizer's, counted over the whole run. So whoever knows the
seed and how far a run has come draws what it would have drawn; and every
replica draws for the whole batch, and takes its rows.
"""

from typing import Any

import keras
import tensorflow as tf

from networks import replicas

# What a draw is for; the random layers' streams count on from here.
Z, ALPHA, LAYERS = range(3)
AUGMENT_REAL, AUGMENT_FAKE = -1, -2


class Draws:
    """The draws of two networks' training.

    Args:
      seed: Of all of them, an int64 variable, `[]`.
      networks: Whose layers draw too: phase shuffle, dropout.
    """

    def __init__(self, seed: tf.Variable, *networks: keras.Model) -> None:
        self._seed = seed
        self._states = [s for net in networks for s in _random_states(net)]

    def z(self, batch: int, latent_dim: int, update: tf.Tensor) -> tf.Tensor:
        """Latent vectors, uniform in [-1, 1), `[batch, latent_dim]`."""
        shape = [batch * replicas.count(), latent_dim]
        return replicas.own_rows(
            tf.random.stateless_uniform(shape, self._key(update, Z), -1.0, 1.0)
        )

    def alpha(self, batch: int, update: tf.Tensor) -> tf.Tensor:
        """Where penalties look between real and fake, in [0, 1), `[batch]`."""
        shape = [batch * replicas.count()]
        return replicas.own_rows(
            tf.random.stateless_uniform(shape, self._key(update, ALPHA))
        )

    def augmentation(self, update: tf.Tensor, purpose: int) -> tf.Tensor:
        """The seed of how a batch is augmented, `[2]`.

        Args:
          update: Whose batch.
          purpose: AUGMENT_REAL or AUGMENT_FAKE.
        """
        return self._key(update, purpose)

    def reseed_layers(self, update: tf.Tensor) -> None:
        """Starts the streams of phase shuffle and dropout for one update.

        They count on from call to call, so that real, fake and in-between
        examples are shuffled apart.
        """
        for purpose, state in enumerate(self._states, start=LAYERS):
            state.assign(self._key(update, purpose))

    def _key(self, update: tf.Tensor, purpose: int) -> tf.Tensor:
        """Seed of one draw, `[2]`."""
        seed = tf.stack([self._seed, update])
        seed = tf.random.experimental.stateless_fold_in(
            seed, tf.constant(purpose, tf.int64)
        )
        # Keras counts the second number up, call by call. Scrambled, no two
        # purposes count through the same numbers.
        return tf.random.stateless_uniform([2], seed, None, None, tf.int64)


def _random_states(network: keras.Model) -> list[Any]:
    """The states of a network's random layers: no weights, yet variables."""
    weights = {id(weight) for weight in network.weights}
    return [v for v in network.variables if id(v) not in weights]
