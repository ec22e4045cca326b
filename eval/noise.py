"""The tones of transposed convolutions, weighed in a spectrum.

A generator of strided layers sounds at the rate of each of its layers and at
their multiples, even before it has learnt anything. The mean spectrum of
untrained generators shows how much at which frequency.

Source: the paper, section 2 and the column "noise" of its table; the authors'
script and notebook.
"""

import functools
import pathlib

import numpy as np
import tensorflow as tf

from eval import features

WEIGHTS_PATH = pathlib.Path(__file__).with_name("noise_weights.npy")
WIDTHS = (1024, 512, 256, 128, 64, 1)  # of the paper's generator
KERNEL_LEN, STRIDE, FIRST_LEN = 25, 4, 16


def respond(num_generators: int, seed: int = 0) -> np.ndarray:
    """Averages the magnitude spectra of untrained generators.

    Each has fresh weights and hears a 1 in every channel of its first feature
    map, that of channel c at time c modulo 16, instead of a latent vector.

    Args:
      num_generators: How many; the paper's authors took 1,000.
      seed: Of the weights.

    Returns:
      From 0 to 1, `[8193]`: a bin is 16000 / 16384 Hz.
    """
    rng = np.random.default_rng(seed)
    impulses = np.zeros([1, FIRST_LEN, WIDTHS[0]], np.float32)
    channels = np.arange(WIDTHS[0])
    impulses[0, channels % FIRST_LEN, channels] = 1
    total = np.zeros(features.SLICE_LEN // 2 + 1)
    for _ in range(num_generators):
        x = tf.constant(impulses)
        for before, after in zip(WIDTHS, WIDTHS[1:], strict=False):
            limit = np.sqrt(6 / (KERNEL_LEN * (before + after)))  # Glorot's
            kernel = rng.random([KERNEL_LEN, after, before], np.float32)
            x = tf.nn.conv1d_transpose(
                tf.nn.relu(x),
                (2 * kernel - 1) * np.float32(limit),
                [1, x.shape[1] * STRIDE, after],
                STRIDE,
            )
        total += np.abs(np.fft.rfft(np.tanh(x[0, :, 0])))
    total -= total.min()
    return total / total.max()


@functools.cache
def weights() -> np.ndarray:
    """Weights of the measure, `[8193]`: `respond(1000)`, kept in a file."""
    return np.load(WEIGHTS_PATH, allow_pickle=False)


def measure(audio: np.ndarray) -> np.ndarray:
    """Weighs each clip's spectrum by the generators' tones.

    As the authors ran it: their script brings the set to one loudness and then
    goes on with the clips as they were, so that loud clips score high. Divide
    by the set's RMS for what was meant.

    Args:
      audio: `[batch, 16384]`.

    Returns:
      Weighted mean of each magnitude spectrum, `[batch]`.
    """
    spectra = np.abs(np.fft.rfft(audio, features.SLICE_LEN))
    return np.average(spectra, axis=1, weights=weights())
