"""Rebuilds a generator from stock Keras layers, for files that others open.

Some layers of this repository evaluate stock layers faster; here they change
back into these. Others have no equal in Keras; `call` and `to_audio` compute
the same by several stock layers. All of them are float32.
"""

import functools
from typing import Any

import keras
import numpy as np

import specgan
import wavegan
from networks import audio_model as audio_model_lib
from networks import dcgan, spectrogram_keras, upsampling


def build(audio_model: audio_model_lib.AudioModel) -> keras.Model:
    """Builds what `AudioModel.generate` does from stock Keras layers.

    Args:
      audio_model: Whose averaged weights are copied.

    Returns:
      A float32 model from z, `[batch, latent_dim]`, to audio, `[batch,
      slice_len, channels]`. With labels it takes `[z, label]`, where label is
      int32, `[batch]`.

    Raises:
      ValueError: A layer has no stock twin.
    """
    # `call` puts the layers of a network into the model, not the network.
    networks = {
        name: _copy(network, prefix=_prefix(name)).call
        for name, network in audio_model.generating_networks.items()
    }
    z = keras.Input((audio_model.latent_dim,), name="z")
    label = dcgan.label_input() if audio_model.num_labels else None
    examples = audio_model.generate_by(networks, z, label)
    return keras.Model(
        audio_model_lib.with_label(z, label),
        to_audio(audio_model, examples),
        name="generator",
    )


def _prefix(name: str) -> str:
    """Returns what the names of a network's layers start with, in the model.

    Layers of different networks may have the same names.
    """
    return "" if name == "generator" else f"{name}_"


def _copy(network: keras.Model, prefix: str) -> keras.Model:
    """Copies a network in stock Keras layers, weights included."""
    twin = keras.models.clone_model(
        network,
        clone_function=functools.partial(_twin, prefix=prefix),
        call_function=call,
    )
    for layer in network.layers:
        if layer.weights:
            copied = twin.get_layer(prefix + layer.name)
            copied.set_weights(layer.get_weights())
    return twin


def _twin(layer: keras.layers.Layer, prefix: str) -> keras.layers.Layer:
    """Returns a layer of the nearest Keras class, in float32, without weights.

    Args:
      layer: The layer.
      prefix: What is put before its name.

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
    changes = {"name": prefix + layer.name, "dtype": "float32"}
    return kind.from_config({**layer.get_config(), **changes})


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
def to_audio(audio_model: audio_model_lib.AudioModel, examples: Any) -> Any:
    """Computes `audio_model.to_audio` of symbolic tensors, by stock layers."""
    return audio_model.to_audio(examples)


@to_audio.register
def _(audio_model: specgan.SpecGAN, examples: Any) -> Any:
    return spectrogram_keras.to_audio(
        examples, audio_model.moments, audio_model.iterations
    )
