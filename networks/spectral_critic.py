"""Builds discriminators of log-magnitude spectrograms of the audio.

A discriminator of waveforms is slow to learn which frequencies audio holds; a
spectrogram shows them directly. Discriminators of spectrograms are used in
addition to that of waveforms and do not replace it, since they do not see
phases.

Source: Kong et al. (2020), HiFi-GAN, and Jang et al. (2021), UnivNet, for
discriminators of several resolutions.
"""

import keras
import tensorflow as tf

from networks import dcgan, leaky_relu
from system import settings

FLOOR = 1e-2  # floor of the magnitudes: about that of noise at -60 dB
FRAME_LENS = (256, 512, 128)  # samples; the first critic has the first length
NAME = "spectral_critic_{}"  # of a network, by the length of its frames
KERNEL_SIZE = 4
NUM_LAYERS = 4
MAX_CRITICS = len(FRAME_LENS)


def to_log_magnitude(audio: tf.Tensor, frame_len: int) -> tf.Tensor:
    """Computes log-magnitudes of a short-time Fourier transform.

    Args:
      audio: Audio, `[batch, time, channels]`.
      frame_len: Number of samples of the Hann window; the hop is a quarter.

    Returns:
      Scaled log-magnitudes, `[batch, 4 * time / frame_len, frame_len / 2,
      channels]`, about -1.2 for silence and 1 for loud audio, without the
      highest frequency.
    """
    length, hop = audio.shape[1], frame_len // 4
    signal = tf.transpose(audio, [0, 2, 1])
    margin = frame_len - hop
    signal = tf.pad(
        signal, [[0, 0], [0, 0], [margin // 2, margin - margin // 2]]
    )
    spectra = tf.signal.stft(signal, frame_len, hop)[..., : frame_len // 2]
    spectra = tf.ensure_shape(
        spectra,
        [audio.shape[0], audio.shape[2], length // hop, frame_len // 2],
    )
    power = tf.math.real(spectra) ** 2 + tf.math.imag(spectra) ** 2
    return tf.transpose(tf.math.log(power + FLOOR**2) / 8, [0, 2, 3, 1])


def frame_len(network: keras.Model) -> int:
    """Returns the window length, in samples, of a network's spectrograms."""
    return 2 * network.inputs[0].shape[2]


def build_beside(
    discriminator: keras.Model, count: int, dim: int
) -> list[keras.Model]:
    """Builds discriminators of spectrograms for a discriminator of audio.

    Args:
      discriminator: Discriminator of audio, `[batch, time, channels]`, with or
        without labels.
      count: Number of discriminators to build, with windows of FRAME_LENS in
        this order.
      dim: Number of channels of their first layers.

    Raises:
      SettingError: `discriminator` takes no audio, or too short clips.
    """
    _, *shape = discriminator.inputs[0].shape
    if count and len(shape) != 2:
        raise settings.SettingError(
            "spectral_critics", count, "0 for networks that learn spectrograms"
        )
    return [
        build(
            frame_len,
            slice_len=shape[0],
            channels=shape[1],
            dim=dim,
            num_labels=dcgan.num_labels(discriminator),
        )
        for frame_len in FRAME_LENS[:count]
    ]


def build(
    frame_len: int,
    *,
    slice_len: int,
    channels: int,
    dim: int,
    num_labels: int,
) -> keras.Model:
    """Builds a discriminator of spectrograms.

    It has four 4 x 4 convolutions with strides of 2 x 2; the first has `dim`
    channels, and each has twice as many as the one before.

    Args:
      frame_len: Window length of the spectrograms in samples, see
        `to_log_magnitude`.
      slice_len: Number of samples of the audio.
      channels: Number of channels of the audio.
      dim: Number of channels of the first layer.
      num_labels: Number of labels; 0: the model takes no labels.

    Returns:
      Model from spectrograms, or with labels `[spectrogram, label]`, to raw
      scores, `[batch]`.

    Raises:
      SettingError: The audio is too short for one frame.
    """
    if slice_len < frame_len // 4:
        raise settings.SettingError(
            "slice_len",
            slice_len,
            f"{frame_len // 4} or more for spectrograms with windows of "
            f"{frame_len} samples",
        )
    shape = (4 * slice_len // frame_len, frame_len // 2, channels)
    spectrogram = keras.Input(shape, name="spectrogram")
    x = spectrogram
    for i in range(NUM_LAYERS):
        x = keras.layers.Conv2D(
            dim * 2**i, KERNEL_SIZE, strides=2, padding="same", name=f"conv_{i}"
        )(x)
        x = leaky_relu.LeakyReLU(negative_slope=0.2)(x)
    x = keras.layers.Flatten()(x)
    label = dcgan.label_input() if num_labels else None
    score = dcgan.score(x, label, num_labels)
    inputs = spectrogram if label is None else [spectrogram, label]
    return keras.Model(inputs, score, name=NAME.format(frame_len))
