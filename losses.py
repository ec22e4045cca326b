"""The objectives of the GAN family, one row each in `OBJECTIVES`.

Scores are the raw outputs of the discriminator, `[batch]`: no sigmoid. A loss
is one number, `[]`, and its own network's optimizer makes it smaller.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def wasserstein_generator(fake: tf.Tensor) -> tf.Tensor:
    """Minus the mean score of the fakes. Source: section 3.1 of the paper."""
    return -tf.reduce_mean(fake)


def wasserstein_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Minus the critic's estimate of the Wasserstein distance.

    Source: section 3.1 of the paper; Arjovsky et al. (2017), algorithm 1.
    """
    return tf.reduce_mean(fake) - tf.reduce_mean(real)


def least_squares_generator(fake: tf.Tensor) -> tf.Tensor:
    """Squared distance of the scores from 1. Source: Mao et al. (2017)."""
    return tf.reduce_mean((fake - 1) ** 2)


def least_squares_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Squared distance from 1 (real) and 0 (fake), their mean.

    Source: Mao et al. (2017).
    """
    return (tf.reduce_mean((real - 1) ** 2) + tf.reduce_mean(fake**2)) / 2


def non_saturating_generator(fake: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of the fakes as "real". Source: Goodfellow et al. (2014).

    Its gradient does not vanish while the discriminator wins.
    """
    return tf.reduce_mean(tf.nn.softplus(-fake))


def non_saturating_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of real as "real" and fake as "fake", their mean.

    Its minimum over discriminators is the Jensen-Shannon divergence, up to
    constants. The halving is the authors'.

    Source: Goodfellow et al. (2014), equation 1.
    """
    return (
        tf.reduce_mean(tf.nn.softplus(-real))
        + tf.reduce_mean(tf.nn.softplus(fake))
    ) / 2


def relativistic_generator(fake: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of "this fake is more real than that real example".

    Source: Jolicoeur-Martineau (2019); Huang et al. (2024).
    """
    return tf.reduce_mean(tf.nn.softplus(real - fake))


def relativistic_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of "this real example is more real than that fake".

    Source: Jolicoeur-Martineau (2019); Huang et al. (2024).
    """
    return tf.reduce_mean(tf.nn.softplus(fake - real))


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    *,
    alpha: tf.Tensor | None = None,
    rng: tf.random.Generator | None = None,
) -> tf.Tensor:
    """How far the critic's slope is from 1 between real and fake examples.

    Args:
      critic: Maps examples `[batch, ...]` to scores `[batch]`.
      real: Real examples, `[batch, ...]`.
      fake: Generated examples, same shape.
      alpha: Where between real (0) and fake (1) to look: `[batch]`, one for
        each example. Uniform in [0, 1) if left out.
      rng: Draws alpha; TensorFlow's global generator if left out.

    Returns:
      The mean over the batch of (slope - 1)^2, `[]`, not yet weighted. It can
      be differentiated again, by the critic's weights.

    Source: Gulrajani et al. (2017), equation 3; section 3.1 of the paper.
    """
    real, fake = tf.convert_to_tensor(real), tf.convert_to_tensor(fake)
    if alpha is None:
        uniform = tf.random.uniform if rng is None else rng.uniform
        alpha = uniform([tf.shape(real)[0]])
    alpha = tf.cast(alpha, real.dtype)
    alpha = tf.reshape(alpha, [-1] + [1] * (real.shape.rank - 1))
    between = real + alpha * (fake - real)
    squared = _squared_slope(critic, between)
    # Differs from the original: the root's own slope at 0 is infinite, and a
    # critic that is flat somewhere would become NaN.
    slope = tf.where(
        squared > 0, tf.sqrt(tf.where(squared > 0, squared, 1.0)), 0.0
    )
    return tf.reduce_mean((slope - 1) ** 2)


def real_slope_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    *,
    alpha: tf.Tensor | None = None,
) -> tf.Tensor:
    """R1: half the mean squared slope of the critic at real examples, `[]`.

    Takes what `gradient_penalty` takes; fakes and alpha do not matter.

    Source: Mescheder et al. (2018), equation 9.
    """
    del fake, alpha
    return tf.reduce_mean(_squared_slope(critic, real)) / 2


def slope_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    *,
    alpha: tf.Tensor | None = None,
) -> tf.Tensor:
    """R1 + R2: half the mean squared slope at real and at fake examples, `[]`.

    Takes what `gradient_penalty` takes; alpha does not matter.

    Source: Mescheder et al. (2018), equations 9 and 10; Huang et al. (2024).
    """
    del alpha
    slopes = [_squared_slope(critic, x) for x in (real, fake)]
    return tf.reduce_mean(tf.add_n(slopes)) / 2


def _squared_slope(
    critic: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor
) -> tf.Tensor:
    """Squared norm of the score's gradient by each example, `[batch]`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        scores = critic(x)
    # Each score depends on its own example alone, so the gradient of their sum
    # holds every example's gradient. (Not so with batch norm in the critic:
    # the paper leaves it out.)
    gradient = tape.gradient(
        scores, x, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return tf.reduce_sum(gradient**2, axis=list(range(1, x.shape.rank)))


@keras.saving.register_keras_serializable("wavegan")
class RMSprop(keras.optimizers.RMSprop):
    """RMSprop as TensorFlow 1 has it: the mean square starts at 1, not at 0."""

    def build(self, var_list: list[Any]) -> None:
        """Makes the slots."""
        if self.built:
            return
        super().build(var_list)
        for velocity in self._velocities:
            velocity.assign(tf.ones_like(velocity))


@keras.saving.register_keras_serializable("wavegan")
class Adam(keras.optimizers.Adam):
    """Adam, each variable's update in TensorFlow's one operation for it."""

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any
    ) -> None:
        """Updates one variable."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def _adam(
    learning_rate: float, beta_1: float, beta_2: float
) -> Callable[[], keras.optimizers.Optimizer]:
    return lambda: Adam(
        learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8
    )


def _rmsprop(
    learning_rate: float,
) -> Callable[[], keras.optimizers.Optimizer]:
    return lambda: RMSprop(learning_rate, rho=0.9, epsilon=1e-10)


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the two networks strive for, and how.

    Attributes:
      generator: Loss of the generator, from fake scores `[batch]` to `[]`;
        from fake and real ones if `relativistic`.
      discriminator: Loss of the discriminator, from real and fake scores.
      optimizer: Makes a fresh optimizer; each network gets its own.
      penalty_weight: Of the penalty in the discriminator's loss; 0: none.
      clip: Largest magnitude of the discriminator's weights; 0: no clipping.
      penalty: Of the discriminator's slope, as `gradient_penalty`.
      relativistic: The generator's loss compares with real examples.
    """

    generator: Callable[..., tf.Tensor]
    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    optimizer: Callable[[], keras.optimizers.Optimizer]
    penalty_weight: float = 0.0
    clip: float = 0.0
    penalty: Callable[..., tf.Tensor] = gradient_penalty
    relativistic: bool = False

    @property
    def bounded(self) -> bool:
        """Whether 0 is the loss of a discriminator that is always right."""
        return self.discriminator is not wasserstein_discriminator


# Source: table 7 of the paper for "wgan-gp", the authors' code for the first
# three. The last two are younger; docs/efficiency.md tells which rates and
# weights suited small networks.
OBJECTIVES = {
    "dcgan": Objective(
        non_saturating_generator,
        non_saturating_discriminator,
        _adam(2e-4, 0.5, 0.999),
    ),
    "lsgan": Objective(
        least_squares_generator, least_squares_discriminator, _rmsprop(1e-4)
    ),
    "wgan": Objective(
        wasserstein_generator,
        wasserstein_discriminator,
        _rmsprop(5e-5),
        clip=0.01,
    ),
    "wgan-gp": Objective(
        wasserstein_generator,
        wasserstein_discriminator,
        _adam(1e-4, 0.5, 0.9),
        penalty_weight=10.0,
    ),
    "r1": Objective(
        non_saturating_generator,
        non_saturating_discriminator,
        _adam(2e-4, 0.0, 0.99),
        penalty_weight=1.0,
        penalty=real_slope_penalty,
    ),
    "r3gan": Objective(
        relativistic_generator,
        relativistic_discriminator,
        _adam(2e-4, 0.0, 0.99),
        penalty_weight=1.0,
        penalty=slope_penalty,
        relativistic=True,
    ),
}


def find(name: str) -> Objective:
    """The objective of that name.

    Raises:
      ValueError: There is none.
    """
    if name not in OBJECTIVES:
        raise ValueError(
            f"objective is {name!r}: expected one of " + ", ".join(OBJECTIVES)
        )
    return OBJECTIVES[name]
