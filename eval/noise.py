"""Measures noise: how strong the tones of transposed convolutions are.

A generator with strided layers produces tones at the sampling rate of each of
its layers and at multiples of these rates, even before training. The mean
spectrum of untrained generators shows how strong they are at each frequency.

Source: the paper, section 2 and the column "noise" of its table; the authors'
script and notebook.
"""

import functools
import pathlib

import numpy as np
import tensorflow as tf

from eval import features

WEIGHTS_PATH = pathlib.Path(__file__).with_name("noise_weights.npy")
WIDTHS = (1024, 512, 256, 128, 64, 1)  # channels of the paper's generator
KERNEL_LEN, STRIDE, FIRST_LEN = 25, 4, 16


def respond(num_generators: int, seed: int = 0) -> np.ndarray:
    """Averages the magnitude spectra of untrained generators.

    Each generator has fresh weights. Instead of a latent vector, its first
    feature map holds a 1 in every channel, for channel c at time c modulo 16.

    Args:
      num_generators: Number of generators; the paper's authors took 1,000.
      seed: Seed of the weights.

    Returns:
      Mean spectrum, scaled to the range from 0 to 1, `[8193]`; a bin is
      16000 / 16384 Hz wide.
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
    """Loads the weights of the measure, `respond(1000)`, `[8193]`."""
    return np.load(WEIGHTS_PATH, allow_pickle=False)


def measure(audio: np.ndarray) -> np.ndarray:
    """Averages each clip's magnitude spectrum with the tones as weights.

    This is the measure as the authors ran it: their script normalises the
    loudness of the set, but then uses the clips without this normalisation, so
    that loud clips score high. Divide by the set's RMS for the measure that the
    script intends.

    Args:
      audio: Clips at 16 kHz, `[batch, 16384]`.

    Returns:
      Weighted mean of each magnitude spectrum, `[batch]`.
    """
    spectra = np.abs(np.fft.rfft(audio, features.SLICE_LEN))
    return np.average(spectra, axis=1, weights=weights())
