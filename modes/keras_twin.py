"""The generator of stock Keras layers alone, which anybody's Keras can open.

The layers here evaluate stock layers faster, or have no stock name. In files
for others, the former change back into what they are to Keras, the latter
into stock layers that come to the same (their method `stock`), and all of them
into float32.
"""

from typing import Any

import keras

import gan as gan_lib


def build(gan: gan_lib.GAN) -> keras.Model:
    """Builds what `gan.GAN.generate` does from stock Keras layers.

    Args:
      gan: Whose averaged weights are copied.

    Returns:
      A float32 model from z, `[batch, latent_dim]`, to audio, `[batch,
      slice_len, channels]`. With labels it takes `[z, label]`, where label is
      int32, `[batch]`.

    Raises:
      ValueError: A layer has no stock twin.
    """
    generator = gan.ema_generator
    twin = keras.models.clone_model(
        generator, clone_function=_twin, call_function=_call
    )
    for layer in generator.layers:
        if layer.weights:
            twin.get_layer(layer.name).set_weights(layer.get_weights())
    return keras.Model(
        twin.input, gan.stock_audio(twin.output), name="generator"
    )


def _twin(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the stock Keras layer nearest to a layer, without its weights."""
    if hasattr(layer, "stock"):
        return layer
    kind: Any = next(
        kind
        for kind in type(layer).__mro__
        if kind.__module__.split(".")[0] == "keras"
    )
    if kind is keras.layers.Layer:
        raise ValueError(
            f"{type(layer).__name__} cannot be made of stock Keras layers: "
            "export by --format=savedmodel"
        )
    return kind.from_config({**layer.get_config(), "dtype": "float32"})


def _call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
    """Returns a layer's symbolic output, made of stock layers."""
    return getattr(layer, "stock", layer)(*args, **kwargs)
