"""The baseline in plain Keras computes what the project's own layers do."""

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import gan
import wavegan
from benchmarks import plain
from networks import fast_conv, leaky_relu


def assert_close(ours: np.ndarray, stock: np.ndarray, share: float) -> None:
    """Asserts that they differ by at most a share of the largest magnitude."""
    assert ours.shape == stock.shape and np.isfinite(stock).all()
    assert np.abs(ours - stock).max() <= share * np.abs(stock).max()


def test_plain_networks_have_keras_layers_and_the_same_output() -> None:
    model = keras.Sequential(
        [
            keras.Input((64, 3)),
            fast_conv.StridedConv1D(8, 25, strides=4, padding="same"),
            leaky_relu.LeakyReLU(negative_slope=0.2),
            fast_conv.StridedConv1DTranspose(2, 25, strides=4, padding="same"),
        ]
    )
    x = np.random.default_rng(7).standard_normal((2, 64, 3)).astype(np.float32)
    stock = plain.plain_network(model)
    assert {type(layer).__module__.split(".")[0] for layer in stock.layers} == {
        "keras"
    }
    assert_close(model(x).numpy(), stock(x).numpy(), 1e-5)


def gradients_of_a_step(model: gan.GAN, real: np.ndarray) -> list[np.ndarray]:
    """Gradients by each weight, of the critic's update and the generator's."""
    seen: list[tf.Tensor] = []

    class Optimizer:
        def apply_gradients(self, pairs: Any) -> None:
            seen.extend(gradient for gradient, _ in pairs)

    model.generator_optimizer = model.discriminator_optimizer = Optimizer()

    @tf.function
    def run(real: tf.Tensor) -> list[tf.Tensor]:
        update = tf.constant(0, tf.int64)
        (fake,) = model._fakes_of_updates([real], [None], update)
        model._update_discriminator(real, fake, None, update)
        model._update_generator(real, None, tf.constant(1, tf.int64))
        return seen

    return [gradient.numpy() for gradient in run(tf.constant(real))]


@functools.cache
def gradients(kind: str, bits: str) -> list[np.ndarray]:
    """Computes the gradients of one step at dim 16.

    All kinds draw the same numbers, shifts included, from the seed. Weights are
    fresh: the critic's gradient jumps where an activation is zero, and with
    others some lie so near to it that plain Keras's own gradients change in the
    third digit if the weights change in the seventh.
    """
    rng = np.random.default_rng(7)
    real = rng.normal(0, 0.3, (8, 16384, 1)).astype(np.float32)
    config = wavegan.WaveGANConfig(dim=16)
    result = gradients_of_a_step(plain.build(kind, config, bits), real)
    assert len(result) == 24
    return result


def test_gradients_of_the_step_are_those_of_plain_keras() -> None:
    """To 1e-4, but for a few elements where an activation is near zero.

    Rounding moves such an activation to the other side of ReLU's kink.
    """
    outside, total = 0, 0
    for ours, stock in zip(
        gradients("ours", "fp32"), gradients("plain", "fp32"), strict=True
    ):
        assert_close(ours, stock, 1e-2)
        error = np.abs(ours - stock)
        outside += int((error > 1e-4 * np.abs(stock).max()).sum())
        total += error.size
    assert outside <= 1e-5 * total


@pytest.mark.slow
def test_gradients_in_bf16_err_little_more_than_those_of_plain_keras() -> None:
    def error(one: np.ndarray, exact: np.ndarray) -> float:
        return float(np.linalg.norm(one - exact) / np.linalg.norm(exact))

    for ours, stock, exact in zip(
        gradients("ours", "bf16"),
        gradients("plain", "bf16"),
        gradients("plain", "fp32"),
        strict=True,
    ):
        if exact.any():
            assert error(ours, exact) < max(0.02, 3 * error(stock, exact))
