"""Training iterations of this project, and of its networks in plain Keras."""

import pathlib
import sys
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from system import console

console.import_tensorflow()

import tensorflow as tf

import wavegan
from benchmarks import plain
from networks import fast_conv

CRITIC_STEPS = 5


def build(
    dim: int,
    batch: int,
    kind: str,
    precision: str = "fp32",
    conv: str = "auto",
    jit: str = "",
) -> Callable[[], float]:
    """Returns a function that makes an iteration, all of it one graph.

    Args:
      dim: Width of the networks.
      batch: Number of examples in a batch.
      kind: "ours" or "plain".
      precision: Precision, a key of `precision.POLICIES`.
      conv: How ours evaluates strided convolutions, one of `fast_conv.FORMS`.
      jit: "jit" lets XLA compile the step.
    """
    fast_conv.choose_form(conv)
    model = plain.build(kind, wavegan.WaveGANConfig(dim=dim), precision)
    step = tf.function(model.train_step, autograph=False, jit_compile=bool(jit))
    shape = [CRITIC_STEPS, batch, 16384, 1]
    real = tf.random.stateless_uniform(shape, [0, 0], -1, 1)
    return lambda: float(step(real)["g_loss"])
