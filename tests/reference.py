"""NumPy references of the networks, written for reading rather than speed.

Everything here is float64, written from the definitions and for reading: loops
over filter taps, index arithmetic for the reflections, no fused operation.
Signals are `[batch, time, channels]`. Twins of the losses, of the gradient
penalty and of the optimizers are in `reference_training.py`.

Weights come as `model.get_weights()` gives them, in the order of use: kernel
and bias of each layer; after it, where there is a batch norm, gamma, beta,
moving mean and moving variance.

Source: arXiv 1802.04208, Appendix D; SAME padding as in TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = np.ndarray

BATCHNORM_EPSILON = 1e-3
LEAK = 0.2
CUBIC_A = -0.75  # TF1's resize_bicubic; Keys himself, and later TF, use -0.5


def relative_error(actual: npt.ArrayLike, desired: npt.ArrayLike) -> float:
    """The largest difference, as a part of the largest desired magnitude.

    Raises:
        AssertionError: The shapes differ (so that nothing is broadcast), or
            a value is not finite.
    """
    got = np.asarray(actual, np.float64)
    want = np.asarray(desired, np.float64)
    assert got.shape == want.shape, f"shape {got.shape}, not {want.shape}"
    assert np.all(np.isfinite(got)) and np.all(np.isfinite(want))
    largest = np.max(np.abs(want), initial=0.0)
    return float(np.max(np.abs(got - want), initial=0.0) / (largest or 1.0))


def same_padding(length: int, kernel_len: int, stride: int) -> tuple[int, int]:
    """Zeros that TensorFlow's 'SAME' puts (before, behind) a signal.

    The output has ceil(length / stride) samples; the zeros that its last
    window lacks are halved, the odd one goes after it.
    """
    out_len = -(-length // stride)
    missing = max((out_len - 1) * stride + kernel_len - length, 0)
    return missing // 2, missing - missing // 2


def _every(x: Array, first: int, count: int, stride: int) -> Array:
    """A view of `count` samples of x, from `first` on, `stride` apart."""
    return x[:, first : first + (count - 1) * stride + 1 : stride]


def conv1d_same(
    x: Array, kernel: Array, bias: Array | float = 0.0, stride: int = 1
) -> Array:
    """Strided cross-correlation with 'SAME' padding.

    Args:
        x: Signal, `[batch, time, in]`.
        kernel: `[kernel, in, out]`.
        bias: `[out]`.
        stride: Samples between two windows.

    Returns:
        `[batch, ceil(time / stride), out]`.
    """
    padding = same_padding(x.shape[1], kernel.shape[0], stride)
    padded = np.pad(x, [(0, 0), padding, (0, 0)])
    out_len = -(-x.shape[1] // stride)
    y = np.zeros((x.shape[0], out_len, kernel.shape[2]))
    for tap, matrix in enumerate(kernel):
        y += _every(padded, tap, out_len, stride) @ matrix
    return y + bias


def conv1d_transpose_same(
    x: Array, kernel: Array, bias: Array | float = 0.0, stride: int = 1
) -> Array:
    """The adjoint of `conv1d_same` with the same kernel, plus a bias.

    Args:
        x: Signal, `[batch, time, in]`.
        kernel: `[kernel, out, in]`.
        bias: `[out]`.
        stride: Factor by which time grows.

    Returns:
        `[batch, time * stride, out]`.
    """
    length = x.shape[1] * stride
    before, behind = same_padding(length, kernel.shape[0], stride)
    y = np.zeros((x.shape[0], before + length + behind, kernel.shape[1]))
    for tap, matrix in enumerate(kernel):
        _every(y, tap, x.shape[1], stride)[...] += x @ matrix.T
    return y[:, before : before + length] + bias


def conv1d_kernel_gradient(
    x: Array, dy: Array, kernel_len: int, stride: int
) -> Array:
    """Gradient of sum(conv1d_same(x, kernel) * dy) by the kernel.

    Args:
        x: Input of the convolution, `[batch, time, in]`.
        dy: Gradient by its output, `[batch, ceil(time / stride), out]`.
        kernel_len: Taps.
        stride: Samples between two windows.

    Returns:
        `[kernel, in, out]`.
    """
    padding = same_padding(x.shape[1], kernel_len, stride)
    padded = np.pad(x, [(0, 0), padding, (0, 0)])
    gradient = np.zeros((kernel_len, x.shape[2], dy.shape[2]))
    for tap in range(kernel_len):
        seen = _every(padded, tap, dy.shape[1], stride)
        gradient[tap] = np.tensordot(seen, dy, axes=([0, 1], [0, 1]))
    return gradient


def upsample_nearest(x: Array, stride: int) -> Array:
    """Each sample `stride` times: `[batch, time * stride, channels]`."""
    return np.repeat(x, stride, axis=1)


def upsample_linear(x: Array, stride: int) -> Array:
    """TF1's resize_bilinear along time, edges clamped.

    Sample i of the output lies at i / stride of the input (neither corners
    nor pixel centres are aligned), so the last samples are constant.
    """
    last = x.shape[1] - 1
    y = np.zeros((x.shape[0], x.shape[1] * stride, x.shape[2]))
    for i in range(y.shape[1]):
        left, fraction = i // stride, (i % stride) / stride
        right = min(left + 1, last)
        y[:, i] = (1 - fraction) * x[:, left] + fraction * x[:, right]
    return y


def upsample_cubic(x: Array, stride: int) -> Array:
    """TF1's resize_bicubic along time: Keys' kernel, edges clamped."""
    last = x.shape[1] - 1
    y = np.zeros((x.shape[0], x.shape[1] * stride, x.shape[2]))
    for i in range(y.shape[1]):
        left, fraction = i // stride, (i % stride) / stride
        for neighbour in (-1, 0, 1, 2):
            source = min(max(left + neighbour, 0), last)
            y[:, i] += _keys(abs(fraction - neighbour)) * x[:, source]
    return y


def _keys(distance: float) -> float:
    """Keys' cubic convolution kernel at a distance from 0 to 2."""
    d, a = distance, CUBIC_A
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a


UPSAMPLINGS = {
    "nn": upsample_nearest,
    "linear": upsample_linear,
    "cubic": upsample_cubic,
}


def phase_shuffle(x: Array, shift: int | npt.ArrayLike) -> Array:
    """Moves a signal in time; the gap is filled by reflection.

    Args:
        x: `[batch, time, channels]`.
        shift: Samples to move by, > 0 is later; one, or one per example.

    Returns:
        y with y[t] = x[reflect(t - shift)], of the shape of x. The edge sample
        is the mirror and not repeated.
    """
    last = x.shape[1] - 1
    y = np.empty_like(x)
    for example, by in enumerate(np.broadcast_to(shift, x.shape[0])):
        source = np.abs(np.arange(x.shape[1]) - by)  # mirrored at 0
        source = np.minimum(source, 2 * last - source)  # and at the end
        y[example] = x[example, source]
    return y


def phase_shuffle_adjoint(dy: Array, shift: int) -> Array:
    """The transpose of `phase_shuffle` as a matrix, applied to dy."""
    length = dy.shape[1]
    matrix = phase_shuffle(np.eye(length)[None], shift)[0]  # [to, from]
    return np.einsum("tf,btc->bfc", matrix, dy)


def strides(slice_len: int) -> list[int]:
    """Strides of the layers between 16 samples and a slice: 4s, then 2."""
    rest, result = slice_len // 16, []
    while rest > 1:
        result.append(4 if rest % 4 == 0 else 2)
        rest //= result[-1]
    return result


def batch_norm(x: Array, weights: Sequence[Array], training: bool) -> Array:
    """Normalises each channel, by the batch in training, else by averages.

    Args:
        x: `[batch, time, channels]`.
        weights: gamma, beta, moving mean, moving variance: `[channels]`.
        training: Whether the statistics are those of x.
    """
    gamma, beta, mean, variance = weights
    if training:
        mean, variance = x.mean(axis=(0, 1)), x.var(axis=(0, 1))
    return gamma * (x - mean) / np.sqrt(variance + BATCHNORM_EPSILON) + beta


class _Reader:
    """Hands out weights in the order of use, as float64."""

    def __init__(self, weights: Sequence[Any]) -> None:
        """Takes `model.get_weights()`."""
        self.rest = [np.asarray(weight, np.float64) for weight in weights]

    def take(self, count: int) -> list[Array]:
        """The next `count` arrays."""
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken


def generator(
    weights: Sequence[Any], config: Any, z: Array, *, training: bool = False
) -> Array:
    """The generator's output.

    Args:
        weights: `model.get_weights()` of the generator.
        config: A `wavegan.WaveGANConfig`.
        z: Latent vectors, `[batch, latent_dim]`.
        training: Whether batch norms use the batch's statistics.

    Returns:
        `[batch, slice_len, channels]`, in [-1, 1] before a post filter.
    """
    read = _Reader(weights)
    kernel, bias = read.take(2)
    x = (z @ kernel + bias).reshape(len(z), 16, -1)
    if config.batchnorm:
        x = batch_norm(x, read.take(4), training)
    x = np.maximum(x, 0)
    layer_strides = strides(config.slice_len)
    for i, stride in enumerate(layer_strides):
        kernel, bias = read.take(2)
        if config.upsample == "zeros":
            x = conv1d_transpose_same(x, kernel, bias, stride)
        else:
            x = conv1d_same(
                UPSAMPLINGS[config.upsample](x, stride), kernel, bias
            )
        if i < len(layer_strides) - 1:
            if config.batchnorm:
                x = batch_norm(x, read.take(4), training)
            x = np.maximum(x, 0)
    x = np.tanh(x)
    if config.post_filter_len:
        (filters,) = read.take(1)
        x = np.concatenate(
            [
                conv1d_same(x[:, :, c : c + 1], filters[:, c : c + 1])
                for c in range(x.shape[2])
            ],
            axis=2,
        )
    assert not read.rest, "weights are left over"
    return x


def discriminator(
    weights: Sequence[Any],
    config: Any,
    x: Array,
    shifts: Sequence[Any] = (),
    masks: Sequence[Array] = (),
) -> Array:
    """The discriminator's scores.

    Args:
        weights: `model.get_weights()` of the discriminator.
        config: A `wavegan.WaveGANConfig`.
        x: `[batch, slice_len, channels]`.
        shifts: Phase shift after each strided layer but the last; empty: 0.
        masks: Dropout's factors after each strided layer, each broadcastable
            to `[batch, time, width]`; empty: 1.

    Returns:
        Scores, `[batch]`.
    """
    read = _Reader(weights)
    layer_strides = strides(config.slice_len)
    for i, stride in enumerate(layer_strides):
        kernel, bias = read.take(2)
        x = conv1d_same(x, kernel, bias, stride)
        if config.batchnorm and i > 0:
            x = batch_norm(x, read.take(4), training=True)
        x = np.where(x > 0, x, LEAK * x)
        if len(masks):
            x = x * masks[i]
        if len(shifts) and i < len(layer_strides) - 1:
            x = phase_shuffle(x, shifts[i])
    kernel, bias = read.take(2)
    assert not read.rest, "weights are left over"
    return (x.reshape(len(x), -1) @ kernel + bias)[:, 0]
