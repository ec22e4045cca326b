"""Tests that models of stock Keras layers give the same audio as the GAN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import untrained_gans
from untrained_gans import SPECGAN

from modes import keras_twin
from networks import spectrogram, spectrogram_keras

Randomize = Callable[[Any], Any]
Z = untrained_gans.draw_z()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"batchnorm": True, "post_filter_len": 16, "channels": 2},
        {"upsample": "nn", "slice_len": 512},
        {"upsample": "linear", "channels": 2},
        {"upsample": "cubic", "slice_len": 512},
        {"fade_len": 100, "channels": 2},
        {"fade_len": 256},
        {"slice_len": 4096, "dim": 16},  # where the layers' fast ways pay
        {"num_labels": 3, "batchnorm": True},
        {**SPECGAN, "dim": 2, "iterations": 0, "num_labels": 2},
        {**SPECGAN, "iterations": 1, "batchnorm": True},
        # Of pictures that are all but flat, Griffin and Lim make anything.
        {**SPECGAN, "iterations": 0, "upsample": "nn"},
        {**SPECGAN, "iterations": 0, "upsample": "linear"},
        {**SPECGAN, "iterations": 0, "upsample": "cubic"},
    ],
    ids=str,
)
def test_stock_layers_give_the_same_audio(
    fields: dict[str, Any], randomize: Randomize
) -> None:
    model = untrained_gans.build(**fields)
    randomize(model.ema_generator)
    inputs = untrained_gans.inputs_of(model)
    ours = model.generate(*inputs).numpy()
    twin = keras_twin.build(model)
    theirs = twin(inputs if model.num_labels else Z)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4)
    assert np.ptp(ours) > 0.01
    for layer in twin.layers:
        assert type(layer).__module__.startswith("keras."), layer


def test_its_labels_are_an_embedding_of_keras() -> None:
    model = untrained_gans.build("bf16", num_labels=3)
    twin = keras_twin.build(model)
    assert [each.name for each in twin.inputs] == ["z", "label"]
    assert [each.dtype for each in twin.inputs] == ["float32", "int32"]
    embedding = twin.get_layer("label_project")
    assert type(embedding) is keras.layers.Embedding
    assert embedding.compute_dtype == "float32"
    np.testing.assert_array_equal(
        embedding.get_weights()[0],
        model.ema_generator.get_layer("label_project").get_weights()[0],
    )


def test_of_bfloat16_they_are_the_float32_twin(randomize: Randomize) -> None:
    half, full = untrained_gans.build("bf16"), untrained_gans.build()
    randomize(full.ema_generator)
    half.ema_generator.set_weights(full.ema_generator.get_weights())
    ours = full.generate(Z).numpy()
    assert np.abs(half.generate(Z) - ours).max() > 1e-4
    np.testing.assert_allclose(
        keras_twin.build(half)(Z), ours, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("rounds", [0, 1, 16])
def test_griffin_and_lim_by_stock_layers_are_spectrals(
    rounds: int, rng: np.random.Generator
) -> None:
    loud = rng.normal(0, 0.3, (2, 16384, 1)).astype(np.float32)
    loud *= np.linspace(0, 1, 16384)[:, np.newaxis]
    moments = spectrogram.measure_moments([loud])
    spectrograms = spectrogram.to_spectrogram(loud, moments)
    expected = spectrogram.to_audio(spectrograms, moments, rounds).numpy()
    x = keras.Input(spectrograms.shape[1:])
    model = keras.Model(x, spectrogram_keras.to_audio(x, moments, rounds))
    # Each round makes more of rounding.
    np.testing.assert_allclose(
        model(spectrograms), expected, rtol=0, atol=1e-5 if rounds < 2 else 1e-4
    )
    assert np.ptp(expected) > 0.1


def test_a_layer_without_a_twin_is_refused_by_name() -> None:
    class Odd(keras.layers.Layer):
        def call(self, x: tf.Tensor) -> tf.Tensor:
            return x

    model = untrained_gans.build()
    z = keras.Input((untrained_gans.LATENT_DIM,))
    model._average = keras.Model(z, Odd()(model.generator(z)))
    with pytest.raises(ValueError, match="Odd .*--format=savedmodel"):
        keras_twin.build(model)
