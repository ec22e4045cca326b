"""The training iteration as a graph of TensorFlow 1, run by a session.

The paper's networks and losses in the operations of that time: strided
convolutions, transposed convolutions, phase shuffle by padding and slicing,
symbolic gradients, two runs of the session for the two networks.
"""

import os
from collections.abc import Callable

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
KERNEL_LEN, STRIDE, LATENT_DIM, RADIUS = 25, 4, 100, 2
CRITIC_STEPS = 5


def dense(x: tf.Tensor, size: int) -> tf.Tensor:
    """Multiplies by a matrix and adds a bias."""
    w = tf1.get_variable("kernel", [x.shape[1], size])
    b = tf1.get_variable("bias", [size], initializer=tf1.zeros_initializer())
    return tf.matmul(x, w) + b


def generator(z: tf.Tensor, dim: int) -> tf.Tensor:
    """Maps latent vectors, `[batch, 100]`, to audio, `[batch, 16384, 1]`."""
    with tf1.variable_scope("z_project"):
        x = dense(z, 256 * dim)
    x = tf.nn.relu(tf.reshape(x, [-1, 16, 16 * dim]))
    for i, width in enumerate([8 * dim, 4 * dim, 2 * dim, dim, 1]):
        with tf1.variable_scope(f"upconv_{i}"):
            batch, time, channels = x.shape
            w = tf1.get_variable("kernel", [KERNEL_LEN, width, channels])
            b = tf1.get_variable(
                "bias", [width], initializer=tf1.zeros_initializer()
            )
            shape = [batch, time * STRIDE, width]
            x = tf.nn.conv1d_transpose(x, w, shape, STRIDE, "SAME") + b
        x = tf.nn.relu(x) if i < 4 else tf.tanh(x)
    return x


def discriminator(x: tf.Tensor, dim: int) -> tf.Tensor:
    """Maps audio, `[batch, 16384, 1]`, to scores, `[batch]`."""
    for i, width in enumerate([dim, 2 * dim, 4 * dim, 8 * dim, 16 * dim]):
        with tf1.variable_scope(f"downconv_{i}"):
            w = tf1.get_variable("kernel", [KERNEL_LEN, x.shape[2], width])
            b = tf1.get_variable(
                "bias", [width], initializer=tf1.zeros_initializer()
            )
            x = tf.nn.leaky_relu(tf.nn.conv1d(x, w, STRIDE, "SAME") + b)
        if i < 4:
            time = x.shape[1]
            shift = tf.random.uniform([], 0, 2 * RADIUS + 1, tf.int32)
            padding = [[0, 0], [RADIUS, RADIUS], [0, 0]]
            padded = tf.pad(x, padding, "REFLECT")
            x = padded[:, shift : shift + time]
            x.set_shape([padded.shape[0], time, width])
    with tf1.variable_scope("output"):
        return dense(tf.reshape(x, [x.shape[0], 256 * dim]), 1)[:, 0]


def build(dim: int, batch: int) -> Callable[[], float]:
    """Returns a function that makes an iteration.

    Args:
      dim: Width of the networks.
      batch: Number of examples in a batch.
    """
    tf1.disable_eager_execution()
    audio = np.random.default_rng(0).uniform(-1, 1, (8 * batch, 16384, 1))
    clips = tf1.get_variable("audio", initializer=audio.astype(np.float32))
    start = tf1.placeholder(tf.int32, [])
    real = clips[start : start + batch]
    real.set_shape([batch, 16384, 1])
    z = tf.random.uniform([batch, LATENT_DIM], -1, 1)
    with tf1.variable_scope("G"):
        fake = generator(z, dim)
    with tf1.variable_scope("D"):
        score_real = discriminator(real, dim)
    alpha = tf.random.uniform([batch, 1, 1])
    between = real + alpha * (fake - real)
    with tf1.variable_scope("D", reuse=True):
        score_fake = discriminator(fake, dim)
        (slope,) = tf.gradients(discriminator(between, dim), between)
    norm = tf.sqrt(tf.reduce_sum(slope**2, [1, 2]))
    g_loss = -tf.reduce_mean(score_fake)
    d_loss = tf.reduce_mean(score_fake) - tf.reduce_mean(score_real)
    d_loss += 10 * tf.reduce_mean((norm - 1) ** 2)

    def minimize(loss: tf.Tensor, scope: str) -> tf.Operation:
        optimizer = tf1.train.AdamOptimizer(1e-4, 0.5, 0.9)
        return optimizer.minimize(loss, var_list=tf1.trainable_variables(scope))

    train_d, train_g = minimize(d_loss, "D/"), minimize(g_loss, "G/")
    session = tf1.Session()
    session.run(tf1.global_variables_initializer())
    starts = np.random.default_rng(1)

    def iterate() -> float:
        for _ in range(CRITIC_STEPS):
            session.run(train_d, {start: batch * starts.integers(8)})
        return float(session.run([train_g, g_loss])[1])

    return iterate
