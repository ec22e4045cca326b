"""Splits draws over replicas, averages over them, and updates variables.

Replicas are devices that train the same networks, each on its share of every
batch. Each draws random numbers for the whole batch from the same seed, and
takes its own rows, so that results do not depend on the number of replicas.

Outside of a `tf.distribute` strategy there is one replica and no communication.
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator

import keras
import tensorflow as tf

_parts = contextvars.ContextVar("parts", default=1)


def count() -> int:
    """Returns the number of replicas that train together, on all machines."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def own_rows(draws: tf.Tensor) -> tf.Tensor:
    """Returns this replica's rows of numbers drawn for all replicas.

    Args:
      draws: Random numbers, `[count() * batch, ...]`; within `in_parts`, the
        rows of the first part of the batch for all replicas come first, then
        those of the second part, and so on.

    Returns:
      Rows of this replica, `[batch, ...]`.
    """
    if count() == 1:
        return draws
    shape = draws.shape[1:]
    rows = tf.reshape(draws, [_parts.get(), count(), -1, *shape])
    here = tf.distribute.get_replica_context()
    return tf.reshape(rows[:, here.replica_id_in_sync_group], [-1, *shape])


def mean(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """Averages each tensor over the replicas, by an all-reduce."""
    if count() == 1:
        return tensors
    here = tf.distribute.get_replica_context()
    return here.all_reduce(tf.distribute.ReduceOp.MEAN, tensors)


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    loss: tf.Tensor,
    gradients: list[tf.Tensor],
    variables: list[keras.Variable],
) -> tf.Tensor:
    """Updates variables by the mean over replicas of their gradients.

    Returns:
      The loss; NaN if a gradient is not finite.
    """
    finite = tf.math.is_finite(tf.linalg.global_norm(gradients))
    if count() > 1:  # Keras adds the gradients of all replicas
        # That of an embedding holds the rows of those labels that were seen.
        gradients = [tf.convert_to_tensor(g) / count() for g in gradients]
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return tf.where(finite, loss, math.nan)


@contextlib.contextmanager
def in_parts(number: int) -> Iterator[None]:
    """Makes random layers treat a batch as `number` equal parts.

    Within the context, layers draw for the parts one after the other, as they
    would in separate calls.
    """
    token = _parts.set(number)
    try:
        yield
    finally:
        _parts.reset(token)


def parts() -> int:
    """Returns the number of equal parts that a batch consists of."""
    return _parts.get()
