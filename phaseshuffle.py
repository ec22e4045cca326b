"""Phase shuffle: the critic must not tell real from fake by the phase.

A transposed convolution leaves artefacts at fixed positions, by which a critic
would reject fake audio without listening to it. Phase shuffle moves each
feature map of the critic by a few random steps in time and fills the gap by
reflection, so that such positions carry no information.
"""

from typing import Any

import keras
import tensorflow as tf

from networks import replicas


def phase_shuffle(
    x: tf.Tensor,
    radius: int,
    *,
    shift: tf.Tensor | int | None = None,
    per_example: bool = False,
    rng: tf.random.Generator | None = None,
) -> tf.Tensor:
    """Moves feature maps in time by a random number of steps.

    Args:
      x: Feature maps, `[batch, time, channels]`.
      radius: Largest shift n in steps, smaller than `time`; 0 is the identity.
      shift: The shift instead of a random one, in steps, between -radius and
        radius: an integer, or `[batch]`, one for each example. Positive is
        later.
      per_example: Draw one shift for each example. The default, as the
        authors' code does, is one for the whole call: every example and
        every channel of `x` moves by the same number of steps.
      rng: Draws the shift; TensorFlow's global generator if left out.

    Returns:
      Shuffled feature maps, `[batch, time, channels]`.

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
        uniform = tf.random.uniform if rng is None else rng.uniform
        shape = (tf.shape(x)[0],) if per_example else ()
        shift = uniform(shape, -radius, radius + 1, tf.int32)
    return _move(x, tf.cast(shift, tf.int32), radius)


def _move(x: tf.Tensor, shift: tf.Tensor, radius: int) -> tf.Tensor:
    """Moves x by `shift`, `[]` or `[batch]`, and fills the gap by reflection.

    Gathers of constant length: a slice with a random start has a gradient whose
    shape XLA cannot infer. TensorFlow's own gradient of a gather sorts and adds
    every row; only those at the edges need that.
    """
    time = x.shape[1]
    last = (tf.shape(x)[1] if time is None else time) - 1
    edge = radius + 1
    shift = tf.expand_dims(shift, -1)

    def take(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        if shift.shape.rank == 1:
            return tf.gather(x, index, axis=1)
        return tf.gather(x, index, axis=1, batch_dims=1)

    def move(x: tf.Tensor) -> tf.Tensor:
        index = tf.abs(tf.range(last + 1) - shift)
        return take(x, last - tf.abs(last - index))

    if time is None or time < 2 * edge:
        return move(x)

    def mask(x: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
        return x * tf.cast(where, x.dtype)[..., tf.newaxis]

    def fold(moved: tf.Tensor, dy: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
        """The first steps: without what came from outside, with the mirror."""
        step = tf.range(edge)
        mirrored = take(dy, tf.clip_by_value(shift - step, 0, radius))
        return mask(moved, step + shift >= 0) + mask(
            mirrored, (step > 0) & (step <= shift)
        )

    @tf.custom_gradient
    def forward(x: tf.Tensor) -> Any:
        return move(x), adjoint

    @tf.custom_gradient
    def adjoint(dy: tf.Tensor) -> Any:
        moved = take(dy, tf.clip_by_value(tf.range(time) + shift, 0, last))
        head = fold(moved[:, :edge], dy[:, :edge], shift)
        tail = fold(moved[:, : -edge - 1 : -1], dy[:, : -edge - 1 : -1], -shift)
        middle = moved[:, edge:-edge]
        return tf.concat([head, middle, tail[:, ::-1]], 1), forward

    return forward(x)


def check_radius(radius: int) -> None:
    """Raises ValueError if `radius` is no number of steps from 0 up."""
    if not isinstance(radius, int) or radius < 0:
        raise ValueError(f"phase shuffle radius is {radius!r}: expected >= 0")


@keras.saving.register_keras_serializable("wavegan")
class PhaseShuffle(keras.layers.Layer):
    """Phase shuffle as a layer; the identity unless `training` is true.

    Args:
      radius: Largest shift in steps; 0 is the identity.
      per_example: Draw one shift for each example, not one for each call.
      seed: Of the layer's own random stream.
      **kwargs: Of `keras.layers.Layer`.

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
        """Maps `[batch, time, channels]` to the same shape."""
        # Differs from the original: scores outside of training do not jitter.
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
        """The shape stays as it is."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Everything that `from_config` needs."""
        return {
            **super().get_config(),
            "radius": self.radius,
            "per_example": self.per_example,
            "seed": self.seed,
        }
