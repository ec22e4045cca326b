"""Phase shuffle: keeps the critic from telling real from fake by the phase.

A transposed convolution leaves artefacts at fixed positions in time, and a
critic could reject fake audio by these alone. Phase shuffle moves the feature
maps of the critic by a few random steps in time and fills the gap by
reflection, so that such positions carry no information.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from networks import replicas

Map = Callable[[tf.Tensor], tf.Tensor]


def phase_shuffle(
    x: tf.Tensor,
    radius: int,
    *,
    shift: tf.Tensor | int | None = None,
    per_example: bool = False,
) -> tf.Tensor:
    """Moves feature maps in time by a random number of steps.

    Args:
      x: Feature maps, `[batch, time, channels]`.
      radius: Largest shift n in steps, smaller than `time`; 0 is the identity.
      shift: Shift to use instead of a random one, in steps between -radius and
        radius: an integer, or `[batch]`, one for each example. Positive shifts
        are towards later times.
      per_example: Whether to draw one shift for each example. The default, as
        in the authors' code, is one shift for the whole call: every example and
        every channel of `x` moves by the same number of steps.

    Returns:
      Moved feature maps, `[batch, time, channels]`.

    Raises:
      ValueError: `radius` is negative or reaches the length of `x`.

    Source: section 3.3 and figure 4 of the paper.
    """
    check_radius(radius)
    time = x.shape[1]
    if time is not None and radius >= time:
        raise ValueError(
            f"radius is {radius}: reflection needs it below the {time} time "
            "steps of the feature map"
        )
    if radius == 0:
        return x
    if shift is None:
        shape = (tf.shape(x)[0],) if per_example else ()
        shift = tf.random.uniform(shape, -radius, radius + 1, tf.int32)
    shift = tf.expand_dims(tf.cast(shift, tf.int32), -1)
    if time is None or time < 2 * (radius + 1):
        return _move(x, shift)
    # TensorFlow's own gradient of a gather sorts and adds all steps, although
    # only those at the edges are read more than once.
    return _apply_linear(
        lambda x: _move(x, shift),
        lambda dy: _adjoint_of_move(dy, shift, radius),
        x,
    )


def _move(x: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Moves feature maps by `shift` and fills the gap by reflection.

    It gathers a constant number of steps, because a slice with a random start
    has a gradient whose shape XLA cannot infer.

    Args:
      x: Feature maps, `[batch, time, channels]`.
      shift: Shift in steps, `[1]` for all examples or `[batch, 1]`.

    Returns:
      Moved feature maps, `[batch, time, channels]`.
    """
    time = x.shape[1]
    last = (tf.shape(x)[1] if time is None else time) - 1
    index = tf.abs(tf.range(last + 1) - shift)  # reflects at the first step
    return _take(x, last - tf.abs(last - index))  # reflects at the last step


def _apply_linear(linear: Map, adjoint: Map, x: tf.Tensor) -> tf.Tensor:
    """Applies a linear map whose gradient is computed by its adjoint.

    The gradient of the adjoint is the map itself, and so on.
    """

    @tf.custom_gradient
    def apply(x: tf.Tensor) -> Any:
        return linear(x), lambda dy: _apply_linear(adjoint, linear, dy)

    return apply(x)


def _adjoint_of_move(dy: tf.Tensor, shift: tf.Tensor, radius: int) -> tf.Tensor:
    """Applies the transpose of `_move`, a linear map, to a gradient.

    Args:
      dy: Gradient with respect to the moved feature maps, `[batch, time,
        channels]`, with at least 2 (radius + 1) steps of time.
      shift: Shift in steps, `[1]` or `[batch, 1]`.
      radius: Largest shift in steps.

    Returns:
      Gradient with respect to the feature maps, `[batch, time, channels]`.
    """
    time, edge = dy.shape[1], radius + 1
    moved = _take(dy, tf.clip_by_value(tf.range(time) + shift, 0, time - 1))
    head = _adjoint_at_start(moved[:, :edge], dy[:, :edge], shift)
    middle = moved[:, edge:-edge]
    # Reversed in time, the end is a start with the opposite shift.
    tail = _adjoint_at_start(
        moved[:, : -edge - 1 : -1], dy[:, : -edge - 1 : -1], -shift
    )
    return tf.concat([head, middle, tail[:, ::-1]], 1)


def _adjoint_at_start(
    moved: tf.Tensor, dy: tf.Tensor, shift: tf.Tensor
) -> tf.Tensor:
    """Computes the first steps of the gradient, where reflection adds to it.

    Args:
      moved: First steps of `dy` moved back, `[batch, radius + 1, channels]`.
      dy: First steps of the gradient, `[batch, radius + 1, channels]`.
      shift: Shift in steps, `[1]` or `[batch, 1]`.

    Returns:
      `moved` without the steps that lie outside of `dy`, plus the gradient of
      the reflected steps, `[batch, radius + 1, channels]`.
    """
    edge = dy.shape[1]
    step = tf.range(edge)
    reflected = _take(dy, tf.clip_by_value(shift - step, 0, edge - 1))
    inside = step + shift >= 0
    is_reflected = (step > 0) & (step <= shift)
    return _mask(moved, inside) + _mask(reflected, is_reflected)


def _take(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Gathers steps of time by `index`, `[steps]` or `[batch, steps]`."""
    batch_dims = index.shape.rank - 1
    return tf.gather(x, index, axis=1, batch_dims=batch_dims)


def _mask(x: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Sets steps of time to 0 where `where`, over steps, is false."""
    return x * tf.cast(where, x.dtype)[..., tf.newaxis]


def check_radius(radius: int) -> None:
    """Raises ValueError unless `radius` is an integer of 0 or more."""
    if not isinstance(radius, int) or radius < 0:
        raise ValueError(f"phase shuffle radius is {radius!r}: expected >= 0")


@keras.saving.register_keras_serializable("wavegan")
class PhaseShuffle(keras.layers.Layer):
    """Applies phase shuffle in training and returns its input otherwise.

    Args:
      radius: Largest shift in steps; 0 is the identity.
      per_example: Whether to draw one shift for each example instead of one for
        each call.
      seed: Seed of the layer's own random generator.
      **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
      ValueError: `radius` is negative.
    """

    def __init__(
        self,
        radius: int,
        per_example: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_radius(radius)
        self.radius = radius
        self.per_example = per_example
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Moves feature maps, `[batch, time, channels]`, by random shifts."""
        # Differs from the original: no shuffle outside of training, so that
        # scores are not random there.
        if not training or not self.radius:
            return x
        parts = replicas.parts()
        size = (x.shape[0] or tf.shape(x)[0]) // parts
        shape = (size * replicas.count(),) if self.per_example else ()
        shifts = [
            keras.random.randint(
                shape, -self.radius, self.radius + 1, seed=self.seed_generator
            )
            for _ in range(parts)
        ]
        if self.per_example:
            shift = replicas.own_rows(tf.concat(shifts, axis=0))
        elif parts > 1:
            shift = tf.repeat(tf.stack(shifts), size)
        else:
            shift = shifts[0]
        return phase_shuffle(x, self.radius, shift=shift)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Returns the shape of the output, which is that of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, for `from_config`."""
        return {
            **super().get_config(),
            "radius": self.radius,
            "per_example": self.per_example,
            "seed": self.seed,
        }
