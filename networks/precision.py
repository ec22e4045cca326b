"""Sets the floating-point precision of the networks' layers."""

import contextlib
from collections.abc import Iterator

import keras

# Keras's policy for activations and products, by name. Weights, their
# gradients, losses and the outputs of networks are float32 in all of them.
POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16"}


def check(name: str) -> None:
    """Raises ValueError unless a precision has this name."""
    if name not in POLICIES:
        raise ValueError(
            f"precision is {name!r}: expected one of " + ", ".join(POLICIES)
        )


@contextlib.contextmanager
def of_layers(name: str) -> Iterator[None]:
    """Sets the precision of the layers that are made within the context.

    Args:
      name: A key of `POLICIES`.

    Raises:
      ValueError: No precision has this name.
    """
    check(name)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
