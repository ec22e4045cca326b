"""Tests the two networks of SpecGAN against NumPy references."""

from __future__ import annotations

import dataclasses
import gc
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
import weight_layouts

import specgan
import wavegan
from networks import upsampling

Array = np.ndarray
Random = np.random.Generator
Randomize = Callable[[Any], Any]

CLOSE = 1e-5  # float32 against float64, as a part of the largest value
UPSAMPLES = ("zeros", "nn", "linear", "cubic")
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "even kernel": {"kernel_len": 4},
    "short kernel": {"kernel_len": 2, "dim": 3},
    "batch norm": {"batchnorm": True},
}


def config_of(**fields: Any) -> specgan.SpecGANConfig:
    """A small configuration, some fields replaced."""
    return specgan.SpecGANConfig(**{"latent_dim": 3, "dim": 2, **fields})


# The twins -------------------------------------------------------------------


def windows(
    x: Array, size: int, kernel_len: int, stride: int
) -> list[tuple[int, int, Array]]:
    """Taps (row, column), each with a view of the pixels that it meets."""
    last = (size - 1) * stride + 1
    return [
        (i, j, x[:, i : i + last : stride, j : j + last : stride])
        for i, j in itertools.product(range(kernel_len), repeat=2)
    ]


def conv2d_same(x: Array, kernel: Array, bias: Array, stride: int) -> Array:
    """`[b, n, n, in]`, `[k, k, in, out]` -> `[b, n / stride, .., out]`."""
    size = x.shape[1] // stride
    padding = reference.same_padding(x.shape[1], len(kernel), stride)
    x = np.pad(x, [(0, 0), padding, padding, (0, 0)])
    taps = windows(x, size, len(kernel), stride)
    return sum(seen @ kernel[i, j] for i, j, seen in taps) + bias


def conv2d_transpose_same(
    x: Array, kernel: Array, bias: Array, stride: int
) -> Array:
    """The adjoint: `[b, n, n, in]`, `[k, k, out, in]` -> `[b, 2 n, ..]`."""
    size = x.shape[1] * stride
    before, behind = reference.same_padding(size, len(kernel), stride)
    padded = before + size + behind
    y = np.zeros((len(x), padded, padded, kernel.shape[2]))
    for i, j, seen in windows(y, x.shape[1], len(kernel), stride):
        seen += x @ kernel[i, j].T
    inner = slice(before, before + size)
    return y[:, inner, inner] + bias


def upsample(x: Array, kind: str, stride: int = 2) -> Array:
    """Along rows, then along columns."""
    for _ in range(2):
        batch, rows, columns, channels = x.shape
        x = x.reshape(batch, rows, columns * channels)
        x = reference.UPSAMPLINGS[kind](x, stride)
        x = x.reshape(batch, stride * rows, columns, channels).swapaxes(1, 2)
    return x


def batch_norm(x: Array, weights: Sequence[Array], training: bool) -> Array:
    """Of each channel, `[b, n, n, channels]`."""
    flat = x.reshape(len(x), -1, x.shape[-1])
    return reference.batch_norm(flat, weights, training).reshape(x.shape)


def take(weights: list[Any], count: int) -> list[Array]:
    """Removes the first weights of a list."""
    taken = [np.asarray(weight, np.float64) for weight in weights[:count]]
    del weights[:count]
    return taken


def generate(model: Any, config: Any, z: Array, training: bool) -> Array:
    """Tables of the paper, line by line."""
    weights = model.get_weights()
    kernel, bias = take(weights, 2)
    # Row after row, column after column, all channels of each pixel together.
    x = (z @ kernel + bias).reshape(len(z), 4, 4, 16 * config.dim)
    for i in range(5):
        if config.batchnorm:
            x = batch_norm(x, take(weights, 4), training)
        x = np.maximum(x, 0)
        kernel, bias = take(weights, 2)
        if config.upsample == "zeros":
            x = conv2d_transpose_same(x, kernel, bias, 2)
        else:
            x = conv2d_same(upsample(x, config.upsample), kernel, bias, 1)
        assert x.shape[1:3] == (8 * 2**i, 8 * 2**i)
    assert not weights
    return np.tanh(x)


def score(
    model: Any, config: Any, x: Array, shifts: Sequence[int] = (0, 0, 0, 0)
) -> Array:
    """Scores, `[batch]`, if time moves by `shifts` after the layers."""
    weights = model.get_weights()
    for i in range(5):
        kernel, bias = take(weights, 2)
        x = conv2d_same(x, kernel, bias, 2)
        if config.batchnorm and i > 0:
            x = batch_norm(x, take(weights, 4), training=True)
        x = np.where(x > 0, x, 0.2 * x)
        if i < 4:
            flat = x.reshape(*x.shape[:2], -1)
            x = reference.phase_shuffle(flat, shifts[i]).reshape(x.shape)
    kernel, bias = take(weights, 2)
    assert not weights
    return (x.reshape(len(x), -1) @ kernel + bias)[:, 0]


@pytest.mark.parametrize("kind", UPSAMPLES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_generator_is_the_twin(
    variant: str, kind: str, rng: Random, randomize: Randomize
) -> None:
    config = config_of(upsample=kind, **VARIANTS[variant])
    model = randomize(specgan.build_generator(config))
    z = rng.uniform(-1, 1, (2, 3)).astype(np.float32)
    for training in {False, config.batchnorm}:
        twin = generate(model, config, z, training)
        assert twin.shape == (2, 128, 128, 1)
        assert twin.std() > 0.02, "a flat twin would prove nothing"
        x = model(z, training=training)
        assert reference.relative_error(x, twin) < CLOSE


@pytest.mark.parametrize("variant", VARIANTS)
def test_discriminator_is_the_twin(
    variant: str, rng: Random, randomize: Randomize
) -> None:
    config = config_of(**VARIANTS[variant])
    model = randomize(specgan.build_discriminator(config))
    x = rng.normal(size=(3, 128, 128, 1)).astype(np.float32)
    twin = score(model, config, x)
    assert twin.std() > 0.02, "equal scores would prove nothing"
    assert reference.relative_error(model(x, training=False), twin) < CLOSE


def test_with_ones_for_weights_layers_count_their_taps(rng: Random) -> None:
    config = config_of(dim=1)
    model = specgan.build_discriminator(config)
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    x = rng.uniform(-1, 1, (2, 128, 128, 1)).astype(np.float32)
    twin = score(model, config, x)
    assert reference.relative_error(model(x), twin) < CLOSE
    model = specgan.build_generator(config)
    # Small ones, for which tanh can still be undone.
    model.set_weights([np.full_like(w, 0.01) for w in model.get_weights()])
    z = rng.uniform(-1, 1, (2, 3)).astype(np.float32)
    twin = np.arctanh(generate(model, config, z, training=False))
    assert reference.relative_error(np.arctanh(model(z)), twin) < 1e-4


def impulse_response(layer: Any, size: int, at: int) -> Array:
    """How a layer answers to one pixel on the diagonal, `[rows, columns]`."""
    x = np.zeros((1, size, size, 1), np.float32)
    x[0, at, at] = 1
    return np.asarray(layer(x))[0, :, :, 0]


def test_strided_layer_pads_one_before_and_two_after() -> None:
    model = specgan.build_discriminator(config_of(dim=1))
    taps = np.arange(1, 26, dtype=np.float32).reshape(5, 5)
    layer = model.get_layer("downconv_0")
    layer.kernel.assign(taps[:, :, None, None])
    # y[r, c] = sum over i, j of taps[i, j] x[2 r + i - 1, 2 c + j - 1]
    y = impulse_response(layer, 128, at=0)
    np.testing.assert_array_equal(y[:2, :2], [[taps[1, 1], 0], [0, 0]])
    y = impulse_response(layer, 128, at=127)
    expected = taps[[4, 2]][:, [4, 2]]
    np.testing.assert_array_equal(y[-2:, -2:], expected)


def test_transposed_layer_starts_one_before_its_pixel() -> None:
    model = specgan.build_generator(config_of(dim=1))
    taps = np.arange(1, 26, dtype=np.float32).reshape(5, 5)
    layer = model.get_layer("upconv_4")
    layer.kernel.assign(taps[:, :, None, None])
    y = impulse_response(layer, 64, at=20)
    expected = np.zeros((128, 128))
    expected[39:44, 39:44] = taps
    np.testing.assert_array_equal(y, expected)


# What tf.image did in TensorFlow 1, and still does under these names.
RESIZE = {
    "nn": tf.compat.v1.image.resize_nearest_neighbor,
    "linear": tf.compat.v1.image.resize_bilinear,
    "cubic": tf.compat.v1.image.resize_bicubic,
}


@pytest.mark.parametrize("kind", RESIZE)
def test_interpolation_is_that_of_tensorflow_1(kind: str, rng: Random) -> None:
    x = rng.normal(size=(2, 4, 6, 3)).astype(np.float32)
    layer = upsampling.Interpolate2D(2, kind)
    assert layer.compute_output_shape((None, 4, 6, 3)) == (None, 8, 12, 3)
    np.testing.assert_allclose(layer(x), RESIZE[kind](x, [8, 12]), atol=2e-3)
    np.testing.assert_allclose(layer(x), upsample(x, kind), atol=1e-5)


def test_phase_shuffle_moves_time_alone(
    rng: Random, randomize: Randomize
) -> None:
    config = config_of(phaseshuffle=1, kernel_len=3, dim=1)
    model = randomize(specgan.build_discriminator(config))
    x = rng.normal(size=(1, 128, 128, 1)).astype(np.float32)
    twins = [
        score(model, config, x, shifts)[0]
        for shifts in itertools.product((-1, 0, 1), repeat=4)
    ]
    assert len(np.unique(np.round(twins, 4))) > 70
    assert reference.relative_error(model(x), score(model, config, x)) < CLOSE
    scores = [float(model(x, training=True)[0]) for _ in range(12)]
    assert len(set(scores)) > 6
    for value in scores:
        assert np.min(np.abs(np.array(twins) - value)) < 1e-4


# What the paper fixes --------------------------------------------------------


@pytest.mark.slow
def test_parameter_counts_are_the_papers_and_wavegans() -> None:
    d, widths = 64, (1, 64, 128, 256, 512, 1024)
    convs = sum(25 * a * b for a, b in itertools.pairwise(widths))
    generator = (100 + 1) * 16 * 16 * d + convs + sum(widths[:-1])
    discriminator = convs + sum(widths[1:]) + 16 * 16 * d + 1
    assert (generator, discriminator) == (19_065_345, 17_427_969)
    for build, count in (
        (specgan.build_generator, generator),
        (specgan.build_discriminator, discriminator),
    ):
        model = build(specgan.SpecGANConfig())
        assert model.count_params() == count
        del model
        gc.collect()


def test_defaults_are_the_papers() -> None:
    assert dataclasses.asdict(specgan.SpecGANConfig()) == {
        "slice_len": 16384,
        "channels": 1,
        "latent_dim": 100,
        "kernel_len": 5,
        "dim": 64,
        "batchnorm": False,
        "upsample": "zeros",
        "phaseshuffle": 0,
        "dropout": 0.0,
        "iterations": 16,
        "num_labels": 0,
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        specgan.SpecGANConfig().dim = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["zeros", "cubic"])
@pytest.mark.parametrize("batchnorm", [False, True])
def test_names_and_layouts(kind: str, batchnorm: bool) -> None:
    config = config_of(
        kernel_len=3, upsample=kind, batchnorm=batchnorm, dropout=0.5
    )
    expected: list[tuple[str, tuple[int, ...]]] = [
        ("z_project/kernel", (3, 16 * 32)),
        ("z_project/bias", (16 * 32,)),
    ]
    widths = (32, 16, 8, 4, 2, 1)
    for i, (given, wanted) in enumerate(itertools.pairwise(widths)):
        expected += weight_layouts.of_norm(i, given) if batchnorm else []
        sides = (wanted, given) if kind == "zeros" else (given, wanted)
        expected += [
            (f"upconv_{i}/kernel", (3, 3, *sides)),
            (f"upconv_{i}/bias", (wanted,)),
        ]
    assert weight_layouts.of_model(specgan.build_generator(config)) == expected
    expected = []
    for i, (given, wanted) in enumerate(itertools.pairwise(widths[::-1])):
        expected += [
            (f"downconv_{i}/kernel", (3, 3, given, wanted)),
            (f"downconv_{i}/bias", (wanted,)),
        ]
        expected += (
            weight_layouts.of_norm(i - 1, wanted) if batchnorm and i > 0 else []
        )
    expected += [("output/kernel", (16 * 32, 1)), ("output/bias", (1,))]
    assert (
        weight_layouts.of_model(specgan.build_discriminator(config)) == expected
    )


@pytest.mark.parametrize(
    ("field", "value", "choices"),
    [
        ("slice_len", 8192, "16384"),
        ("channels", 2, "1"),
        ("latent_dim", 0, None),
        ("kernel_len", 0, None),
        ("dim", 0, None),
        ("dim", 10**6, "weights"),
        ("upsample", "lin", "linear"),
        ("phaseshuffle", -1, None),
        ("phaseshuffle", 8, "7"),
        ("dropout", 1.0, None),
        ("iterations", -1, None),
    ],
)
def test_bad_values_are_refused_by_name(
    field: str, value: Any, choices: str | None
) -> None:
    with pytest.raises(ValueError, match=f"^{field} is {value!r}") as error:
        specgan.SpecGANConfig(**{field: value})
    assert choices is None or choices in str(error.value)
    assert "\n" not in str(error.value)


def test_fields_of_both_models_have_the_same_names() -> None:
    def types(kind: Any) -> dict[str, Any]:
        return {field.name: field.type for field in dataclasses.fields(kind)}

    ours = types(specgan.SpecGANConfig)
    del ours["iterations"]
    assert ours.items() <= types(wavegan.WaveGANConfig).items()


@pytest.mark.parametrize("kind", UPSAMPLES)
def test_networks_come_back_from_their_configs(
    kind: str, rng: Random, randomize: Randomize
) -> None:
    config = config_of(upsample=kind, phaseshuffle=1, batchnorm=True)
    for build in (specgan.build_generator, specgan.build_discriminator):
        model = randomize(build(config))
        again = keras.Model.from_config(model.get_config())
        again.set_weights(model.get_weights())
        x = rng.normal(size=(1, *model.input_shape[1:])).astype(np.float32)
        np.testing.assert_array_equal(model(x), again(x))
