"""Computes strided convolutions with fewer multiplications than Keras does.

A strided convolution is first split into its phases: `stride` neighbouring
steps become one step with `stride` times as many channels, which removes the
stride. What remains is a short filter over long vectors. `_Filter` evaluates it
on the spectra of short segments, with about 0.3 times the multiplications that
25 taps need, nearly all of them in one batched matrix product.

Source: Winograd (1980), "Arithmetic Complexity of Computations"; Mathieu et al.
(2014), "Fast Training of Convolutional Networks through FFTs".
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

SEGMENT_LEN = 16  # steps of a segment, which are transformed together
# At these sizes and above, transforms cost less than the products they save.
MIN_CHANNELS = 64  # input (after the split into phases) and output channels
MIN_ROWS = 16  # rows of a matrix product: segments of the whole batch
BIG = 2**21  # elements of tensors that should not be in memory together

FORMS = ("auto", "fast", "stock")
_chosen = "auto"

Gradient = Callable[..., Any]


def choose_form(form: str) -> None:
    """Chooses how this process evaluates strided convolutions.

    Args:
      form: "fast", as this module does, for CPUs; "stock", as TensorFlow does,
        for GPUs; or "auto": stock where a GPU is visible.
    """
    global _chosen
    _chosen = form


def _is_stock() -> bool:
    """Whether TensorFlow's own strided convolutions are used."""
    if _chosen == "auto":
        return bool(tf.config.get_visible_devices("GPU"))
    return _chosen == "stock"


def strided_conv(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Computes a convolution with a stride and "same" padding.

    It can be differentiated any number of times, and so can its adjoint.

    Args:
      x: Signal, `[batch, time, in]`; `time` is a multiple of the stride.
      kernel: Kernel, `[kernel_len, in, out]`.
      stride: Stride in time steps.

    Returns:
      Result of `keras.ops.conv`, `[batch, time / stride, out]`, in the type of
      `x`.

    Raises:
      ValueError: `time` is not a multiple of the stride.
    """
    _, time, channels = x.shape
    steps, rest = divmod(time, stride)
    if rest:
        raise ValueError(
            f"the signal has {time} steps: expected a multiple of {stride}"
        )
    if _is_stock():
        return tf.nn.conv1d(x, tf.cast(kernel, x.dtype), stride, "SAME")
    form = _filter(steps, stride, kernel.shape[0])
    x = tf.reshape(x, [-1, steps, stride * channels])
    if form.pays(x.shape[0], kernel):
        return form.conv(x, kernel)
    return tf.nn.conv1d(x, tf.cast(form.taps(kernel), x.dtype), 1, "SAME")


def strided_conv_transpose(
    y: tf.Tensor, kernel: tf.Tensor, stride: int
) -> tf.Tensor:
    """Computes a transposed convolution, the adjoint of `strided_conv`.

    Args:
      y: Signal, `[batch, steps, out]`.
      kernel: Kernel, `[kernel_len, in, out]`.
      stride: Stride in time steps.

    Returns:
      Result of `keras.ops.conv_transpose`, `[batch, stride * steps, in]`, in
      the type of `y`.
    """
    steps = y.shape[1]
    channels = kernel.shape[1]
    if _is_stock():
        shape = [tf.shape(y)[0], stride * steps, channels]
        kernel = tf.cast(kernel, y.dtype)
        return tf.nn.conv1d_transpose(y, kernel, shape, stride, "SAME")
    form = _filter(steps, stride, kernel.shape[0])
    if form.pays(y.shape[0], kernel):
        x = form.adjoint(y, kernel)
    else:
        taps = tf.cast(form.taps(kernel), y.dtype)
        shape = [tf.shape(y)[0], steps, stride * channels]
        x = tf.nn.conv1d_transpose(y, taps, shape, 1, "SAME")
    return tf.reshape(x, [-1, stride * steps, channels])


def with_dependency(first: list[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """Returns x, to be used only after the tensors in `first` are computed.

    It saves memory on a CPU if tensors are big, and returns x as it is if not.
    """
    if _is_stock() or max(_size(tensor) for tensor in [*first, x]) < BIG:
        return x
    with tf.control_dependencies(first):
        return tf.identity(x)


class _Filter:
    """A filter without a stride, evaluated on spectra of short segments.

    Segments of the signal are transformed, multiplied by the kernel's spectrum
    (a matrix for each frequency), transformed back to segments that are longer
    by the filter's length, and added where they overlap. A complex product
    takes three real ones, so that spectra are `rank` real planes:

        y = to_y' ((to_x x) * (to_kernel kernel))

    This is linear in x and in the kernel, so that two more contractions of the
    same matrices, `adjoint` and `kernel_gradient`, are the derivatives of this
    one, of each other, and so on. Internally the time axis comes first: signals
    are `[segment_len, segments, batch, channels]`.

    Args:
      steps: Number of steps of the signal after the split into phases.
      stride: Number of phases.
      kernel_len: Number of taps before the split into phases.
    """

    def __init__(self, steps: int, stride: int, kernel_len: int) -> None:
        self.stride = stride
        self.length = SEGMENT_LEN if steps % SEGMENT_LEN == 0 else steps
        self.segments = steps // self.length
        # y[i] is the sum over lags m of taps[m] x[i + m].
        padding = max(kernel_len - stride, 0) // 2
        first, last = -padding // stride, (kernel_len - 1 - padding) // stride
        lags = np.arange(first, last + 1)
        before = -first * stride - padding
        after = len(lags) * stride - kernel_len - before
        self._padding = [(before, after), (0, 0), (0, 0)]
        # Numbers of steps before and after a segment that its samples act on.
        self.reach = (last, -first) if self.segments > 1 else (0, 0)
        outputs = np.arange(-self.reach[0], self.length + self.reach[1])
        period = max(len(outputs), self.length + max(last, -first))
        self._to_x, to_taps, self._to_y = _bilinear(
            period, np.arange(self.length), lags, outputs
        )
        self.rank = len(to_taps)
        # Padding and phases of the kernel are part of its matrix.
        to_padded = np.einsum("rm,ps->rpms", to_taps, np.eye(stride))
        to_padded = to_padded.reshape(self.rank * stride, -1)
        self._to_kernel = to_padded[:, before : before + kernel_len]

    def pays(self, batch: int | None, kernel: tf.Tensor) -> bool:
        """Returns whether spectra are faster than the taps themselves."""
        _, channels, outputs = kernel.shape
        return (
            self.length <= 4 * SEGMENT_LEN
            and min(self.stride * channels, outputs) >= MIN_CHANNELS
            and (batch or 1) * self.segments >= MIN_ROWS
        )

    def taps(self, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the taps of the filter, `[lags, stride * in, out]`."""
        _, channels, outputs = kernel.shape
        kernel = tf.pad(kernel, self._padding)
        return tf.reshape(kernel, [-1, self.stride * channels, outputs])

    def conv(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, steps, stride * in]` to `[batch, steps, out]`."""
        x = self._split(x)
        return self._join(self._conv(x, self._spectrum(kernel, x)))

    def adjoint(self, y: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, steps, out]` to `[batch, steps, stride * in]`."""
        y = self._split(y)
        return self._join(self._adjoint(y, self._spectrum(kernel, y)))

    def _conv(self, x: tf.Tensor, planes: tf.Tensor) -> tf.Tensor:
        """Convolves segments with the planes of a kernel."""

        @tf.custom_gradient
        def conv(x: tf.Tensor, planes: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
            def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                # The gradient that frees more memory is computed first.
                if _size(planes) > _size(x):
                    dx = self._adjoint(dy, planes)
                    dy = with_dependency([dx], dy)
                    return dx, self._kernel_gradient(x, dy)
                dplanes = self._kernel_gradient(with_dependency([dy], x), dy)
                dy = with_dependency([dplanes], dy)
                return self._adjoint(dy, planes), dplanes

            return self._from_y(tf.matmul(self._of_x(x), planes)), gradient

        return conv(x, planes)

    def _adjoint(self, y: tf.Tensor, planes: tf.Tensor) -> tf.Tensor:
        """Computes the adjoint of `_conv` with respect to the segments."""

        @tf.custom_gradient
        def adjoint(
            y: tf.Tensor, planes: tf.Tensor
        ) -> tuple[tf.Tensor, Gradient]:
            def gradient(dx: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                dy = self._conv(dx, planes)
                dx = with_dependency([dy], dx)
                return dy, self._kernel_gradient(dx, y)

            x = tf.matmul(self._of_y(y), planes, transpose_b=True)
            return self._from_x(x), gradient

        return adjoint(y, planes)

    def _kernel_gradient(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Computes the adjoint of `_conv` with respect to the planes."""

        @tf.custom_gradient
        def kernel_gradient(
            x: tf.Tensor, y: tf.Tensor
        ) -> tuple[tf.Tensor, Gradient]:
            planes = tf.matmul(self._of_x(x), self._of_y(y), transpose_a=True)
            return planes, lambda d: (self._adjoint(y, d), self._conv(x, d))

        return kernel_gradient(x, y)

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        """Reshapes `[batch, steps, n]` to `[length, segments, batch, n]`."""
        shape = [-1, self.segments, self.length, x.shape[2]]
        return tf.transpose(tf.reshape(x, shape), [2, 1, 0, 3])

    def _join(self, x: tf.Tensor) -> tf.Tensor:
        """Reshapes `[length, segments, batch, n]` to `[batch, steps, n]`."""
        shape = [-1, self.segments * self.length, x.shape[3]]
        return tf.reshape(tf.transpose(x, [2, 1, 0, 3]), shape)

    def _spectrum(self, kernel: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Computes planes of a kernel, `[rank, stride * in, out]`."""
        kernel = with_dependency([x], tf.convert_to_tensor(kernel))
        planes = _times(self._to_kernel, kernel)
        shape = [self.rank, self.stride * kernel.shape[1], kernel.shape[2]]
        return tf.cast(tf.reshape(planes, shape), x.dtype)

    def _of_x(self, x: tf.Tensor) -> tf.Tensor:
        """Computes planes of x, `[rank, segments * batch, stride * in]`."""
        return tf.reshape(_times(self._to_x, x), [self.rank, -1, x.shape[3]])

    def _from_x(self, planes: tf.Tensor) -> tf.Tensor:
        """Computes the adjoint of `_of_x`."""
        shape = [self.length, self.segments, -1, planes.shape[2]]
        return tf.reshape(_times(self._to_x.T, planes), shape)

    def _of_y(self, y: tf.Tensor) -> tf.Tensor:
        """Computes planes of y with its overlaps: the adjoint of `_from_y`."""
        before, after = self.reach
        if before or after:
            last = y[self.length - before :]
            y = tf.concat([_shift(last, 1), y, _shift(y[:after], -1)], 0)
        return tf.reshape(_times(self._to_y, y), [self.rank, -1, y.shape[3]])

    def _from_y(self, planes: tf.Tensor) -> tf.Tensor:
        """Transforms planes back, and adds segments where they overlap."""
        before, after = self.reach
        length = self.length
        shape = [before + length + after, self.segments, -1, planes.shape[2]]
        y = tf.reshape(_times(self._to_y.T, planes), shape)
        if not (before or after):
            return y
        head = y[before : before + after] + _shift(y[before + length :], 1)
        tail = y[length : length + before] + _shift(y[:before], -1)
        return tf.concat([head, y[before + after : length], tail], 0)


@functools.cache
def _filter(steps: int, stride: int, kernel_len: int) -> _Filter:
    """Makes a filter once, and returns the same object from then on."""
    return _Filter(steps, stride, kernel_len)


def _bilinear(
    period: int, x_steps: np.ndarray, lags: np.ndarray, y_steps: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Computes the matrices for y[i] = sum over m of taps[m] x[i + m].

    They have three real rows for each complex frequency of the real Fourier
    transform (Gauss's product of complex numbers), and one row for each real
    frequency.

    Returns:
      The matrices to_x, `[rank, x_steps]`, to_taps, `[rank, lags]`, and to_y,
      `[rank, y_steps]`.
    """
    rows = []
    for frequency in range(period // 2 + 1):
        angle = 2 * np.pi * frequency / period
        x_re, x_im = np.cos(angle * x_steps), -np.sin(angle * x_steps)
        t_re, t_im = np.cos(angle * lags), np.sin(angle * lags)
        y_re, y_im = np.cos(angle * y_steps), -np.sin(angle * y_steps)
        if frequency in (0, period / 2):
            rows.append((x_re, t_re, y_re / period))
            continue
        y_re, y_im = 2 * y_re / period, 2 * y_im / period
        rows += [
            (x_re + x_im, t_re, y_re + y_im),
            (x_re, t_im - t_re, y_im),
            (x_im, t_re + t_im, -y_re),
        ]
    return tuple(np.stack(column) for column in zip(*rows, strict=True))


def _times(matrix: np.ndarray, x: tf.Tensor) -> tf.Tensor:
    """Multiplies the first axis of x by a matrix, `[rows, all other axes]`."""
    x = tf.reshape(x, [matrix.shape[1], -1])
    return tf.matmul(tf.constant(matrix, x.dtype), x)


def _shift(x: tf.Tensor, by: int) -> tf.Tensor:
    """Moves segments to the next (1) or previous (-1) position."""
    zeros = tf.zeros_like(x[:, :1])
    parts = [zeros, x[:, :-1]] if by > 0 else [x[:, 1:], zeros]
    return tf.concat(parts, axis=1)


def _size(x: tf.Tensor) -> int:
    """Returns the number of elements, 0 if the batch size is unknown."""
    return x.shape.num_elements() or 0


class _Strided(keras.layers.Layer):
    """Mixin for layers of one of the convolutions above and a bias.

    The kernel is used in the type that it is stored in, whatever type the
    activations have.
    """

    evaluate: Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, autocast=False, **kwargs)
        plain = {
            "padding": "same",
            "dilation_rate": (1,),
            "data_format": "channels_last",
            "use_bias": True,
            "activation": keras.activations.linear,
        }
        for name, value in plain.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}: this layer supports "
                    f"only {value!r}"
                )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Convolves `[batch, time, in]` to `[batch, new time, filters]`."""
        x = tf.cast(x, self.compute_dtype)
        y = self.evaluate(x, self.kernel, self.strides[0])
        return tf.nn.bias_add(y, tf.cast(self.bias, y.dtype))


@keras.saving.register_keras_serializable("wavegan")
class StridedConv1D(_Strided, keras.layers.Conv1D):
    """`keras.layers.Conv1D`, evaluated by `strided_conv`; padding is "same"."""

    evaluate = staticmethod(strided_conv)


@keras.saving.register_keras_serializable("wavegan")
class StridedConv1DTranspose(_Strided, keras.layers.Conv1DTranspose):
    """`keras.layers.Conv1DTranspose`, evaluated by `strided_conv_transpose`."""

    evaluate = staticmethod(strided_conv_transpose)
