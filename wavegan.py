"""Builds WaveGAN's two networks: DCGAN in one dimension.

5x5 kernels become kernels of 25 taps, strides of 2x2 become 4, and an image of
128x128 pixels becomes 16384 samples.

Source: appendix D of the paper (tables 3 and 4).
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import phaseshuffle
from networks import dcgan, fast_conv, upsampling

FIRST_LEN = 16  # time steps of the generator's first feature map
SLICE_LENS = tuple(2**k for k in range(6, 21))


@dataclasses.dataclass(frozen=True)
class WaveGANConfig:
    """The architecture of both networks; the defaults are the paper's.

    Attributes:
      slice_len: Number of samples that the generator makes: a power of two from
        64 to 2**20.
      channels: Number of audio channels.
      latent_dim: Size of the latent vector z.
      kernel_len: Number of taps of every (transposed) convolution.
      dim: Number of channels of the critic's first layer; it doubles with each
        layer.
      batchnorm: Whether to use batch normalisation between layers, as DCGAN
        does.
      upsample: Upsampling of the generator's layers: "zeros" between the
        samples (a transposed convolution), or "nn" (nearest neighbour),
        "linear" or "cubic" interpolation before a convolution. Table 1 has all
        four.
      phaseshuffle: Radius of phase shuffle in the critic in time steps; 0: no
        phase shuffle.
      phaseshuffle_per_example: Whether to draw one shift for each example; the
        authors' code draws one for a batch.
      post_filter_len: Number of taps of a learned filter after the generator's
        tanh; 0: no filter; 512 in the paper.
      fade_len: Number of samples at the end of the generator's output that fade
        to silence, for data sets whose clips end in silence; 0: no fade, as in
        the paper.
      dropout: Share of the critic's feature maps to drop; 0.5 in table 1.
      num_labels: Number of labels; both networks get the label of each clip.
        0: no labels, as in the paper.

    Raises:
      ValueError: A field is out of its range.
    """

    slice_len: int = 16384
    channels: int = 1
    latent_dim: int = 100
    kernel_len: int = 25
    dim: int = 64
    batchnorm: bool = False
    upsample: str = "zeros"
    phaseshuffle: int = 2
    post_filter_len: int = 0
    dropout: float = 0.0
    phaseshuffle_per_example: bool = False
    fade_len: int = 0
    num_labels: int = 0

    def __post_init__(self) -> None:
        """Checks the range of every field."""
        if self.slice_len not in SLICE_LENS:
            choices = ", ".join(map(str, SLICE_LENS))
            raise ValueError(
                f"slice_len is {self.slice_len}: expected one of {choices}"
            )
        # The shortest map that is shuffled follows the last but one layer.
        shortest = FIRST_LEN * self.strides[-1]
        dcgan.check(self, FIRST_LEN, self.kernel_len, shortest)
        if self.post_filter_len < 0:
            raise ValueError(
                f"post_filter_len is {self.post_filter_len}: expected a number "
                "of taps, or 0 for none"
            )
        if not 0 <= self.fade_len <= self.slice_len:
            raise ValueError(
                f"fade_len is {self.fade_len}: expected 0 (none) to "
                f"{self.slice_len} samples"
            )

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the layers, of generator or critic, in order of use.

        All are 4, with a final 2 if `slice_len` needs it.
        """
        growth = self.slice_len // FIRST_LEN
        num_fours = (growth.bit_length() - 1) // 2
        return (4,) * num_fours + (2,) * (growth // 4**num_fours - 1)

    @property
    def widths(self) -> tuple[int, ...]:
        """Output channels of the critic's strided layers, in order of use."""
        return tuple(self.dim * 2**i for i in range(len(self.strides)))


def build_generator(config: WaveGANConfig) -> keras.Model:
    """Builds the generator G.

    Args:
      config: Architecture of the network.

    Returns:
      Model from latent vectors z, `[batch, latent_dim]`, to audio in [-1, 1],
      `[batch, slice_len, channels]`. (With a post filter, audio may exceed this
      range.) With labels, its input is `[z, label]`, where label is int32,
      `[batch]`.

    Source: table 3 of the paper.
    """
    inputs, x = dcgan.generate(
        config, (FIRST_LEN,), lambda x, width, i: _upconv(x, width, i, config)
    )
    if config.post_filter_len:
        # Differs from the original: one filter for each channel. The original's
        # filter combines all channels into one.
        x = keras.layers.DepthwiseConv1D(
            config.post_filter_len,
            padding="same",
            use_bias=False,
            dtype="float32",
            name="pp_filt",
        )(x)
    if config.fade_len:
        x = FadeOut(config.fade_len, dtype="float32", name="fade")(x)
    return keras.Model(inputs, x, name="generator")


def build_discriminator(config: WaveGANConfig) -> keras.Model:
    """Builds the discriminator D, the critic of WGAN-GP.

    Phase shuffle and dropout are active in calls with `training=True`.

    Args:
      config: Architecture of the network.

    Returns:
      Model from audio, `[batch, slice_len, channels]`, to raw scores,
      `[batch]`; higher scores mean more real. With labels, its input is
      `[audio, label]`, and it scores whether audio is real and has this label.

    Source: table 4 of the paper.
    """
    audio = keras.Input((config.slice_len, config.channels), name="audio")
    inputs, score = dcgan.discriminate(
        config,
        audio,
        lambda x, width, i: fast_conv.StridedConv1D(
            width,
            config.kernel_len,
            strides=config.strides[i],
            padding="same",
            name=f"downconv_{i}",
        )(x),
        lambda x: phaseshuffle.PhaseShuffle(
            config.phaseshuffle, config.phaseshuffle_per_example
        )(x),
    )
    return keras.Model(inputs, score, name="discriminator")


@keras.saving.register_keras_serializable("wavegan")
class FadeOut(keras.layers.Layer):
    """Fades a signal linearly to zero at its end.

    A transposed convolution cannot be silent there: fewer taps reach the last
    samples, so that biases that cancel elsewhere do not cancel there. The click
    is faint, and penalties on the critic's slope make it insensitive to faint
    sounds.

    Args:
      length: Length of the fade in samples.
      **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = length

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Fades a signal, `[batch, time, channels]`."""
        return x * self._gain(x.shape[1])

    def stock(self, x: Any) -> Any:
        """Computes what `call` computes, by one of Keras's own layers."""
        return keras.layers.Rescaling(self._gain(x.shape[1]).tolist())(x)

    def _gain(self, time: int) -> np.ndarray:
        """Returns the factor of each sample, `[time, 1]`."""
        gain = np.ones((time, 1), np.float32)
        gain[-self.length :, 0] = np.linspace(1, 0, self.length + 1)[1:]
        return gain

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, for `from_config`."""
        return {**super().get_config(), "length": self.length}


def _upconv(x: Any, width: int, i: int, config: WaveGANConfig) -> Any:
    """Applies layer i of the generator, which upsamples by its stride.

    Args:
      x: Feature maps, `[batch, time, channels]`.
      width: Number of output channels.
      i: Index of the layer.
      config: Architecture of the network.

    Returns:
      Feature maps, `[batch, stride * time, width]`.
    """
    stride, name = config.strides[i], f"upconv_{i}"
    if config.upsample == "zeros":
        return fast_conv.StridedConv1DTranspose(
            width, config.kernel_len, strides=stride, padding="same", name=name
        )(x)
    # Differs from the original: its code has only "zeros" and "nn".
    x = upsampling.Interpolate(stride, config.upsample)(x)
    return keras.layers.Conv1D(
        width, config.kernel_len, padding="same", name=name
    )(x)
