"""Discriminators that look at log-magnitude spectrograms of the audio.

A waveform's discriminator is slow to learn which frequencies are there; one
that sees a spectrogram is told. It stands beside the waveform's, never in its
place: it does not see phases.

Source: Kong et al. (2020), HiFi-GAN, and Jang et al. (2021), UnivNet, for
discriminators of several resolutions.
"""

import keras
import tensorflow as tf

from networks import dcgan, fast_conv

FLOOR = 1e-2  # of the magnitudes: about that of noise at -60 dB
FRAME_LENS = (256, 512, 128)  # samples, in the order of use
KERNEL_SIZE = 4
NUM_LAYERS = 4
MAX_CRITICS = len(FRAME_LENS)


def to_log_magnitude(audio: tf.Tensor, frame_len: int) -> tf.Tensor:
    """Returns log-magnitudes of a short-time Fourier transform.

    Args:
      audio: `[batch, time, channels]`.
      frame_len: Samples of the Hann window; frames begin every quarter of it.

    Returns:
      `[batch, 4 * time / frame_len, frame_len / 2, channels]`, about -1.2 in
      silence and 1 where it is loud; the highest frequency is left out.
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
    """Returns the window of the spectrograms that a network takes."""
    return 2 * network.inputs[0].shape[2]


def build_beside(
    discriminator: keras.Model, count: int, dim: int
) -> list[keras.Model]:
    """Builds discriminators of spectrograms for the audio of another one.

    Args:
      discriminator: Takes audio, `[batch, time, channels]`, maybe with labels.
      count: How many to build, of windows in the order of FRAME_LENS.
      dim: Channels of their first layers.

    Raises:
      ValueError: The other discriminator takes no audio, or too little of it.
    """
    _, *shape = discriminator.inputs[0].shape
    if count and len(shape) != 2:
        raise ValueError(
            f"spectral_critics is {count}: expected 0 for networks that learn "
            "spectrograms"
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

    It has four convolutions of 4 x 4 with strides of 2 x 2, `dim` channels in
    the first and twice as many in each of the next.

    Args:
      frame_len: Of the spectrograms, see `to_log_magnitude`.
      slice_len: Samples of the audio.
      channels: Of the audio.
      dim: Channels of the first layer.
      num_labels: Classes of clips; 0: none.

    Returns:
      A model from spectrograms, or with labels `[spectrogram, label]`, to raw
      scores, `[batch]`.

    Raises:
      ValueError: The audio is too short for one frame.
    """
    if slice_len < frame_len // 4:
        raise ValueError(
            f"slice_len is {slice_len}: expected {frame_len // 4} or more for "
            f"spectrograms with windows of {frame_len} samples"
        )
    shape = (4 * slice_len // frame_len, frame_len // 2, channels)
    spectrogram = keras.Input(shape, name="spectrogram")
    x = spectrogram
    for i in range(NUM_LAYERS):
        x = keras.layers.Conv2D(
            dim * 2**i, KERNEL_SIZE, strides=2, padding="same", name=f"conv_{i}"
        )(x)
        x = fast_conv.LeakyReLU(negative_slope=0.2)(x)
    x = keras.layers.Flatten()(x)
    label = dcgan.label_input() if num_labels else None
    score = dcgan.score(x, label, num_labels)
    inputs = spectrogram if label is None else [spectrogram, label]
    return keras.Model(inputs, score, name=f"spectral_critic_{frame_len}")
