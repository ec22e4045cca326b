"""The authors' networks and training, as a graph of TensorFlow 1.

Built of single operations on variables with the names that `tf.layers` gave
them; optimizers and saver are TensorFlow 1's own, as in the authors' code.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
LR = {"wgan-gp": 1e-4, "dcgan": 2e-4, "wgan": 5e-5, "lsgan": 1e-4}
RESIZE = {
    "nn": v1.image.resize_nearest_neighbor,
    "linear": v1.image.resize_bilinear,
    "cubic": v1.image.resize_bicubic,
}


@dataclasses.dataclass(frozen=True)
class Shape:
    """Of both networks; `flat` is WaveGAN, the other SpecGAN."""

    flat: bool = True
    slice_len: int = 16384
    channels: int = 1
    latent_dim: int = 5
    kernel_len: int = 25
    dim: int = 2
    batchnorm: bool = False
    upsample: str = "zeros"
    post_filter_len: int = 0

    @property
    def strides(self) -> list[int]:
        """Of the layers of both networks, in order of use."""
        if not self.flat:
            return [2] * 5
        return {16384: [4] * 5, 32768: [4] * 5 + [2], 65536: [4] * 6}[
            self.slice_len
        ]

    @property
    def examples(self) -> list[int]:
        """What the networks exchange."""
        return [self.slice_len, self.channels] if self.flat else [128, 128, 1]


@dataclasses.dataclass(frozen=True)
class Run:
    """What a training that was saved would have gone on with.

    Attributes:
      path: Of the checkpoint.
      z: Latent vectors, `[batch, latent_dim]`.
      examples: G(z) of it.
      real: Real examples, which both updates before the checkpoint saw.
      scores: D of them.
      weights: After one more update of D, then one of G; by name.
    """

    path: str
    z: np.ndarray
    examples: np.ndarray
    real: np.ndarray
    scores: np.ndarray
    weights: dict[str, np.ndarray]


def _variable(name: str, shape: list[int], trainable: bool = True) -> Any:
    # Biases and averages that differ from 0 and 1, or mistakes would hide.
    scale = 3 / np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 0.4
    middle = 1.0 if name.endswith(("gamma", "variance")) else 0.0
    seed = [*v1.get_variable_scope().name.encode(), *name.encode()]
    values = np.random.default_rng(seed).uniform(-scale, scale, shape)
    return v1.get_variable(
        name,
        initializer=(middle + values).astype(np.float32),
        trainable=trainable,
        use_resource=False,
    )


def _batch_norm(x: Any, by_batch: bool) -> Any:
    with v1.variable_scope("batch_normalization"):
        width = [int(x.shape[-1])]
        gamma, beta = _variable("gamma", width), _variable("beta", width)
        mean = _variable("moving_mean", width, False)
        variance = _variable("moving_variance", width, False)
    if by_batch:
        mean, variance = tf.nn.moments(x, list(range(len(x.shape) - 1)))
    return gamma * (x - mean) * v1.rsqrt(variance + 0.001) + beta


def _dense(x: Any, width: int) -> Any:
    with v1.variable_scope("dense"):
        kernel = _variable("kernel", [int(x.shape[-1]), width])
        return v1.matmul(x, kernel) + _variable("bias", [width])


def _grow(x: Any, width: int, stride: int, shape: Shape) -> Any:
    """A layer of the generator, `[batch, height, time, channels]`."""
    _, height, time, channels = x.shape.as_list()
    rows = [1 if shape.flat else shape.kernel_len, shape.kernel_len]
    up = [1 if shape.flat else stride, stride]
    size = [height * up[0], time * up[1]]
    if shape.upsample == "zeros":
        with v1.variable_scope("conv2d_transpose"):
            kernel = _variable("kernel", [*rows, width, channels])
            bias = _variable("bias", [width])
        grown = [v1.shape(x)[0], *size, width]
        y = tf.nn.conv2d_transpose(x, kernel, grown, [1, *up, 1], "SAME")
        return tf.reshape(y + bias, [-1, *size, width])
    x = RESIZE[shape.upsample](x, size)
    with v1.variable_scope("conv1d" if shape.flat else "conv2d"):
        kernel = _variable("kernel", [*rows[shape.flat :], channels, width])
        bias = _variable("bias", [width])
    if shape.flat:
        return tf.nn.conv1d(x[:, 0], kernel, 1, "SAME")[:, None] + bias
    return tf.nn.conv2d(x, kernel, 1, "SAME") + bias


def generator(z: Any, shape: Shape) -> Any:
    """G(z), by the averages of batch norm."""
    norm = (lambda x: _batch_norm(x, False)) if shape.batchnorm else tf.identity
    count = len(shape.strides)
    width = shape.dim * 2 ** (count - 1)
    with v1.variable_scope("z_project"):
        x = _dense(z, 16 * width)
        sides = [1, 16] if shape.flat else [4, 4]
        x = norm(tf.reshape(x, [-1, *sides, width]))
    for i, stride in enumerate(shape.strides):
        x = tf.nn.relu(x)
        width //= 2
        last = i == count - 1
        with v1.variable_scope(f"upconv_{i}"):
            x = _grow(x, shape.channels if last else width, stride, shape)
            x = x if last else norm(x)
    x = tf.tanh(x)
    x = x[:, 0] if shape.flat else x
    if shape.post_filter_len:
        with v1.variable_scope("pp_filt/conv1d"):
            kernel = _variable("kernel", [shape.post_filter_len, 1, 1])
        x = tf.nn.conv1d(x, kernel, 1, "SAME")
    return x


def discriminator(x: Any, shape: Shape) -> Any:
    """D(x), without phase shuffle."""
    for i, stride in enumerate(shape.strides):
        width = shape.dim * 2**i
        rows = [shape.kernel_len] * (1 if shape.flat else 2)
        with v1.variable_scope(f"downconv_{i}"):
            with v1.variable_scope("conv1d" if shape.flat else "conv2d"):
                kernel = _variable("kernel", [*rows, int(x.shape[-1]), width])
                bias = _variable("bias", [width])
            conv = tf.nn.conv1d if shape.flat else tf.nn.conv2d
            x = conv(x, kernel, stride, "SAME") + bias
            if shape.batchnorm and i:
                x = _batch_norm(x, True)
        x = tf.maximum(0.2 * x, x)
    x = tf.reshape(x, [-1, 16 * shape.dim * 2 ** (len(shape.strides) - 1)])
    with v1.variable_scope("output"):
        return _dense(x, 1)[:, 0]


def _optimizer(loss: str) -> Any:
    if loss in ("wgan", "lsgan"):
        return v1.train.RMSPropOptimizer(LR[loss])
    beta2 = {"beta2": 0.9} if loss == "wgan-gp" else {}
    return v1.train.AdamOptimizer(LR[loss], beta1=0.5, **beta2)


def train(
    folder: pathlib.Path,
    shape: Shape,
    loss: str = "wgan-gp",
    steps: int = 2,
    critic_steps: int = 3,
    keep: Callable[[str], bool] = lambda name: True,
) -> Run:
    """Trains by D(G(z)) - 2 D(x), whatever the loss; its optimizers count.

    Args:
      folder: Where `model.ckpt-STEPS` is saved.
      shape: Of the networks.
      loss: Whose optimizers train.
      steps: Updates of G.
      critic_steps: Updates of D before each.
      keep: Whether a variable is saved, by its name.
    """
    rng = np.random.default_rng(0)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        latents = rng.uniform(-1, 1, (2, shape.latent_dim))
        sounds = rng.normal(0, 0.3, (2, *shape.examples))
        return latents.astype(np.float32), sounds.astype(np.float32)

    with tf.Graph().as_default(), v1.Session() as session:
        z = v1.placeholder(tf.float32, [None, shape.latent_dim])
        x = v1.placeholder(tf.float32, [None, *shape.examples])
        with v1.variable_scope("G"):
            fake = generator(z, shape)
        with v1.variable_scope("D"):
            of_x = discriminator(x, shape)
        with v1.variable_scope("D", reuse=True):
            of_fake = discriminator(fake, shape)
        scopes = {
            name: v1.get_collection(v1.GraphKeys.TRAINABLE_VARIABLES, name)
            for name in "GD"
        }
        g_loss = -tf.reduce_mean(of_fake)
        # Were both weighed alike, some gradients would be nothing but rounding.
        d_loss = tf.reduce_mean(of_fake) - 2 * tf.reduce_mean(of_x)
        g_optimizer, d_optimizer = _optimizer(loss), _optimizer(loss)
        g_step = g_optimizer.minimize(
            g_loss,
            global_step=v1.train.get_or_create_global_step(),
            var_list=scopes["G"],
        )
        d_step = d_optimizer.minimize(d_loss, var_list=scopes["D"])
        session.run(v1.global_variables_initializer())
        for _ in range(steps):
            for update in [d_step] * critic_steps + [g_step]:
                session.run(update, dict(zip((z, x), draw(), strict=True)))
        kept = [v for v in v1.global_variables() if keep(v.op.name)]
        path = v1.train.Saver(kept).save(
            session, str(folder / "model.ckpt"), global_step=steps
        )
        latents, sounds = draw()
        fed = {z: latents, x: sounds}
        examples, scores = session.run([fake, of_x], fed)
        session.run(d_step, fed)
        session.run(g_step, fed)
        weights = session.run(
            {v.op.name: v for s in scopes.values() for v in s}
        )
    return Run(path, latents, examples, sounds, scores, weights)


def rewrite(
    path: str,
    folder: pathlib.Path,
    change: Callable[[dict[str, Any]], Any],
) -> str:
    """Saves a checkpoint again, with other variables; returns its path."""
    reader = tf.train.load_checkpoint(path)
    names = reader.get_variable_to_shape_map()
    values = {name: reader.get_tensor(name) for name in names}
    change(values)
    with tf.Graph().as_default(), v1.Session() as session:
        saver = v1.train.Saver(
            {
                name: v1.get_variable(f"v{i}", initializer=value)
                for i, (name, value) in enumerate(values.items())
            }
        )
        session.run(v1.global_variables_initializer())
        return saver.save(session, str(folder / "model.ckpt-7"))
