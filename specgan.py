"""SpecGAN's two networks: DCGAN, one layer deeper, on pictures of sound.

Kernels of 5x5 with strides of 2x2 make 128x128 out of 4x4. WaveGAN is the same
network in one dimension, with as many weights. The pictures, and the way from
and to audio, are those of `spectral`.

Source: section 4 and appendix D of the paper (tables 5 and 6).
"""

import dataclasses
import itertools
from typing import Any

import keras

import layers
import norms as norms_lib
import phaseshuffle
import spectral
import upsampling
import wavegan

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

    Raises:
      ValueError: A field is out of its range.
    """

    slice_len: int = spectral.SLICE_LEN
    channels: int = 1
    latent_dim: int = 100
    kernel_len: int = 5
    dim: int = 64
    batchnorm: bool = False
    upsample: str = "zeros"
    phaseshuffle: int = 0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Checks every field."""
        for name, only in (("slice_len", spectral.SLICE_LEN), ("channels", 1)):
            if getattr(self, name) != only:
                raise ValueError(
                    f"{name} is {getattr(self, name)}: expected {only}, the "
                    "only one that SpecGAN makes"
                )
        for name in ("latent_dim", "kernel_len", "dim"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)}: expected at least 1"
                )
        if self.upsample not in upsampling.KINDS:
            raise ValueError(
                f"upsample is {self.upsample!r}: expected one of "
                + ", ".join(upsampling.KINDS)
            )
        # The shuffled map behind the last but one layer is the shortest.
        if not 0 <= self.phaseshuffle < 2 * FIRST_SIZE:
            raise ValueError(
                f"phaseshuffle is {self.phaseshuffle}: expected 0 (none) to "
                f"{2 * FIRST_SIZE - 1}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"dropout is {self.dropout}: expected 0 to below 1"
            )
        # A stranger's config must not take all memory.
        widths = (self.channels, *self.widths)
        num_weights = FIRST_SIZE**2 * widths[-1] * self.latent_dim + sum(
            self.kernel_len**2 * first * second
            for first, second in itertools.pairwise(widths)
        )
        if num_weights > wavegan.MAX_WEIGHTS:
            raise ValueError(
                f"dim is {self.dim}: with the other settings, a network would "
                f"have {num_weights:,} weights, more than "
                f"{wavegan.MAX_WEIGHTS:,}"
            )

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
      [-1, 1], `[batch, 128, 128, 1]`: time, frequency, channel.

    Source: table 5 of the paper.
    """
    norms = norms_lib.BatchNorms(
        config.batchnorm, keras.layers.BatchNormalization
    )
    widths = config.widths[::-1]
    first_shape = (FIRST_SIZE, FIRST_SIZE, widths[0])
    z = keras.Input((config.latent_dim,), name="z")
    x = keras.layers.Dense(FIRST_SIZE**2 * widths[0], name="z_project")(z)
    x = keras.layers.Reshape(first_shape)(x)
    x = keras.layers.ReLU()(norms(x))
    outputs = (*widths[1:], config.channels)
    for i, width in enumerate(outputs):
        x = _upconv(x, width, config, name=f"upconv_{i}")
        if i < len(outputs) - 1:
            x = keras.layers.ReLU()(norms(x))
    # What leaves a network is float32 in every precision.
    x = keras.layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(z, x, name="generator")


def build_discriminator(config: SpecGANConfig) -> keras.Model:
    """Builds the discriminator D, the critic of WGAN-GP.

    Phase shuffle and dropout act when it is called with `training=True`.

    Args:
      config: The shape of the network.

    Returns:
      A model from spectrograms, `[batch, 128, 128, 1]`, to raw scores,
      `[batch]`; higher is more real.

    Source: table 6 of the paper.
    """
    norms = norms_lib.BatchNorms(
        config.batchnorm, norms_lib.BatchOnlyNormalization
    )
    shape = (spectral.NUM_FRAMES, spectral.NUM_BINS, config.channels)
    spectrogram = x = keras.Input(shape, name="spectrogram")
    for i, width in enumerate(config.widths):
        x = keras.layers.Conv2D(
            width,
            config.kernel_len,
            strides=2,
            padding="same",
            name=f"downconv_{i}",
        )(x)
        if i > 0:
            x = norms(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        if config.dropout:
            # One mask for all pixels of a map, as in WaveGAN.
            x = keras.layers.SpatialDropout2D(config.dropout)(x)
        if config.phaseshuffle and i < NUM_LAYERS - 1:
            # Along time alone: bins and channels move together.
            time, *rest = x.shape[1:]
            x = keras.layers.Reshape((time, rest[0] * rest[1]))(x)
            x = phaseshuffle.PhaseShuffle(config.phaseshuffle)(x)
            x = keras.layers.Reshape((time, *rest))(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(1, dtype="float32", name="output")(x)
    score = keras.layers.Reshape((), dtype="float32")(x)
    return keras.Model(spectrogram, score, name="discriminator")


def _upconv(x: Any, width: int, config: SpecGANConfig, name: str) -> Any:
    """One layer of the generator: twice the size, `width` channels."""
    if config.upsample == "zeros":
        return keras.layers.Conv2DTranspose(
            width, config.kernel_len, strides=2, padding="same", name=name
        )(x)
    x = upsampling.Interpolate2D(2, config.upsample)(x)
    return keras.layers.Conv2D(
        width, config.kernel_len, padding="same", name=name
    )(x)
