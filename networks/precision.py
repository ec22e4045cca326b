"""How many bits the networks calculate with."""

import contextlib
from collections.abc import Iterator

import keras

# Keras's policy of activations and products. Weights, their gradients, losses
# and what leaves a network are float32 in each.
POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16"}


def check(name: str) -> None:
    """Raises ValueError if no precision has that name."""
    if name not in POLICIES:
        raise ValueError(
            f"precision is {name!r}: expected one of " + ", ".join(POLICIES)
        )


@contextlib.contextmanager
def of_layers(name: str) -> Iterator[None]:
    """Within it, layers are made that work in a precision.

    Args:
      name: A key of `POLICIES`.

    Raises:
      ValueError: No precision has that name.
    """
    check(name)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
