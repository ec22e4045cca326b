"""Tests the fast layers against plain ones: values and both gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import reference
import tensorflow as tf

import gan
import wavegan
from networks import fast_conv, leaky_relu, precision

Random = np.random.Generator

# batch, steps, in, out, kernel_len, stride: spectra of one segment, of several,
# of the shortest kernels and the last layer's stride; then the taps themselves.
SPECTRAL = [
    (16, 16, 16, 64, 25, 4),
    (2, 128, 16, 64, 25, 4),
    (1, 256, 32, 64, 25, 2),
    (3, 96, 16, 80, 24, 4),
    (2, 160, 64, 64, 3, 1),
    (2, 128, 16, 64, 4, 4),
    (16, 20, 16, 64, 25, 4),
]
DIRECT = [
    (2, 64, 1, 8, 25, 4),
    (1, 16, 16, 64, 25, 4),
    (2, 64, 3, 5, 9, 2),
    (2, 64, 3, 5, 2, 4),
]


def random_case(rng: Random, case: tuple[int, ...]) -> list[np.ndarray]:
    """A signal, a kernel, and an upstream gradient."""
    batch, steps, channels, outputs, kernel_len, stride = case
    shapes = (
        (batch, stride * steps, channels),
        (kernel_len, channels, outputs),
        (batch, steps, outputs),
    )
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def is_spectral(case: tuple[int, ...]) -> bool:
    """Whether the case is evaluated on spectra."""
    batch, steps, channels, outputs, kernel_len, stride = case
    form = fast_conv._filter(steps, stride, kernel_len)
    return form.pays(batch, np.empty((kernel_len, channels, outputs)))


def test_the_cases_reach_both_forms() -> None:
    assert all(map(is_spectral, SPECTRAL))
    assert not any(map(is_spectral, DIRECT))


@pytest.mark.parametrize("case", SPECTRAL + DIRECT)
def test_strided_convolution_and_its_gradients_equal_the_reference(
    rng: Random, case: tuple[int, ...]
) -> None:
    x, kernel, dy = random_case(rng, case)
    kernel_len, stride = case[-2:]
    inputs = tf.constant(x), tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = fast_conv.strided_conv(*inputs, stride)
    dx, dkernel = tape.gradient(y, inputs, dy)
    x, kernel, dy = (array.astype(np.float64) for array in (x, kernel, dy))
    for got, want in (
        (y, reference.conv1d_same(x, kernel, stride=stride)),
        (dx, reference.conv1d_transpose_same(dy, kernel, stride=stride)),
        (dkernel, reference.conv1d_kernel_gradient(x, dy, kernel_len, stride)),
    ):
        assert reference.relative_error(got, want) < 1e-5


@pytest.mark.parametrize("case", SPECTRAL + DIRECT)
def test_transposed_convolution_and_its_gradients_equal_the_reference(
    rng: Random, case: tuple[int, ...]
) -> None:
    dx, kernel, y = random_case(rng, case)
    kernel_len, stride = case[-2:]
    inputs = tf.constant(y), tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        x = fast_conv.strided_conv_transpose(*inputs, stride)
    dy, dkernel = tape.gradient(x, inputs, dx)
    dx, kernel, y = (array.astype(np.float64) for array in (dx, kernel, y))
    for got, want in (
        (x, reference.conv1d_transpose_same(y, kernel, stride=stride)),
        (dy, reference.conv1d_same(dx, kernel, stride=stride)),
        (dkernel, reference.conv1d_kernel_gradient(dx, y, kernel_len, stride)),
    ):
        assert reference.relative_error(got, want) < 1e-5


def second_gradients(
    conv: Callable[[Any, Any], Any], x: np.ndarray, kernel: np.ndarray
) -> list[Any]:
    """Of a penalty on the gradients of a loss that is no longer linear."""
    inputs = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            loss = tf.reduce_sum(tf.sin(conv(*inputs)))
        gradients = inner.gradient(loss, inputs)
        penalty = sum(tf.reduce_sum(tf.cos(g)) for g in gradients)
    return list(outer.gradient(penalty, inputs))


@pytest.mark.parametrize("case", SPECTRAL[:4] + DIRECT)
def test_second_gradients_are_those_of_keras(
    rng: Random, case: tuple[int, ...]
) -> None:
    x, kernel, y = random_case(rng, case)
    stride = case[-1]
    kernel /= np.float32(np.sqrt(kernel[..., 0].size))
    pairs: list[tuple[Any, Any, np.ndarray]] = [
        (
            lambda x, k: fast_conv.strided_conv(x, k, stride),
            lambda x, k: keras.ops.conv(x, k, stride, "same"),
            x,
        ),
        (
            lambda y, k: fast_conv.strided_conv_transpose(y, k, stride),
            lambda y, k: tf.nn.conv1d_transpose(
                y, k, x.shape, stride, padding="SAME"
            ),
            y,
        ),
    ]
    for ours, stock, signal in pairs:
        got = second_gradients(ours, signal, kernel)
        want = second_gradients(stock, signal, kernel)
        for one, other in zip(got, want, strict=True):
            assert reference.relative_error(one, other) < 2e-4


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    batch=st.integers(1, 3),
    steps=st.integers(1, 40),
    kernel_len=st.integers(1, 30),
    stride=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_any_geometry_is_keras_own(
    batch: int, steps: int, kernel_len: int, stride: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    case = (batch, steps, 64, 64, kernel_len, stride)
    x, kernel, _ = random_case(rng, case)
    y = fast_conv.strided_conv(tf.constant(x), tf.constant(kernel), stride)
    want = reference.conv1d_same(x.astype(float), kernel, stride=stride)
    assert reference.relative_error(y, want) < 1e-5


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graphs_of_unknown_batch_give_the_same(
    rng: Random, jit_compile: bool
) -> None:
    x, kernel, dy = random_case(rng, (2, 256, 16, 64, 25, 4))
    spec = tf.TensorSpec([None, *x.shape[1:]])
    graph = tf.function(
        lambda x: fast_conv.strided_conv(x, tf.constant(kernel), 4),
        input_signature=[spec],
        jit_compile=jit_compile,
    )
    want = reference.conv1d_same(x.astype(float), kernel, stride=4)
    assert reference.relative_error(graph(tf.constant(x)), want) < 1e-5


def test_big_tensors_wait_for_each_other_and_stay_the_same(
    rng: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_conv, "BIG", 1)
    for case in ((16, 16, 16, 64, 25, 4), (8, 128, 16, 64, 25, 4)):
        x, kernel, _ = random_case(rng, case)
        kernel /= np.float32(np.sqrt(kernel[..., 0].size))
        graph = tf.function(
            lambda x, k: second_gradients(
                lambda x, k: fast_conv.strided_conv(x, k, 4), x, k
            )
        )
        want = second_gradients(
            lambda x, k: keras.ops.conv(x, k, 4, "same"), x, kernel
        )
        for one, other in zip(graph(x, kernel), want, strict=True):
            assert reference.relative_error(one, other) < 2e-4
        names = [
            op.name
            for op in graph.get_concrete_function(
                x, kernel
            ).graph.get_operations()
            if op.control_inputs
        ]
        assert names, "nothing waits"


@pytest.mark.parametrize("case", [SPECTRAL[0], SPECTRAL[5], *DIRECT])
@pytest.mark.parametrize(
    "convolve", [fast_conv.strided_conv, fast_conv.strided_conv_transpose]
)
def test_stock_and_fast_convolutions_agree(
    case: tuple[int, ...],
    convolve: Callable[..., tf.Tensor],
    rng: Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, kernel, y = map(tf.constant, random_case(rng, case))
    if convolve is fast_conv.strided_conv_transpose:
        x, y = y, x

    @tf.function
    def differentiate() -> list[tf.Tensor]:
        with tf.GradientTape() as outer:
            outer.watch([x, kernel])
            with tf.GradientTape() as inner:
                inner.watch([x, kernel])
                result = convolve(x, kernel, case[-1])
            first = inner.gradient(result, [x, kernel], output_gradients=y)
            norm = tf.reduce_sum(first[0] ** 2)
        return [result, *first, outer.gradient(norm, kernel)]

    found = {}
    for form in ("fast", "stock"):
        monkeypatch.setattr(fast_conv, "_chosen", form)
        graph = differentiate.get_concrete_function().graph
        strides = {
            tuple(op.get_attr("strides"))[2]
            for op in graph.get_operations()
            if op.type.startswith("Conv2D")
        }
        assert (case[-1] in strides) == (form == "stock")
        found[form] = [part.numpy() for part in differentiate()]
        differentiate = tf.function(differentiate.python_function)
    for fast, stock in zip(*found.values(), strict=True):
        np.testing.assert_allclose(fast, stock, atol=1e-4 * np.abs(stock).max())


def test_gpus_get_stock_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    config = wavegan.WaveGANConfig(dim=4)
    for form, gpus, stock in [
        ("auto", [], False),
        ("auto", ["GPU"], True),
        ("fast", ["GPU"], False),
        ("stock", [], True),
    ]:
        monkeypatch.setattr(
            tf.config, "get_visible_devices", lambda _, gpus=gpus: gpus
        )
        monkeypatch.setattr(fast_conv, "_chosen", "auto")
        fast_conv.choose_form(form)
        network = tf.function(wavegan.build_discriminator(config))
        spec = tf.TensorSpec([2, config.slice_len, 1])
        graph = network.get_concrete_function(spec).graph
        strides = [
            op.get_attr("strides")[2]
            for op in graph.get_operations()
            if op.type == "Conv2D"
        ]
        assert (max(strides) == 4) == stock


def test_leaky_relu_is_kinked_at_zero_and_straight_elsewhere(
    rng: Random,
) -> None:
    x = tf.constant(rng.standard_normal((4, 9)).astype(np.float32))
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = leaky_relu.leaky_relu(x, 0.2)
            loss = tf.reduce_sum(y**3)
        slope = inner.gradient(loss, x)
    second = outer.gradient(slope, x)
    factor = np.where(x > 0, 1.0, 0.2)
    np.testing.assert_allclose(y, x * factor, rtol=1e-6)
    np.testing.assert_allclose(slope, 3 * x**2 * factor**3, rtol=1e-5)
    np.testing.assert_allclose(second, 6 * x * factor**3, rtol=1e-5)


def test_layers_round_trip_through_their_configs(rng: Random) -> None:
    model = keras.Sequential(
        [
            keras.Input((64, 3)),
            fast_conv.StridedConv1D(8, 25, strides=4, padding="same"),
            leaky_relu.LeakyReLU(negative_slope=0.2),
            fast_conv.StridedConv1DTranspose(2, 25, strides=4, padding="same"),
        ]
    )
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    x = rng.standard_normal((2, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(copy(x), model(x))


@pytest.mark.parametrize(
    "option",
    [
        {"padding": "valid"},
        {"padding": "same", "activation": "relu"},
        {"padding": "same", "use_bias": False},
        {"padding": "same", "dilation_rate": 2},
    ],
)
def test_options_that_would_be_passed_over_are_refused(
    option: dict[str, Any],
) -> None:
    for kind in (fast_conv.StridedConv1D, fast_conv.StridedConv1DTranspose):
        with pytest.raises(ValueError, match=list(option)[-1]):
            kind(8, 25, **option)


def test_signals_must_be_whole_strides() -> None:
    with pytest.raises(ValueError, match="63 steps: expected a multiple of 4"):
        fast_conv.strided_conv(tf.zeros([1, 63, 2]), tf.zeros([25, 2, 3]), 4)


def test_precisions_are_refused_with_the_choices() -> None:
    with (
        pytest.raises(ValueError, match="'fp16'.*fp32, bf16"),
        precision.of_layers("fp16"),
    ):
        pass


def test_bf16_keeps_weights_and_outputs_in_float32() -> None:
    config = wavegan.WaveGANConfig(slice_len=1024, dim=4)
    with precision.of_layers("bf16"):
        networks = [
            wavegan.build_generator(config),
            wavegan.build_discriminator(config),
        ]
    assert keras.config.dtype_policy().name == "float32", "only within"
    for network in networks:
        assert {weight.dtype for weight in network.weights} == {"float32"}
        assert network.outputs[0].dtype == "float32"
        computed = {
            layer.compute_dtype
            for layer in network.layers
            if layer.name.startswith(("upconv", "downconv"))
        }
        assert computed == {"bfloat16"}


@pytest.mark.slow
def test_equal_seeds_make_equal_runs_on_spectra_too(rng: Random) -> None:
    config = wavegan.WaveGANConfig(slice_len=1024, dim=16)
    batches = rng.normal(0, 0.3, (2, 16, 1024, 1)).astype(np.float32)
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        model = gan.GAN(
            wavegan.build_generator(config),
            wavegan.build_discriminator(config),
            latent_dim=config.latent_dim,
            critic_steps=2,
        )
        model.compile("wgan-gp")
        step = tf.function(model.train_step)
        for _ in range(3):
            step(tf.constant(batches))
        networks = model.generator, model.discriminator
        runs.append([w for n in networks for w in n.get_weights()])
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)
