"""Converts spectrograms to audio by Keras's own layers, for exported models.

`spectrogram.to_audio` computes complex Fourier transforms, which few export
formats support. Here the same is computed on real numbers: a transform of
frames is a convolution with cosines and sines, and its inverse a transposed
convolution.

Source: Griffin and Lim (1984), "Signal Estimation from Modified Short-Time
Fourier Transform".
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from networks import spectrogram as spectrogram_lib

# `keras.layers.UnitNormalization` does not scale vectors shorter than 1e-12,
# and `spectrogram.to_audio` those shorter than 1e-8. Spectra are scaled by the
# ratio of both, so that the thresholds are the same.
SCALE = 1e-4


def to_audio(
    spectrogram: Any, moments: spectrogram_lib.Moments, rounds: int
) -> Any:
    """Builds Keras layers that compute what `spectrogram.to_audio` computes.

    Rounding errors differ, and may grow with each iteration: if a bin of a
    spectrum is nearly empty, its phase depends on rounding.

    Args:
      spectrogram: Symbolic tensor of spectrograms in [-1, 1], `[batch,
        NUM_FRAMES, NUM_BINS, 1]`.
      moments: Moments of the data set.
      rounds: Number of Griffin-Lim iterations; 0: all phases are 0.

    Returns:
      Symbolic tensor of audio in [-1, 1], `[batch, SLICE_LEN, 1]`.

    Source: section 4 of the paper; the authors' code.
    """
    frames, bins = spectrogram_lib.NUM_FRAMES, spectrogram_lib.NUM_BINS
    layers = keras.layers
    x = layers.Reshape((frames, bins))(spectrogram)
    x = layers.Rescaling(
        (spectrogram_lib.CLIP_SIGMAS * moments.std).tolist(),
        moments.mean.tolist(),
    )(x)
    x = layers.Activation("exponential")(x)
    magnitude = layers.Reshape((frames, bins, 1))(x)
    silence = layers.Rescaling(0.0)(magnitude)
    # The last axis holds real and imaginary parts.
    spectrum = layers.Concatenate()([magnitude, silence])

    analyse = layers.Conv1D(
        2 * bins,
        spectrogram_lib.FRAME_LEN,
        strides=spectrogram_lib.HOP_LEN,
        use_bias=False,
        name="stft",
    )
    synthesise = layers.Conv1DTranspose(
        1,
        spectrogram_lib.FRAME_LEN,
        strides=spectrogram_lib.HOP_LEN,
        use_bias=False,
        name="inverse_stft",
    )

    def inverse(spectrum: Any) -> Any:
        x = layers.Reshape((frames, 2 * bins))(spectrum)
        return layers.Cropping1D((0, spectrogram_lib.HOP_LEN))(synthesise(x))

    def transform(signal: Any) -> Any:
        x = layers.ZeroPadding1D((0, spectrogram_lib.HOP_LEN))(signal)
        return layers.Reshape((frames, bins, 2))(analyse(x))

    def with_phases_of(spectrum: Any) -> Any:
        return layers.Multiply()(
            [magnitude, layers.UnitNormalization()(spectrum)]
        )

    signal = spectrogram_lib.griffin_lim(
        spectrum, with_phases_of, transform, inverse, rounds
    )
    for layer, kernel in zip((synthesise, analyse), _kernels(), strict=True):
        if layer.built:  # without iterations, the analysis is not used
            layer.set_weights([kernel])
    return layers.Activation("hard_tanh")(signal)


def _kernels() -> tuple[np.ndarray, np.ndarray]:
    """Computes the kernels of the inverse transform and of the transform.

    Returns:
      Two kernels, `[FRAME_LEN, 1, 2 * NUM_BINS]` each.
    """
    steps = np.arange(spectrogram_lib.FRAME_LEN)[:, np.newaxis, np.newaxis]
    bins = np.arange(spectrogram_lib.NUM_BINS)[:, np.newaxis]
    # exp(-i angle) as its real and its imaginary part.
    angle = 2 * np.pi * steps * bins / spectrogram_lib.FRAME_LEN
    waves = np.concatenate([np.cos(angle), -np.sin(angle)], axis=2)
    hann = tf.signal.hann_window(spectrogram_lib.FRAME_LEN).numpy()
    window = tf.signal.inverse_stft_window_fn(spectrogram_lib.HOP_LEN)
    # Each bin but the lowest stands for its negative frequency too.
    share = np.where(bins == 0, 1, 2) / spectrogram_lib.FRAME_LEN
    analysis = SCALE * hann[:, np.newaxis, np.newaxis] * waves
    synthesis = (
        window(spectrogram_lib.FRAME_LEN, tf.float32).numpy()[:, None, None]
        * waves
        * share
    )
    shape = (spectrogram_lib.FRAME_LEN, 1, 2 * spectrogram_lib.NUM_BINS)
    return synthesis.reshape(shape), analysis.reshape(shape)
