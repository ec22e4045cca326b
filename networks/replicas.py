"""What a replica sees of a batch, and what replicas tell each other.

Replicas are devices that train the same networks, each by its share of every
batch. Each draws for the whole batch, by the same seed, and takes its own rows:
so the numbers do not depend on how many there are.

Outside of a `tf.distribute` strategy there is one replica, and nothing to tell.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

_parts = contextvars.ContextVar("parts", default=1)


def count() -> int:
    """Replicas that train together, on all machines."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def own_rows(draws: tf.Tensor) -> tf.Tensor:
    """The rows of this replica out of those drawn for all of them.

    Args:
      draws: `[count() * batch, ...]`; within `in_parts` of n, so many rows for
        each part of the batch, one part after the other.

    Returns:
      `[batch, ...]`.
    """
    if count() == 1:
        return draws
    shape = draws.shape[1:]
    rows = tf.reshape(draws, [_parts.get(), count(), -1, *shape])
    here = tf.distribute.get_replica_context()
    return tf.reshape(rows[:, here.replica_id_in_sync_group], [-1, *shape])


def mean(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """Means over the replicas, each in the shape of the tensor."""
    if count() == 1:
        return tensors
    here = tf.distribute.get_replica_context()
    return here.all_reduce(tf.distribute.ReduceOp.MEAN, tensors)


@contextlib.contextmanager
def in_parts(number: int) -> Iterator[None]:
    """Within it, batches are `number` equal parts, drawn for apart.

    Layers draw as they would in calls of their own, one part after the other.
    """
    token = _parts.set(number)
    try:
        yield
    finally:
        _parts.reset(token)


def parts() -> int:
    """Equal parts that the batch at hand is made of."""
    return _parts.get()
