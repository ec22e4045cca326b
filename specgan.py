"""Builds SpecGAN's two networks: DCGAN, one layer deeper, for spectrograms.

Kernels of 5x5 with strides of 2x2 enlarge 4x4 positions to 128x128. WaveGAN is
the same network in one dimension, with the same number of weights.
`networks.spectrogram` converts audio to spectrograms and back.

Source: section 4 and appendix D of the paper (tables 5 and 6).
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

import gan
import phaseshuffle
from networks import augmentation, dcgan, upsampling
from networks import spectrogram as spectrogram_lib
from system import settings
from system.settings import setting

FIRST_SIZE = 4  # frames, and bins, of the generator's first feature map
NUM_LAYERS = 5  # strided layers in each network


@dataclasses.dataclass(frozen=True)
class SpecGANConfig(dcgan.Config):
    """The architecture of both networks; the defaults are the paper's.

    Raises:
      SettingError: A setting is out of its range.
    """

    slice_len: int = setting(
        spectrogram_lib.SLICE_LEN,
        "Number of samples of a clip, which give spectrograms of 128x128.",
        choices=(spectrogram_lib.SLICE_LEN,),
    )
    channels: int = setting(1, "Number of audio channels.", choices=(1,))
    kernel_len: int = setting(
        5,
        "Number of taps of every (transposed) convolution along each of its "
        "two axes.",
        flag="*_kernel_len",
        low=1,
    )
    phaseshuffle: int = setting(
        0,
        "Radius of phase shuffle in the discriminator, along time, in time "
        "steps; 0: no phase shuffle. Table 1 has 0 and 1.",
        flag="*_disc_phaseshuffle",
        low=0,
    )
    iterations: int = setting(
        16,
        "Number of Griffin-Lim iterations from spectrogram to audio.",
        flag="*_ngl",
        low=0,
        resumable=True,
    )

    def __post_init__(self) -> None:
        """Checks all settings."""
        settings.check(self)
        # The shortest map that is shuffled follows the last but one layer.
        shortest = 2 * FIRST_SIZE
        self.check(FIRST_SIZE**2, self.kernel_len**2, shortest)

    @property
    def widths(self) -> tuple[int, ...]:
        """Output channels of the critic's strided layers, in order of use."""
        return tuple(self.dim * 2**i for i in range(NUM_LAYERS))


def build_generator(config: SpecGANConfig) -> keras.Model:
    """Builds the generator G.

    Args:
      config: Architecture of the network.

    Returns:
      Model from latent vectors z, `[batch, latent_dim]`, to spectrograms in
      [-1, 1], `[batch, 128, 128, 1]`: time, frequency, channel. With labels,
      its input is `[z, label]`, where label is int32, `[batch]`.

    Source: table 5 of the paper.
    """
    inputs, x = dcgan.generate(
        config,
        (FIRST_SIZE, FIRST_SIZE),
        lambda x, width, i: upconv(x, width, i, config),
    )
    return keras.Model(inputs, x, name="generator")


def build_discriminator(config: SpecGANConfig) -> keras.Model:
    """Builds the discriminator D, the critic of WGAN-GP.

    Phase shuffle and dropout are active in calls with `training=True`.

    Args:
      config: Architecture of the network.

    Returns:
      Model from spectrograms, `[batch, 128, 128, 1]`, to raw scores, `[batch]`;
      higher scores mean more real. With labels, its input is `[spectrogram,
      label]`, and it scores whether the spectrogram is real and has this label.

    Source: table 6 of the paper.
    """
    shape = (
        spectrogram_lib.NUM_FRAMES,
        spectrogram_lib.NUM_BINS,
        config.channels,
    )
    spectrogram = keras.Input(shape, name="spectrogram")
    inputs, score = dcgan.discriminate(
        config,
        spectrogram,
        lambda x, width, i: downconv(x, width, i, config),
        lambda x: _shuffle(x, config.phaseshuffle),
    )
    return keras.Model(inputs, score, name="discriminator")


def _shuffle(x: Any, radius: int) -> Any:
    """Applies phase shuffle along time: bins and channels move together."""
    time, *rest = x.shape[1:]
    x = keras.layers.Reshape((time, rest[0] * rest[1]))(x)
    x = phaseshuffle.PhaseShuffle(radius)(x)
    return keras.layers.Reshape((time, *rest))(x)


def downconv(x: Any, width: int, i: int, config: dcgan.Config) -> Any:
    """Applies layer i of the discriminator, which halves both axes."""
    return keras.layers.Conv2D(
        width,
        config.kernel_len,
        strides=2,
        padding="same",
        name=f"downconv_{i}",
    )(x)


def upconv(x: Any, width: int, i: int, config: dcgan.Config) -> Any:
    """Applies layer i of the generator, which upsamples by 2.

    Args:
      x: Feature maps, `[batch, time, bins, channels]`.
      width: Number of output channels.
      i: Index of the layer.
      config: Architecture of the network.

    Returns:
      Feature maps, `[batch, 2 * time, 2 * bins, width]`.
    """
    name = f"upconv_{i}"
    if config.upsample == "zeros":
        return keras.layers.Conv2DTranspose(
            width, config.kernel_len, strides=2, padding="same", name=name
        )(x)
    x = upsampling.Interpolate2D(2, config.upsample)(x)
    return keras.layers.Conv2D(
        width, config.kernel_len, padding="same", name=name
    )(x)


class SpecGAN(gan.GAN):
    """A GAN of spectrograms that takes and returns audio.

    Args:
      *networks: Generator and discriminator, such as those of this module.
      moments: Moments of the training data's spectrograms.
      iterations: Number of Griffin-Lim iterations from spectrogram to audio.
      **others: Arguments of `gan.GAN`.

    Raises:
      SettingError: A setting is out of its range.

    Source: section 4 of the paper.
    """

    def __init__(
        self,
        *networks: keras.Model,
        moments: spectrogram_lib.Moments,
        iterations: int = 16,
        **others: Any,
    ) -> None:
        super().__init__(*networks, **others)
        settings.check_value("iterations", iterations, low=0)
        augmentation.check(self.augment, augmentation.SPECTROGRAM_KINDS)
        self.moments = moments
        self.iterations = iterations

    def from_audio(self, audio: tf.Tensor) -> tf.Tensor:
        """Converts audio to spectrograms, `[batch, 128, 128, 1]`."""
        return spectrogram_lib.to_spectrogram(audio, self.moments)

    def to_audio(self, examples: tf.Tensor) -> tf.Tensor:
        """Converts spectrograms to audio, `[batch, 16384, 1]`."""
        return spectrogram_lib.to_audio(examples, self.moments, self.iterations)

    def augment_examples(
        self, examples: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """Changes spectrograms as if their audio were augmented at random."""
        return augmentation.augment_spectrogram(
            examples, self.augment, self.moments, seed
        )
