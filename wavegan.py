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
from system import settings
from system.settings import setting

FIRST_LEN = 16  # time steps of the generator's first feature map
SLICE_LENS = tuple(2**k for k in range(6, 21))


@dataclasses.dataclass(frozen=True)
class WaveGANConfig(dcgan.Config):
    """The architecture of both networks; the defaults are the paper's.

    Raises:
      SettingError: A setting is out of its range.
    """

    slice_len: int = setting(
        16384,
        "Number of samples that the generator makes: a power of two from 64 to "
        "1048576.",
        flag="data_slice_len",
        choices=SLICE_LENS,
    )
    channels: int = setting(
        1, "Number of audio channels.", flag="data_num_channels", low=1
    )
    kernel_len: int = setting(
        25,
        "Number of taps of every (transposed) convolution.",
        flag="*_kernel_len",
        low=1,
    )
    phaseshuffle: int = setting(
        2,
        "Radius of phase shuffle in the discriminator, in time steps; 0: no "
        "phase shuffle.",
        flag="*_disc_phaseshuffle",
        low=0,
    )
    phaseshuffle_per_example: bool = setting(
        False,
        "Draw one shift of phase shuffle for each example; the authors' code "
        "draws one for each batch.",
        flag="*_disc_phaseshuffle_per_example",
    )
    post_filter_len: int = setting(
        0,
        "Number of taps of the filter after the generator's tanh that "
        "--wavegan_genr_pp adds; 0: no filter.",
        flag="*_genr_pp_len",
        switch=settings.Switch(
            "*_genr_pp", "Learn a filter after the generator's tanh.", on=512
        ),
        low=0,
    )
    fade_len: int = setting(
        0,
        "Number of samples at the end of the generator's output that fade to "
        "silence, for data whose clips end in silence; 0: no fade, as in the "
        "paper.",
        flag="*_genr_fade_len",
        low=0,
    )

    def __post_init__(self) -> None:
        """Checks all settings."""
        settings.check(self)
        # The shortest map that is shuffled follows the last but one layer.
        shortest = FIRST_LEN * self.strides[-1]
        self.check(FIRST_LEN, self.kernel_len, shortest)
        settings.check_value(
            "fade_len", self.fade_len, low=0, high=self.slice_len
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
        return x * self.gain(x.shape[1])

    def gain(self, time: int) -> np.ndarray:
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
