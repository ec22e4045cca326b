"""The training iteration in JAX, each convolution one matrix product.

A strided convolution is split into its phases and written as the product of a
matrix of windows with the kernel (im2col): on a CPU that is faster than XLA's
own convolution. Each update is one `jit`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

STRIDE, LAGS, LATENT_DIM, RADIUS = 4, 7, 100, 2  # 25 taps in 7 lags of 4 phases
CRITIC_STEPS = 5
Weights = dict[str, jax.Array]


def initialize(dim: int) -> tuple[Weights, Weights]:
    """Draws the weights of generator and discriminator."""
    widths = [1, dim, 2 * dim, 4 * dim, 8 * dim, 16 * dim]
    g: Weights = {}
    d: Weights = {}
    keys = iter(jax.random.split(jax.random.key(0), 12))
    for i, (fewer, more) in enumerate(zip(widths, widths[1:], strict=False)):
        shape = (LAGS * STRIDE * fewer, more)
        d[f"w{i}"] = jax.random.normal(next(keys), shape) / (25 * fewer) ** 0.5
        d[f"b{i}"] = jnp.zeros(more)
        g[f"w{i}"] = jax.random.normal(next(keys), shape[::-1])
        g[f"w{i}"] /= (6 * more) ** 0.5
        g[f"b{i}"] = jnp.zeros(fewer)
    d["w"] = jax.random.normal(next(keys), (256 * dim, 1)) / 100
    d["b"] = jnp.zeros(1)
    g["w"] = jax.random.normal(next(keys), (LATENT_DIM, 256 * dim)) / 10
    g["b"] = jnp.zeros(256 * dim)
    return g, d


def convolve(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    """Convolves `[batch, time, in]` with a stride of 4."""
    batch, time, channels = x.shape
    steps = time // STRIDE
    x = x.reshape(batch, steps, STRIDE * channels)
    x = jnp.pad(x, ((0, 0), (3, 3), (0, 0)))
    windows = jnp.concatenate([x[:, i : i + steps] for i in range(LAGS)], 2)
    product = windows.reshape(batch * steps, -1) @ w
    return product.reshape(batch, steps, -1) + b


def convolve_transpose(y: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    """Computes the adjoint of `convolve`, and adds a bias."""
    batch, steps, channels = y.shape
    product = y.reshape(batch * steps, channels) @ w
    windows = product.reshape(batch, steps, LAGS, -1)
    x = sum(
        jnp.pad(windows[:, :, i], ((0, 0), (i, LAGS - 1 - i), (0, 0)))
        for i in range(LAGS)
    )[:, 3:-3]
    return x.reshape(batch, STRIDE * steps, -1) + b


def generate(g: Weights, z: jax.Array) -> jax.Array:
    """Maps latent vectors, `[batch, 100]`, to audio, `[batch, 16384, 1]`."""
    x = jax.nn.relu(z @ g["w"] + g["b"]).reshape(len(z), 16, -1)
    for i in (4, 3, 2, 1):
        x = jax.nn.relu(convolve_transpose(x, g[f"w{i}"], g[f"b{i}"]))
    return jnp.tanh(convolve_transpose(x, g["w0"], g["b0"]))


def score(d: Weights, x: jax.Array, shifts: jax.Array) -> jax.Array:
    """Maps audio, `[batch, 16384, 1]`, to scores, `[batch]`."""
    for i in range(5):
        x = jax.nn.leaky_relu(convolve(x, d[f"w{i}"], d[f"b{i}"]), 0.2)
        if i < 4:
            widths = ((0, 0), (RADIUS, RADIUS), (0, 0))
            padded = jnp.pad(x, widths, mode="reflect")
            x = jax.lax.dynamic_slice_in_dim(padded, shifts[i], x.shape[1], 1)
    return (x.reshape(len(x), -1) @ d["w"] + d["b"])[:, 0]


def adam(weights: Weights, slots: Any, gradients: Weights) -> tuple[Any, Any]:
    """Returns the weights and slots after a step of Adam."""
    m, v, step = slots
    m = jax.tree.map(lambda m, x: 0.5 * m + 0.5 * x, m, gradients)
    v = jax.tree.map(lambda v, x: 0.9 * v + 0.1 * x * x, v, gradients)
    rate = 1e-4 * jnp.sqrt(1 - 0.9**step) / (1 - 0.5**step)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, m, v
    )
    return weights, (m, v, step + 1)


def draw_z(key: jax.Array, batch: int) -> jax.Array:
    """Draws latent vectors."""
    return jax.random.uniform(key, (batch, LATENT_DIM), minval=-1, maxval=1)


@functools.partial(jax.jit, donate_argnums=(0, 1))
def update_critic(
    d: Weights, slots: Any, g: Weights, real: jax.Array, key: jax.Array
) -> tuple[Any, Any]:
    """Returns the discriminator's weights and slots after an update."""
    keys = jax.random.split(key, 3)
    fake = generate(g, draw_z(keys[0], len(real)))
    alpha = jax.random.uniform(keys[1], (len(real), 1, 1))
    shifts = jax.random.randint(keys[2], (3, 4), 0, 2 * RADIUS + 1)
    between = real + alpha * (fake - real)

    def loss(d: Weights) -> jax.Array:
        slope = jax.grad(lambda x: score(d, x, shifts[2]).sum())(between)
        norm = jnp.sqrt((slope**2).sum((1, 2)))
        difference = score(d, fake, shifts[0]) - score(d, real, shifts[1])
        return difference.mean() + 10 * ((norm - 1) ** 2).mean()

    return adam(d, slots, jax.grad(loss)(d))


@functools.partial(jax.jit, donate_argnums=(0, 1), static_argnums=3)
def update_generator(
    g: Weights, slots: Any, d: Weights, batch: int, key: jax.Array
) -> tuple[Any, Any, jax.Array]:
    """Returns the generator's weights, slots and loss after an update."""
    keys = jax.random.split(key)
    z = draw_z(keys[0], batch)
    shifts = jax.random.randint(keys[1], (4,), 0, 2 * RADIUS + 1)
    loss, gradients = jax.value_and_grad(
        lambda g: -score(d, generate(g, z), shifts).mean()
    )(g)
    return *adam(g, slots, gradients), loss


def build(dim: int, batch: int) -> Callable[[], float]:
    """Returns a function that makes an iteration.

    Args:
      dim: Width of the networks.
      batch: Number of examples in a batch.
    """
    shape = (8, batch, 16384, 1)
    clips = jax.random.uniform(jax.random.key(1), shape, minval=-1, maxval=1)
    g, d = initialize(dim)

    def slots(weights: Weights) -> Any:
        # Two trees, since the buffers of each are given away by an update.
        zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
        return *zeros, jnp.float32(1)

    state = [g, slots(g), d, slots(d)]
    key = jax.random.key(2)

    def iterate() -> float:
        nonlocal key
        for i in range(CRITIC_STEPS):
            key, own = jax.random.split(key)
            state[2:] = update_critic(
                state[2], state[3], state[0], clips[i], own
            )
        key, own = jax.random.split(key)
        *state[:2], loss = update_generator(
            state[0], state[1], state[2], batch, own
        )
        return float(loss)

    return iterate
