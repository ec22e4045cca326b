"""SpecGAN's two networks: DCGAN, one layer deeper, on pictures of sound.

Kernels of 5x5 with strides of 2x2 make 128x128 out of 4x4. WaveGAN is the same
network in one dimension, with as many weights. The pictures, and the way from
and to audio, are those of `spectral`.

Source: section 4 and appendix D of the paper (tables 5 and 6).
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

import gan
import phaseshuffle
from networks import augmentation, dcgan, spectrogram_keras, upsampling
from networks import spectrogram as spectrogram_lib

FIRST_SIZE = 4  # frames, and bins, of the generator's first feature map
NUM_LAYERS = 5  # with strides, in each network


@dataclasses.dataclass(frozen=True)
class SpecGANConfig:
    """The shape of both networks; the defaults are the paper's.

    Attributes:
      slice_len: Samples of the audio: 16384, which makes 128x128.
      channels: Audio channels: 1.
      latent_dim: Size of the latent vector z.
      kernel_len: Taps of every (transposed) convolution, along both axes.
      dim: Channels of the critic's first layer; they double layer by layer.
      batchnorm: Normalise the batch between layers, as DCGAN does.
      upsample: How the generator's layers grow: by zeros between the pixels (a
        transposed convolution), or by nearest neighbour, linear or cubic
        interpolation before a convolution.
      phaseshuffle: Radius of phase shuffle in the critic, along time, in steps;
        0: none. Table 1 has 0 and 1.
      dropout: Share of the critic's feature maps to drop.
      iterations: Of Griffin and Lim's, from spectrogram to sound.
      num_labels: Classes of clips, one of which both networks are told with
        each clip; 0: none, as in the paper.

    Raises:
      ValueError: A field is out of its range.
    """

    slice_len: int = spectrogram_lib.SLICE_LEN
    channels: int = 1
    latent_dim: int = 100
    kernel_len: int = 5
    dim: int = 64
    batchnorm: bool = False
    upsample: str = "zeros"
    phaseshuffle: int = 0
    dropout: float = 0.0
    iterations: int = 16
    num_labels: int = 0

    def __post_init__(self) -> None:
        """Checks every field."""
        for name, only in (
            ("slice_len", spectrogram_lib.SLICE_LEN),
            ("channels", 1),
        ):
            if getattr(self, name) != only:
                raise ValueError(
                    f"{name} is {getattr(self, name)}: expected {only}, the "
                    "only one that SpecGAN makes"
                )
        spectrogram_lib.check_iterations(self.iterations)
        # The shuffled map behind the last but one layer is the shortest.
        shortest = 2 * FIRST_SIZE
        dcgan.check(self, FIRST_SIZE**2, self.kernel_len**2, shortest)

    @property
    def widths(self) -> tuple[int, ...]:
        """Output channels of the critic's strided layers, in order of use."""
        return tuple(self.dim * 2**i for i in range(NUM_LAYERS))


def build_generator(config: SpecGANConfig) -> keras.Model:
    """Builds the generator G.

    Args:
      config: The shape of the network.

    Returns:
      A model from latent vectors z, `[batch, latent_dim]`, to spectrograms in
      [-1, 1], `[batch, 128, 128, 1]`: time, frequency, channel. With labels it
      takes `[z, label]`, where label is int32, `[batch]`.

    Source: table 5 of the paper.
    """
    inputs, x = dcgan.generate(
        config,
        (FIRST_SIZE, FIRST_SIZE),
        lambda x, width, i: _upconv(x, width, i, config),
    )
    return keras.Model(inputs, x, name="generator")


def build_discriminator(config: SpecGANConfig) -> keras.Model:
    """Builds the discriminator D, the critic of WGAN-GP.

    Phase shuffle and dropout act when it is called with `training=True`.

    Args:
      config: The shape of the network.

    Returns:
      A model from spectrograms, `[batch, 128, 128, 1]`, to raw scores,
      `[batch]`; higher is more real. With labels it takes `[spectrogram,
      label]` and scores "real and of this label".

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
        lambda x, width, i: keras.layers.Conv2D(
            width,
            config.kernel_len,
            strides=2,
            padding="same",
            name=f"downconv_{i}",
        )(x),
        lambda x: _shuffle(x, config.phaseshuffle),
    )
    return keras.Model(inputs, score, name="discriminator")


def _shuffle(x: Any, radius: int) -> Any:
    """Shuffles along time alone: bins and channels move together."""
    time, *rest = x.shape[1:]
    x = keras.layers.Reshape((time, rest[0] * rest[1]))(x)
    x = phaseshuffle.PhaseShuffle(radius)(x)
    return keras.layers.Reshape((time, *rest))(x)


def _upconv(x: Any, width: int, i: int, config: SpecGANConfig) -> Any:
    """Layer i of the generator: twice the size, `width` channels."""
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
    """A GAN whose networks exchange spectrograms; the world hears audio.

    Args:
      *networks: Generator and discriminator, as those of this module.
      moments: Of the audio that it learns from.
      iterations: Of Griffin and Lim's, from spectrogram to audio.
      **settings: Of `gan.GAN`.

    Raises:
      ValueError: A number is out of its range.

    Source: section 4 of the paper.
    """

    def __init__(
        self,
        *networks: keras.Model,
        moments: spectrogram_lib.Moments,
        iterations: int = 16,
        **settings: Any,
    ) -> None:
        super().__init__(*networks, **settings)
        spectrogram_lib.check_iterations(iterations)
        augmentation.check(self.augment, augmentation.SPECTROGRAM_KINDS)
        self.moments = moments
        self.iterations = iterations

    def from_audio(self, audio: tf.Tensor) -> tf.Tensor:
        """Normalised log-magnitudes, `[batch, 128, 128, 1]`."""
        return spectrogram_lib.to_spectrogram(audio, self.moments)

    def to_audio(self, examples: tf.Tensor) -> tf.Tensor:
        """Samples, `[batch, 16384, 1]`."""
        return spectrogram_lib.to_audio(examples, self.moments, self.iterations)

    def augment_examples(
        self, examples: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """Changes spectrograms at random, as if their sound were changed."""
        return augmentation.augment_spectrogram(
            examples, self.augment, self.moments, seed
        )

    def stock_audio(self, examples: Any) -> Any:
        """The same, symbolic, by stock Keras layers alone."""
        return spectrogram_keras.to_audio(
            examples, self.moments, self.iterations
        )
