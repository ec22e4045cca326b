"""Losses, penalties and optimizers of each GAN objective in `OBJECTIVES`.

Scores are the raw outputs of the discriminator, `[batch]`, without a sigmoid. A
loss is a scalar, `[]`, that the optimizer of its network minimises.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from system import settings


def wasserstein_generator(fake: tf.Tensor) -> tf.Tensor:
    """Returns minus the mean score of fake examples.

    Source: section 3.1 of the paper.
    """
    return -tf.reduce_mean(fake)


def wasserstein_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Returns minus the critic's estimate of the Wasserstein distance.

    Source: section 3.1 of the paper; Arjovsky et al. (2017), algorithm 1.
    """
    return tf.reduce_mean(fake) - tf.reduce_mean(real)


def least_squares_generator(fake: tf.Tensor) -> tf.Tensor:
    """Returns the mean squared distance of fake scores from 1.

    Source: Mao et al. (2017).
    """
    return tf.reduce_mean((fake - 1) ** 2)


def least_squares_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Averages the squared distances of real scores from 1 and fake from 0.

    Source: Mao et al. (2017).
    """
    return (tf.reduce_mean((real - 1) ** 2) + tf.reduce_mean(fake**2)) / 2


def non_saturating_generator(fake: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy of fake scores with the label "real".

    Its gradient does not vanish when the discriminator rejects all fakes.

    Source: Goodfellow et al. (2014).
    """
    return tf.reduce_mean(tf.nn.softplus(-fake))


def non_saturating_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Averages the cross-entropies of real and fake scores with their labels.

    Its minimum over discriminators is minus the Jensen-Shannon divergence plus
    a constant. The authors' code halves the sum as well.

    Source: Goodfellow et al. (2014), equation 1.
    """
    return (
        tf.reduce_mean(tf.nn.softplus(-real))
        + tf.reduce_mean(tf.nn.softplus(fake))
    ) / 2


def relativistic_generator(fake: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy of "the fake example is more real".

    Each fake score is compared with the real score at the same position.

    Source: Jolicoeur-Martineau (2019); Huang et al. (2024).
    """
    return tf.reduce_mean(tf.nn.softplus(real - fake))


def relativistic_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy of "the real example is more real".

    Each real score is compared with the fake score at the same position.

    Source: Jolicoeur-Martineau (2019); Huang et al. (2024).
    """
    return tf.reduce_mean(tf.nn.softplus(fake - real))


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    *,
    alpha: tf.Tensor | None = None,
) -> tf.Tensor:
    """Penalises gradient norms of the critic that differ from 1 (WGAN-GP).

    The gradient is that of the score with respect to an example, at a random
    point between a real and a fake example.

    Args:
      critic: Function from examples `[batch, ...]` to scores `[batch]`.
      real: Real examples, `[batch, ...]`.
      fake: Generated examples, `[batch, ...]`.
      alpha: Position between real (0) and fake (1) for each example, `[batch]`;
        drawn uniformly from [0, 1) if left out.

    Returns:
      Mean over the batch of (norm - 1)^2, `[]`, without a weight. It is
      differentiable with respect to the critic's weights.

    Source: Gulrajani et al. (2017), equation 3; section 3.1 of the paper.
    """
    real, fake = tf.convert_to_tensor(real), tf.convert_to_tensor(fake)
    if alpha is None:
        alpha = tf.random.uniform([tf.shape(real)[0]])
    alpha = tf.cast(alpha, real.dtype)
    alpha = tf.reshape(alpha, [-1] + [1] * (real.shape.rank - 1))
    between = real + alpha * (fake - real)
    squared = _squared_gradient_norm(critic, between)
    # Differs from the original: the derivative of the square root is infinite
    # at 0, so that a critic with gradient 0 somewhere would become NaN.
    norm = tf.where(
        squared > 0, tf.sqrt(tf.where(squared > 0, squared, 1.0)), 0.0
    )
    return tf.reduce_mean((norm - 1) ** 2)


def r1_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    *,
    alpha: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes R1: half the mean squared gradient norm at real examples.

    The arguments are those of `gradient_penalty`; `fake` and `alpha` are
    ignored.

    Returns:
      Penalty, `[]`, without a weight.

    Source: Mescheder et al. (2018), equation 9.
    """
    del fake, alpha
    return tf.reduce_mean(_squared_gradient_norm(critic, real)) / 2


def r1_r2_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    *,
    alpha: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes R1 + R2: R1 at real examples plus the same at fake examples.

    The arguments are those of `gradient_penalty`; `alpha` is ignored.

    Returns:
      Penalty, `[]`, without a weight.

    Source: Mescheder et al. (2018), equations 9 and 10; Huang et al. (2024).
    """
    del alpha
    squares = [_squared_gradient_norm(critic, x) for x in (real, fake)]
    return tf.reduce_mean(tf.add_n(squares)) / 2


def _squared_gradient_norm(
    critic: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor
) -> tf.Tensor:
    """Returns the squared norm of the gradient of scores by `x`, `[batch]`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        scores = critic(x)
    # Each score depends only on its own example, so the gradient of their sum
    # holds the gradient of each. (This is not so with batch normalisation in
    # the critic, which the paper leaves out.)
    gradient = tape.gradient(
        scores, x, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return tf.reduce_sum(gradient**2, axis=list(range(1, x.shape.rank)))


@keras.saving.register_keras_serializable("wavegan")
class RMSprop(keras.optimizers.RMSprop):
    """RMSprop as in TensorFlow 1: the mean square starts at 1, not at 0."""

    def build(self, var_list: list[Any]) -> None:
        """Creates the optimizer's variables and sets mean squares to 1."""
        if self.built:
            return
        super().build(var_list)
        for velocity in self._velocities:
            velocity.assign(tf.ones_like(velocity))


@keras.saving.register_keras_serializable("wavegan")
class Adam(keras.optimizers.Adam):
    """Adam with one fused TensorFlow operation for each variable's update."""

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
    """Returns a function that makes a new Adam optimizer."""
    return lambda: Adam(
        learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8
    )


def _rmsprop(
    learning_rate: float,
) -> Callable[[], keras.optimizers.Optimizer]:
    """Returns a function that makes a new RMSprop optimizer."""
    return lambda: RMSprop(learning_rate, rho=0.9, epsilon=1e-10)


@dataclasses.dataclass(frozen=True)
class Objective:
    """The losses, penalty and optimizer that a GAN is trained with.

    Attributes:
      generator: Loss of the generator, a function from fake scores `[batch]` to
        `[]`; from fake and real scores if `relativistic`.
      discriminator: Loss of the discriminator, a function from real and fake
        scores, `[batch]` each, to `[]`.
      optimizer: Function that makes a new optimizer; each network has its own.
      penalty_weight: Weight of the penalty in the discriminator's loss; 0
        disables it.
      clip: Largest magnitude of the discriminator's weights; 0 disables
        clipping.
      penalty: Penalty of the discriminator's gradient, a function with the
        arguments of `gradient_penalty`.
      relativistic: Whether the generator's loss compares fake with real scores.
      bounded: Whether the loss of a perfect discriminator is 0, its lower
        bound; if not, the loss is a distance.
    """

    generator: Callable[..., tf.Tensor]
    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    optimizer: Callable[[], keras.optimizers.Optimizer]
    penalty_weight: float = 0.0
    clip: float = 0.0
    penalty: Callable[..., tf.Tensor] = gradient_penalty
    relativistic: bool = False
    bounded: bool = True

    def build_optimizer(
        self, variables: list[keras.Variable], learning_rate: float | None
    ) -> keras.optimizers.Optimizer:
        """Makes the optimizer of a network.

        Args:
          variables: The network's trainable variables. The optimizer's slots
            are made for them, so that a checkpoint can be restored into these.
          learning_rate: Its learning rate; None: that of the objective.
        """
        optimizer = self.optimizer()
        if learning_rate is not None:
            optimizer.learning_rate = learning_rate
        optimizer.build(variables)
        return optimizer


# Source: table 7 of the paper for "wgan-gp"; the authors' code for the first
# three. The last two are newer than the paper; docs/efficiency.md reports which
# learning rates and penalty weights suited small networks.
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
        bounded=False,
    ),
    "wgan-gp": Objective(
        wasserstein_generator,
        wasserstein_discriminator,
        _adam(1e-4, 0.5, 0.9),
        penalty_weight=10.0,
        bounded=False,
    ),
    "r1": Objective(
        non_saturating_generator,
        non_saturating_discriminator,
        _adam(2e-4, 0.0, 0.99),
        penalty_weight=1.0,
        penalty=r1_penalty,
    ),
    "r3gan": Objective(
        relativistic_generator,
        relativistic_discriminator,
        _adam(2e-4, 0.0, 0.99),
        penalty_weight=1.0,
        penalty=r1_r2_penalty,
        relativistic=True,
    ),
}


def find(name: str) -> Objective:
    """Returns the objective of a name.

    Raises:
      SettingError: No objective has this name.
    """
    settings.check_value("objective", name, choices=tuple(OBJECTIVES))
    return OBJECTIVES[name]
