"""Sets the floating-point precision of the networks' layers."""

import contextlib
from collections.abc import Iterator

import keras

from system import settings

# Keras's policy for activations and products, by name. Weights, their
# gradients, losses and the outputs of networks are float32 in all of them.
POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16"}


@contextlib.contextmanager
def of_layers(name: str) -> Iterator[None]:
    """Sets the precision of the layers that are made within the context.

    Args:
      name: A key of `POLICIES`.

    Raises:
      SettingError: No precision has this name.
    """
    settings.check_value("precision", name, choices=tuple(POLICIES))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
