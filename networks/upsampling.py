"""Upsamples by interpolation instead of by zeros between the samples."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Ways to upsample in a generator; "zeros" is a transposed convolution.
KINDS = ("zeros", "nn", "linear", "cubic")


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Evaluates Keys's cubic kernel with a = -0.75, as in TensorFlow."""
    a, d = -0.75, np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


# For each kind, the weight of an input sample at a signed distance (in input
# steps) from an output sample, and the input samples that have weights, counted
# from the one at or before the output sample.
KERNELS = {
    "nn": (lambda d: np.where((d <= 0) & (d > -1), 1.0, 0.0), (0,)),
    "linear": (lambda d: np.maximum(0, 1 - np.abs(d)), (0, 1)),
    "cubic": (_cubic, (-1, 0, 1, 2)),
}


@keras.saving.register_keras_serializable("wavegan")
class Interpolate(keras.layers.Layer):
    """Makes a signal `stride` times as long by interpolation.

    Output sample i lies at input position i / stride, and the edges are
    repeated, as in the image resizing of TensorFlow 1 that the authors used.

    Args:
      stride: Number of output samples for each input sample.
      kind: Kind of interpolation: "nn", "linear" or "cubic".
      **kwargs: Arguments of `keras.layers.Layer`.

    Source: section 5.2 of the paper; Keys (1981) for "cubic".
    """

    def __init__(self, stride: int, kind: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stride = stride
        self.kind = kind

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Interpolates a signal along time.

        Args:
          x: Signal, `[batch, time, channels]`.

        Returns:
          Longer signal, `[batch, stride * time, channels]`.
        """
        kernel, taps = KERNELS[self.kind]
        before, after = -taps[0], taps[-1]
        time, channels = x.shape[1:]
        x = tf.concat([x[:, :1]] * before + [x] + [x[:, -1:]] * after, axis=1)
        neighbours = [x[:, k : k + time] for k in range(len(taps))]
        phases = []
        for phase in range(self.stride):
            weights = kernel(np.array(taps) - phase / self.stride)
            phases.append(
                sum(
                    float(weight) * neighbour
                    for weight, neighbour in zip(
                        weights, neighbours, strict=True
                    )
                    if weight
                )
            )
        return tf.reshape(
            tf.stack(phases, axis=2), [-1, self.stride * time, channels]
        )

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Returns the shape of the output, `stride` times as long."""
        batch, time, channels = input_shape
        return batch, None if time is None else self.stride * time, channels

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, for `from_config`."""
        return {
            **super().get_config(),
            "stride": self.stride,
            "kind": self.kind,
        }


@keras.saving.register_keras_serializable("wavegan")
class Interpolate2D(Interpolate):
    """Makes an image `stride` times as high and wide by interpolation.

    The axes are interpolated one after the other, which gives the same result
    as the image resizing of TensorFlow 1.

    Source: the authors' code.
    """

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Interpolates an image along both axes.

        Args:
          x: Image, `[batch, height, width, channels]`.

        Returns:
          Image, `[batch, stride * height, stride * width, channels]`.
        """
        for _ in range(2):
            # Interpolates along the rows, and swaps rows and columns.
            height, width, channels = x.shape[1:]
            x = super().call(tf.reshape(x, [-1, height, width * channels]))
            x = tf.reshape(x, [-1, self.stride * height, width, channels])
            x = tf.transpose(x, [0, 2, 1, 3])
        return x

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Returns the shape of the output, `stride` times as high and wide."""
        batch, *sides, channels = input_shape
        grown = (None if n is None else self.stride * n for n in sides)
        return batch, *grown, channels
