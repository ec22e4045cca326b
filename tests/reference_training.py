"""NumPy references of the losses, the gradients and the optimizers.

The critic's gradients are derived by hand, for a discriminator without batch
norm: it is piecewise linear in x, so that its gradient by x is linear in the
direction along which one moves, and the gradient penalty's gradient by the
weights needs no second backward pass, only a tangent carried forward. All of
them are held against `central_differences` by the tests.

Source: arXiv 1704.00028, Algorithm 1; arXiv 1412.6980, end of Section 2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import reference

Array = reference.Array


def log_sigmoid(x: Array) -> Array:
    """log(1 / (1 + exp(-x))) with no overflow at either end."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def wasserstein_generator(fake: Array) -> Any:
    """-E[D(G(z))]; scores `[batch]`."""
    return -np.mean(fake)


def wasserstein_discriminator(real: Array, fake: Array) -> Any:
    """E[D(G(z))] - E[D(x)]; scores `[batch]`."""
    return np.mean(fake) - np.mean(real)


def least_squares_generator(fake: Array) -> Any:
    """E[(D(G(z)) - 1)^2]; scores `[batch]`."""
    return np.mean((fake - 1) ** 2)


def least_squares_discriminator(real: Array, fake: Array) -> Any:
    """Half of E[(D(x) - 1)^2] + E[D(G(z))^2]; scores `[batch]`."""
    return (np.mean((real - 1) ** 2) + np.mean(fake**2)) / 2


def non_saturating_generator(fake: Array) -> Any:
    """-E[log sigmoid D(G(z))]; scores `[batch]`."""
    return -np.mean(log_sigmoid(fake))


def non_saturating_discriminator(real: Array, fake: Array) -> Any:
    """Half of the cross-entropies of real as 1 and fake as 0."""
    return -(np.mean(log_sigmoid(real)) + np.mean(log_sigmoid(-fake))) / 2


def relativistic_generator(fake: Array, real: Array) -> Any:
    """Mean of log(1 + exp(real - fake)), pair by pair."""
    return np.mean(np.logaddexp(0, real - fake))


def relativistic_discriminator(real: Array, fake: Array) -> Any:
    """Mean of log(1 + exp(fake - real)), pair by pair."""
    return np.mean(np.logaddexp(0, fake - real))


LOSSES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "dcgan": (non_saturating_generator, non_saturating_discriminator),
    "lsgan": (least_squares_generator, least_squares_discriminator),
    "wgan": (wasserstein_generator, wasserstein_discriminator),
    "wgan-gp": (wasserstein_generator, wasserstein_discriminator),
}


@dataclasses.dataclass
class _Pass:
    """What one forward and backward pass of a critic computes."""

    inputs: list[Array]  # of each strided layer, [batch, time, in]
    slopes: list[Array]  # of each leaky ReLU, 1 or 0.2
    deltas: list[Array]  # d score / d output of each convolution
    features: Array  # flattened, [batch, features]
    dx: Array  # d score / d x


def _kernels(weights: Sequence[Any]) -> list[Array]:
    return [np.asarray(kernel, np.float64) for kernel in weights[::2]]


def _run(
    weights: Sequence[Any],
    config: Any,
    x: Array,
    shifts: Sequence[int],
    upstream: Array,
) -> _Pass:
    """Forward with all that is needed backward, then backward."""
    assert not config.batchnorm, "derived for a critic without batch norm"
    *kernels, output = _kernels(weights)
    biases = [np.asarray(bias, np.float64) for bias in weights[1::2]]
    layer_strides = reference.strides(config.slice_len)
    moves = [*(shifts or [0] * (len(kernels) - 1)), 0]
    inputs, slopes = [], []
    for kernel, bias, stride, move in zip(
        kernels, biases, layer_strides, moves, strict=False
    ):
        inputs.append(x)
        x = reference.conv1d_same(x, kernel, bias, stride)
        slopes.append(np.where(x > 0, 1.0, reference.LEAK))
        x = reference.phase_shuffle(slopes[-1] * x, move)
    d = (upstream[:, None] * output[:, 0]).reshape(x.shape)
    deltas = []
    for kernel, stride, move, slope in zip(
        kernels[::-1],
        layer_strides[::-1],
        moves[::-1],
        slopes[::-1],
        strict=True,
    ):
        deltas.append(slope * reference.phase_shuffle_adjoint(d, move))
        # The kernel of a convolution, read as one of its transpose.
        d = reference.conv1d_transpose_same(deltas[-1], kernel, 0.0, stride)
    return _Pass(inputs, slopes, deltas[::-1], x.reshape(len(x), -1), d)


def critic_gradient(
    weights: Sequence[Any], config: Any, x: Array, shifts: Sequence[int] = ()
) -> Array:
    """Gradient of each score by its x, `[batch, slice_len, channels]`."""
    return _run(weights, config, x, shifts, np.ones(len(x))).dx


def critic_weight_gradients(
    weights: Sequence[Any],
    config: Any,
    x: Array,
    upstream: Array,
    shifts: Sequence[int] = (),
) -> list[Array]:
    """Gradients of sum(upstream * scores) by each weight, in their order."""
    done = _run(weights, config, x, shifts, upstream)
    layer_strides = reference.strides(config.slice_len)
    gradients = []
    for kernel, h, delta, stride in zip(
        _kernels(weights), done.inputs, done.deltas, layer_strides, strict=False
    ):
        gradients += [
            reference.conv1d_kernel_gradient(h, delta, len(kernel), stride),
            delta.sum(axis=(0, 1)),
        ]
    output = done.features.T @ upstream
    return [*gradients, output[:, None], np.array([upstream.sum()])]


def gradient_penalty(
    weights: Sequence[Any], config: Any, x_hat: Array, shifts: Sequence[int]
) -> Any:
    """Mean over examples of (||d score / d x_hat|| - 1)^2, unweighted."""
    gradient = critic_gradient(weights, config, x_hat, shifts)
    norm = np.sqrt(np.sum(gradient**2, axis=(1, 2)))
    return np.mean((norm - 1) ** 2)


def slope_penalty(
    weights: Sequence[Any], config: Any, x: Array, shifts: Sequence[int] = ()
) -> Any:
    """Half the mean over examples of ||d score / d x||^2."""
    gradient = critic_gradient(weights, config, x, shifts)
    return np.mean(np.sum(gradient**2, axis=(1, 2))) / 2


def penalty_weight_gradients(
    weights: Sequence[Any], config: Any, x_hat: Array, shifts: Sequence[int]
) -> list[Array]:
    """Gradients of `gradient_penalty` by each weight: the second order.

    With u = 2 (||g|| - 1) g / (||g|| batch) held fixed, the wanted gradient
    is that of sum(u * g), and u * g is how fast the score grows along u: the
    output of a linear network, the tangent of the critic.
    """
    done = _run(weights, config, x_hat, shifts, np.ones(len(x_hat)))
    norm = np.sqrt(np.sum(done.dx**2, axis=(1, 2), keepdims=True))
    tangent = 2 * (norm - 1) * done.dx / norm / len(x_hat)
    *kernels, _ = _kernels(weights)
    layer_strides = reference.strides(config.slice_len)
    moves = [*(shifts or [0] * (len(kernels) - 1)), 0]
    gradients: list[Array] = []
    for kernel, delta, slope, stride, move in zip(
        kernels, done.deltas, done.slopes, layer_strides, moves, strict=True
    ):
        gradients += [
            reference.conv1d_kernel_gradient(
                tangent, delta, len(kernel), stride
            ),
            np.zeros(kernel.shape[2]),
        ]
        tangent = reference.conv1d_same(tangent, kernel, 0.0, stride)
        tangent = reference.phase_shuffle(slope * tangent, move)
    output = tangent.reshape(len(tangent), -1).sum(axis=0)
    return [*gradients, output[:, None], np.zeros(1)]


def central_differences(
    function: Callable[[list[Array]], Any],
    arrays: Sequence[Any],
    step: float = 1e-6,
) -> list[Array]:
    """Gradient of a scalar function by every entry of every array."""
    point = [np.array(array, np.float64) for array in arrays]
    gradients = [np.zeros_like(array) for array in point]
    for array, gradient in zip(point, gradients, strict=True):
        for index in np.ndindex(array.shape):
            centre = array[index]
            array[index] = centre + step
            above = function(point)
            array[index] = centre - step
            gradient[index] = (above - function(point)) / (2 * step)
            array[index] = centre
    return gradients


class Adam:
    """TF1's Adam: epsilon is added to the uncorrected root ("epsilon hat")."""

    def __init__(
        self,
        rate: float,
        beta_1: float,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        """No step taken, no moments yet."""
        self.rate, self.epsilon = rate, epsilon
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.steps = 0
        self.moments: dict[int, tuple[Array, Array]] = {}

    def apply(
        self, variables: Sequence[Array], gradients: Sequence[Array]
    ) -> list[Array]:
        """The variables after one more step."""
        self.steps += 1
        rate = self.rate * np.sqrt(1 - self.beta_2**self.steps)
        rate /= 1 - self.beta_1**self.steps
        result = []
        for i, (variable, g) in enumerate(
            zip(variables, gradients, strict=True)
        ):
            zeros = np.zeros_like(g)
            m, v = self.moments.get(i, (zeros, zeros))
            m = self.beta_1 * m + (1 - self.beta_1) * g
            v = self.beta_2 * v + (1 - self.beta_2) * g**2
            self.moments[i] = m, v
            result.append(variable - rate * m / (np.sqrt(v) + self.epsilon))
        return result


class RMSProp:
    """TF1's RMSProp: mean squares start at 1, epsilon is inside the root."""

    def __init__(
        self, rate: float, rho: float = 0.9, epsilon: float = 1e-10
    ) -> None:
        """No step taken."""
        self.rate, self.rho, self.epsilon = rate, rho, epsilon
        self.squares: dict[int, Array] = {}

    def apply(
        self, variables: Sequence[Array], gradients: Sequence[Array]
    ) -> list[Array]:
        """The variables after one more step."""
        result = []
        for i, (variable, g) in enumerate(
            zip(variables, gradients, strict=True)
        ):
            square = self.squares.get(i, np.ones_like(g))
            square = self.rho * square + (1 - self.rho) * g**2
            self.squares[i] = square
            root = np.sqrt(square + self.epsilon)
            result.append(variable - self.rate * g / root)
        return result


OPTIMIZERS: dict[str, Callable[[], Adam | RMSProp]] = {
    "dcgan": lambda: Adam(2e-4, 0.5),
    "lsgan": lambda: RMSProp(1e-4),
    "wgan": lambda: RMSProp(5e-5),
    "wgan-gp": lambda: Adam(1e-4, 0.5, 0.9),
    "r1": lambda: Adam(2e-4, 0.0, 0.99),
    "r3gan": lambda: Adam(2e-4, 0.0, 0.99),
}


def clip(variables: Sequence[Array], limit: float) -> list[Array]:
    """Every weight cut to [-limit, limit], as in arXiv 1701.07875."""
    return [np.clip(variable, -limit, limit) for variable in variables]
