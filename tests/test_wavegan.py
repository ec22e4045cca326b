"""Tests both networks against NumPy references, and the golden numbers."""

from __future__ import annotations

import dataclasses
import gc
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import reference
import weight_layouts

import wavegan

CLOSE = 1e-5  # float32 against float64, as a part of the largest value
Randomize = Callable[[Any], Any]
Random = np.random.Generator

UPSAMPLES = ("zeros", "nn", "linear", "cubic")
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stereo with two strides": {"channels": 2, "slice_len": 128},
    "even kernel": {"kernel_len": 24, "slice_len": 256},
    "kernel shorter than a stride": {"kernel_len": 3, "slice_len": 128},
    "batch norm": {"batchnorm": True, "slice_len": 512, "channels": 2},
    "post filter": {"post_filter_len": 32, "slice_len": 256},
    "odd post filter": {"post_filter_len": 7, "channels": 3},
    "post filter longer than a slice": {"post_filter_len": 512, "channels": 2},
}


def config_of(**fields: Any) -> wavegan.WaveGANConfig:
    """A small configuration, some fields replaced."""
    small = {"slice_len": 64, "latent_dim": 3, "dim": 2, **fields}
    return wavegan.WaveGANConfig(**small)


# What DESIGN fixes -----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slice_len", "of_generator", "of_discriminator"),
    [
        (16384, 19_065_345, 17_427_969),
        (32768, 73_149_953, 69_875_201),
        (65536, 73_149_953, 69_875_201),
    ],
)
def test_parameter_counts_are_the_papers(
    slice_len: int, of_generator: int, of_discriminator: int
) -> None:
    config = wavegan.WaveGANConfig(slice_len=slice_len)
    for build, count, shapes in (
        (wavegan.build_generator, of_generator, ((100,), (slice_len, 1))),
        (wavegan.build_discriminator, of_discriminator, ((slice_len, 1), ())),
    ):
        model = build(config)
        assert model.count_params() == count
        assert model.input_shape == (None, *shapes[0])
        assert model.output_shape == (None, *shapes[1])
        del model
        gc.collect()


def test_defaults_are_the_papers() -> None:
    assert dataclasses.asdict(wavegan.WaveGANConfig()) == {
        "slice_len": 16384,
        "channels": 1,
        "latent_dim": 100,
        "kernel_len": 25,
        "dim": 64,
        "batchnorm": False,
        "upsample": "zeros",
        "phaseshuffle": 2,
        "post_filter_len": 0,
        "dropout": 0.0,
        "phaseshuffle_per_example": False,
        "fade_len": 0,
        "num_labels": 0,
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        wavegan.WaveGANConfig().dim = 3  # type: ignore[misc]


@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize("upsample", UPSAMPLES)
def test_generator_names_and_layouts(upsample: str, batchnorm: bool) -> None:
    config = config_of(
        slice_len=512,  # strides 4, 4, 2
        latent_dim=5,
        dim=3,
        channels=2,
        kernel_len=7,
        upsample=upsample,
        batchnorm=batchnorm,
        post_filter_len=11,
    )
    expected: list[tuple[str, tuple[int, ...]]] = [
        ("z_project/kernel", (5, 16 * 12)),
        ("z_project/bias", (16 * 12,)),
    ]
    for i, (given, wanted) in enumerate(itertools.pairwise((12, 6, 3, 2))):
        if batchnorm:
            expected += weight_layouts.of_norm(i, given)
        transposed = (7, wanted, given)
        plain = (7, given, wanted)
        kernel = transposed if upsample == "zeros" else plain
        expected += [
            (f"upconv_{i}/kernel", kernel),
            (f"upconv_{i}/bias", (wanted,)),
        ]
    model = wavegan.build_generator(config)
    *rest, (name, shape) = weight_layouts.of_model(model)
    assert rest == expected
    assert (name.split("/")[0], shape) == ("pp_filt", (11, 2, 1))
    for name, _ in expected:  # layers are found by the paper's names
        assert model.get_layer(name.split("/")[0])


@pytest.mark.parametrize("batchnorm", [False, True])
def test_discriminator_names_and_layouts(batchnorm: bool) -> None:
    config = config_of(
        slice_len=512, dim=3, channels=2, kernel_len=7, batchnorm=batchnorm
    )
    expected: list[tuple[str, tuple[int, ...]]] = []
    for i, (given, wanted) in enumerate(itertools.pairwise((2, 3, 6, 12))):
        expected += [
            (f"downconv_{i}/kernel", (7, given, wanted)),
            (f"downconv_{i}/bias", (wanted,)),
        ]
        if batchnorm and i > 0:
            expected += weight_layouts.of_norm(i - 1, wanted)
    expected += [("output/kernel", (16 * 12, 1)), ("output/bias", (1,))]
    model = wavegan.build_discriminator(config)
    assert weight_layouts.of_model(model) == expected
    for name, _ in expected:
        assert model.get_layer(name.split("/")[0])


def test_no_weights_are_hidden_behind_the_layers() -> None:
    config = config_of(dropout=0.5, slice_len=128, batchnorm=True)
    for build in (wavegan.build_generator, wavegan.build_discriminator):
        model = build(config)
        assert len(model.get_weights()) == len(weight_layouts.of_model(model))
        assert len(model.trainable_weights) == sum(
            not name.split("/")[1].startswith("moving")
            for name, _ in weight_layouts.of_model(model)
        )


def test_fresh_kernels_are_glorot_uniform_and_biases_zero(rng: Random) -> None:
    config = wavegan.WaveGANConfig(slice_len=512, dim=16, post_filter_len=512)
    checked = 0
    for build in (wavegan.build_generator, wavegan.build_discriminator):
        for variable in build(config).weights:
            value = variable.numpy()
            if variable.path.endswith("bias"):
                assert not value.any()
                continue
            *taps, fan_a, fan_b = value.shape
            limit = np.sqrt(6 / (np.prod(taps, initial=1) * (fan_a + fan_b)))
            assert 0.97 * limit < np.abs(value).max() <= limit * (1 + 1e-6)
            error = 5 / np.sqrt(value.size)
            assert abs(value.std() / (limit / np.sqrt(3)) - 1) < error
            checked += 1
    assert checked == 9


@pytest.mark.parametrize(
    ("field", "value", "choices"),
    [
        ("slice_len", 5000, "16384"),
        ("slice_len", 32, "64"),
        ("slice_len", 16 * 48, None),
        ("slice_len", 2**21, None),
        ("slice_len", 16384.5, None),
        ("channels", 0, None),
        ("latent_dim", 0, None),
        ("kernel_len", 0, None),
        ("dim", 0, None),
        ("dim", -4, None),
        ("upsample", "bilinear", "linear"),
        ("phaseshuffle", -1, None),
        ("post_filter_len", -1, None),
        ("dropout", 1.0, None),
        ("dropout", -0.1, None),
    ],
)
def test_bad_values_are_refused_by_name(
    field: str, value: Any, choices: str | None
) -> None:
    with pytest.raises(ValueError, match=field) as error:
        wavegan.WaveGANConfig(**{field: value})
    assert str(value) in str(error.value)
    assert choices is None or choices in str(error.value)


def test_slice_lengths_are_sixteen_times_fours_and_one_two() -> None:
    good = {16 * 4**a * 2**b for a in range(9) for b in (0, 1)}
    good = {length for length in good if 64 <= length <= 2**20}
    assert 2**20 in good and 128 in good
    for length in good:
        assert wavegan.WaveGANConfig(slice_len=length).slice_len == length
    near = {length + step for length in good for step in (-16, -1, 1, 16)}
    near |= {3 * length for length in good} | {16, 32, 2**21}
    for length in near - good:
        with pytest.raises(ValueError, match="slice_len"):
            wavegan.WaveGANConfig(slice_len=length)


# Outputs against the twins ---------------------------------------------------


@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_generator_is_the_twin(
    variant: str, upsample: str, rng: Random, randomize: Randomize
) -> None:
    config = config_of(upsample=upsample, **VARIANTS[variant])
    model = randomize(wavegan.build_generator(config))
    weights = model.get_weights()
    z = rng.uniform(-1, 1, (3, config.latent_dim)).astype(np.float32)
    twin = reference.generator(weights, config, z)
    assert twin.shape == (3, config.slice_len, config.channels)
    assert twin.std() > 0.02, "a silent twin would prove nothing"
    assert reference.relative_error(model(z, training=False), twin) < CLOSE
    if config.batchnorm:
        twin = reference.generator(weights, config, z, training=True)
        assert reference.relative_error(model(z, training=True), twin) < CLOSE


@pytest.mark.parametrize("variant", VARIANTS)
def test_discriminator_is_the_twin(
    variant: str, rng: Random, randomize: Randomize
) -> None:
    config = config_of(**VARIANTS[variant])
    model = randomize(wavegan.build_discriminator(config))
    x = rng.normal(size=(3, config.slice_len, config.channels))
    x = x.astype(np.float32)
    twin = reference.discriminator(model.get_weights(), config, x)
    assert twin.std() > 0.02, "equal scores would prove nothing"
    # Batch norm, if any, takes the batch's statistics here as in training.
    assert reference.relative_error(model(x, training=False), twin) < CLOSE


@pytest.mark.parametrize("slice_len", [16384, 32768, 65536])
def test_long_slices_equal_the_reference(
    slice_len: int, rng: Random, randomize: Randomize
) -> None:
    config = config_of(slice_len=slice_len, dim=1)
    generator = randomize(wavegan.build_generator(config))
    z = rng.uniform(-1, 1, (1, config.latent_dim)).astype(np.float32)
    x = generator(z, training=False)
    twin = reference.generator(generator.get_weights(), config, z)
    assert reference.relative_error(x, twin) < CLOSE
    discriminator = randomize(wavegan.build_discriminator(config))
    scores = discriminator(x, training=False)
    twin = reference.discriminator(discriminator.get_weights(), config, x)
    assert reference.relative_error(scores, twin) < CLOSE


def impulse_response(layer: Any, length: int, at: int) -> np.ndarray:
    """Where in `[time]` a layer answers to one impulse."""
    x = np.zeros((1, length, 1), np.float32)
    x[0, at] = 1
    return np.asarray(layer(x))[0, :, 0]


def test_strided_layer_pads_ten_before_and_eleven_after() -> None:
    config = config_of(dim=1, kernel_len=25)
    model = wavegan.build_discriminator(config)
    layer = model.get_layer("downconv_0")
    taps = np.arange(1, 26, dtype=np.float32)
    layer.kernel.assign(taps[:, None, None])
    # y[t] = sum over k of taps[k] x[4 t + k - 10]: x[8] is seen by ...
    y = impulse_response(layer, 64, at=8)
    expected = np.zeros(16)
    for t in range(16):
        if 0 <= 8 + 10 - 4 * t < 25:
            expected[t] = taps[8 + 10 - 4 * t]
    np.testing.assert_allclose(y, expected, atol=1e-5)
    y = impulse_response(layer, 64, at=63)
    np.testing.assert_allclose(y[12:], [0, 22, 18, 14], atol=1e-5)


def test_transposed_layer_starts_ten_before_its_sample() -> None:
    config = config_of(slice_len=64, dim=1, kernel_len=25)
    layer = wavegan.build_generator(config).get_layer("upconv_0")
    taps = np.arange(1, 26, dtype=np.float32)
    layer.kernel.assign(taps[:, None, None])
    y = impulse_response(layer, 16, at=5)
    expected = np.zeros(64)
    expected[4 * 5 - 10 : 4 * 5 + 15] = taps
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_post_filter_pads_255_before_and_256_after() -> None:
    config = config_of(post_filter_len=512)
    layer = wavegan.build_generator(config).get_layer("pp_filt")
    taps = np.arange(1, 513, dtype=np.float32)
    layer.set_weights([taps[:, None, None]])
    y = impulse_response(layer, 64, at=20)
    # y[t] = sum over k of taps[k] x[t + k - 255]
    np.testing.assert_allclose(y, taps[20 + 255 - np.arange(64)], rtol=1e-5)


def test_transposed_layer_is_the_adjoint_of_the_strided_one(
    rng: Random, randomize: Randomize
) -> None:
    config = config_of(slice_len=64, dim=3, channels=2)
    up = wavegan.build_generator(config).get_layer("upconv_0")
    down = wavegan.build_discriminator(config).get_layer("downconv_0")
    kernel = rng.normal(size=(25, 2, 3)).astype(np.float32)
    up.kernel.assign(kernel)
    down.kernel.assign(kernel)
    x = rng.normal(size=(1, 64, 2)).astype(np.float32)
    y = rng.normal(size=(1, 16, 3)).astype(np.float32)
    left, right = np.sum(down(x) * y), np.sum(x * up(y))
    np.testing.assert_allclose(left, right, rtol=1e-4)


def test_a_fade_is_a_straight_line_to_zero_at_the_end(rng: Random) -> None:
    plain = wavegan.WaveGANConfig(slice_len=64, dim=1, latent_dim=3)
    config = dataclasses.replace(plain, fade_len=8)
    generator, faded = map(wavegan.build_generator, (plain, config))
    assert [w.path for w in faded.weights] == [
        w.path for w in generator.weights
    ], "a fade has no weights"
    faded.set_weights(generator.get_weights())
    z = rng.uniform(-1, 1, (5, 3)).astype(np.float32)
    gain = np.concatenate([np.ones(56), 1 - np.arange(1, 9) / 8])
    np.testing.assert_allclose(
        faded(z), generator(z) * gain[:, None].astype(np.float32), atol=1e-7
    )
    assert np.all(faded(z)[:, -1] == 0)
    again = keras.Model.from_config(faded.get_config())
    again.set_weights(faded.get_weights())
    np.testing.assert_array_equal(again(z), faded(z))


@pytest.mark.parametrize("length", [-1, 65])
def test_a_fade_longer_than_the_clip_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"fade_len is {length}"):
        wavegan.WaveGANConfig(slice_len=64, fade_len=length)
