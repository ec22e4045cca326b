"""Rebuilds a generator from stock Keras layers, for files that others open.

Some layers of this repository evaluate stock layers faster; here they change
back into these. Others have no equal in Keras; `call` and `to_audio` compute
the same by several stock layers. All of them are float32.
"""

import functools
from typing import Any

import keras
import numpy as np

import gan as gan_lib
import specgan
import wavegan
from networks import spectrogram_keras, upsampling


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
        generator, clone_function=_twin, call_function=call
    )
    for layer in generator.layers:
        if layer.weights:
            twin.get_layer(layer.name).set_weights(layer.get_weights())
    audio = to_audio(gan, twin.output)
    return keras.Model(twin.input, audio, name="generator")


def _twin(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns a layer of the nearest Keras class, in float32, without weights.

    Raises:
      ValueError: There is none, and `call` does not know the layer.
    """
    if call.dispatch(type(layer)) is not call.dispatch(object):
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


@functools.singledispatch
def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
    """Computes a layer's output from symbolic tensors, by stock layers."""
    return layer(*args, **kwargs)


@call.register
def _(layer: wavegan.FadeOut, x: Any) -> Any:
    gain = layer.gain(x.shape[1])
    return keras.layers.Rescaling(gain.tolist())(x)


@call.register
def _interpolate(layer: upsampling.Interpolate, x: Any) -> Any:
    if layer.kind == "nn":
        return keras.layers.UpSampling1D(layer.stride)(x)
    kernel, taps = upsampling.KERNELS[layer.kind]
    time, channels = x.shape[1:]
    first = keras.layers.Cropping1D((0, time - 1))(x)
    last = keras.layers.Cropping1D((time - 1, 0))(x)
    x = keras.layers.Concatenate(axis=1)(
        [first] * -taps[0] + [x] + [last] * taps[-1]
    )
    # The convolution has one filter for each phase, and treats channels as
    # columns, so that all channels have the same filters.
    phases = keras.layers.Conv2D(layer.stride, (len(taps), 1), use_bias=False)
    x = keras.layers.Reshape((*x.shape[1:], 1))(x)
    x = keras.layers.Permute((1, 3, 2))(phases(x))
    distances = np.subtract.outer(taps, np.arange(layer.stride) / layer.stride)
    phases.set_weights([kernel(distances)[:, None, None]])
    return keras.layers.Reshape((layer.stride * time, channels))(x)


@call.register
def _(layer: upsampling.Interpolate2D, x: Any) -> Any:
    for _ in range(2):
        height, width, channels = x.shape[1:]
        x = keras.layers.Reshape((height, width * channels))(x)
        x = _interpolate(layer, x)
        x = keras.layers.Reshape((-1, width, channels))(x)
        x = keras.layers.Permute((2, 1, 3))(x)
    return x


@functools.singledispatch
def to_audio(gan: gan_lib.GAN, examples: Any) -> Any:
    """Computes `gan.to_audio` of symbolic tensors, by stock layers."""
    return examples


@to_audio.register
def _(gan: specgan.SpecGAN, examples: Any) -> Any:
    return spectrogram_keras.to_audio(examples, gan.moments, gan.iterations)
