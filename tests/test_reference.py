"""Tests the NumPy references against TensorFlow and finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
import reference_training
import tensorflow as tf

import wavegan

Randomize = Callable[[Any], Any]
Random = np.random.Generator


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("kernel_len", [1, 3, 4, 24, 25])
def test_twin_convolutions_are_tensorflows(
    stride: int, kernel_len: int, rng: Random
) -> None:
    kernel = rng.normal(size=(kernel_len, 2, 3))
    x = rng.normal(size=(2, 16, 2))
    y = tf.nn.conv1d(x, kernel, stride, "SAME")
    twin = reference.conv1d_same(x, kernel, 0.0, stride)
    assert reference.relative_error(twin, y) < 1e-12
    back = tf.nn.conv1d_transpose(y, kernel, (2, 16, 2), stride, "SAME")
    twin = reference.conv1d_transpose_same(y.numpy(), kernel, 0.0, stride)
    assert reference.relative_error(twin, back) < 1e-12


@pytest.mark.parametrize("kernel_len", [3, 24, 25])
@pytest.mark.parametrize("stride", [2, 4])
def test_twin_transpose_is_the_adjoint(
    stride: int, kernel_len: int, rng: Random
) -> None:
    kernel = rng.normal(size=(kernel_len, 2, 3))
    x, y = rng.normal(size=(1, 32, 2)), rng.normal(size=(1, 32 // stride, 3))
    there = reference.conv1d_same(x, kernel, 0.0, stride)
    back = reference.conv1d_transpose_same(y, kernel, 0.0, stride)
    np.testing.assert_allclose(np.sum(there * y), np.sum(x * back), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "resize"),
    [
        ("nn", tf.compat.v1.image.resize_nearest_neighbor),
        ("linear", tf.compat.v1.image.resize_bilinear),
        ("cubic", tf.compat.v1.image.resize_bicubic),
    ],
)
@pytest.mark.parametrize("stride", [2, 4])
def test_twin_upsamplings_are_tf1s(
    name: str, resize: Callable[..., Any], stride: int, rng: Random
) -> None:
    x = rng.normal(size=(2, 8, 3))
    image = tf.constant(x[:, None], tf.float32)
    y = resize(image, [1, 8 * stride])[:, 0]
    twin = reference.UPSAMPLINGS[name](x, stride)
    assert reference.relative_error(twin, y) < 1e-6


@pytest.mark.parametrize(
    ("length", "kernel_len", "stride", "padding"),
    [(16384, 25, 4, (10, 11)), (64, 25, 2, (11, 12)), (99, 512, 1, (255, 256))],
)
def test_same_padding_puts_the_odd_zero_last(
    length: int, kernel_len: int, stride: int, padding: tuple[int, int]
) -> None:
    assert reference.same_padding(length, kernel_len, stride) == padding


@pytest.mark.parametrize("shift", [0, 2])
def test_twin_gradients_are_central_differences(
    shift: int, rng: Random, randomize: Randomize
) -> None:
    config = wavegan.WaveGANConfig(slice_len=128, dim=1, kernel_len=9)
    model = randomize(wavegan.build_discriminator(config))
    weights = [weight.astype(np.float64) for weight in model.get_weights()]
    x, upstream = rng.normal(size=(2, 128, 1)), rng.normal(size=2)
    shifts = [shift]
    pairs = [
        (
            reference_training.critic_weight_gradients(
                weights, config, x, upstream, shifts
            ),
            reference_training.central_differences(
                lambda point: np.sum(
                    upstream * reference.discriminator(point, config, x, shifts)
                ),
                weights,
            ),
        ),
        (
            reference_training.penalty_weight_gradients(
                weights, config, x, shifts
            ),
            reference_training.central_differences(
                lambda point: reference_training.gradient_penalty(
                    point, config, x, shifts
                ),
                weights,
            ),
        ),
        (
            [reference_training.critic_gradient(weights, config, x, shifts)],
            reference_training.central_differences(
                lambda point: np.sum(
                    reference.discriminator(weights, config, point[0], shifts)
                ),
                [x],
            ),
        ),
    ]
    for gradients, differences in pairs:
        for gradient, difference in zip(gradients, differences, strict=True):
            np.testing.assert_allclose(gradient, difference, atol=1e-7)
