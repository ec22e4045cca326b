"""Defines what autoencoders share: networks, distance of clips, training."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from networks import (
    audio_model,
    fast_conv,
    leaky_relu,
    replicas,
)
from networks import random as random_lib
from system import settings
from system.settings import setting

FRAME_LENS = (256, 512, 1024)  # samples; the distance looks at all three
FLOOR = 3e-3  # of magnitudes: that of noise at -50 dB
# Lengths of clips that have a frame of each.
SLICE_LENS = tuple(2**k for k in range(8, 21))


@dataclasses.dataclass(frozen=True)
class Config(audio_model.Config):
    """The settings that all autoencoders share."""

    slice_len: int = setting(
        16384,
        "Number of samples of a clip: a power of two from 256 to 1048576.",
        flag="data_slice_len",
        choices=SLICE_LENS,
    )
    channels: int = setting(
        1, "Number of audio channels.", flag="data_num_channels", low=1
    )
    kernel_len: int = setting(
        25,
        "Number of taps of every strided (transposed) convolution.",
        flag="*_kernel_len",
        low=1,
    )
    dim: int = setting(
        16,
        "Number of channels of the encoder's first layer; it doubles with each "
        "layer.",
        flag="*_dim",
        low=1,
    )
    waveform_weight: float = setting(
        1.0,
        "Weight of the difference of samples in the reconstruction loss; that "
        "of spectrograms has a weight of 1.",
        flag="*_waveform_weight",
        low=0,
    )

    @property
    def size(self) -> str:
        """Describes the size of the networks in a few words."""
        return f"dim {self.dim}"


def encode(
    audio: Any, widths: Sequence[int], strides: Sequence[int], kernel_len: int
) -> Any:
    """Builds the strided convolutions of an encoder.

    They are those of WaveGAN's discriminator, without phase shuffle and with
    batch normalisation.

    Args:
      audio: Symbolic audio, `[batch, time, channels]`.
      widths: Number of output channels of each layer.
      strides: Stride of each layer.
      kernel_len: Number of taps of each layer.

    Returns:
      Feature maps, `[batch, time / product of the strides, widths[-1]]`.
    """
    x = audio
    for i, (width, stride) in enumerate(zip(widths, strides, strict=True)):
        x = fast_conv.StridedConv1D(
            width,
            kernel_len,
            strides=stride,
            padding="same",
            name=f"downconv_{i}",
        )(x)
        x = normalise(x, f"batchnorm_{i}")
        x = leaky_relu.LeakyReLU(negative_slope=0.2)(x)
    return x


def normalise(x: Any, name: str) -> Any:
    """Applies batch normalisation, over the batches of all devices.

    Without it, deep networks start with faint activations; decoders then ignore
    their input, and stay silent.

    Args:
      x: Feature maps, `[batch, time, channels]`.
      name: Name of the layer.
    """
    return keras.layers.BatchNormalization(
        synchronized=replicas.count() > 1, name=name
    )(x)


def magnitude(audio: tf.Tensor, frame_len: int) -> tf.Tensor:
    """Computes magnitudes of a short-time Fourier transform.

    Args:
      audio: Audio, `[batch, time, channels]`.
      frame_len: Number of samples of the Hann window; the hop is half of it.

    Returns:
      Magnitudes, `[batch, channels, frames, frame_len / 2 + 1]`. White noise of
      standard deviation s has magnitudes of about s. A constant under the root
      gives them a slope at silence.
    """
    signal = tf.transpose(audio, [0, 2, 1])
    spectra = tf.signal.stft(signal, frame_len, frame_len // 2, pad_end=True)
    power = tf.math.real(spectra) ** 2 + tf.math.imag(spectra) ** 2
    power /= 3 / 8 * frame_len  # sum of the squares of the window
    return tf.sqrt(power + 1e-12)


def distance(
    real: tf.Tensor, made: tf.Tensor, waveform_weight: float
) -> tf.Tensor:
    """Measures how much two batches of clips differ.

    Spectrograms of three resolutions compare what is heard: the logarithms of
    magnitudes look at soft and loud sounds alike, the magnitudes themselves at
    the loud ones, without which blurred speech would be too soft. Samples
    compare the phases as well, without which the waveform would be left open.

    Args:
      real: Audio, `[batch, time, channels]`.
      made: Audio of the same shape.
      waveform_weight: Weight of the samples.

    Returns:
      Mean absolute difference of the log-magnitudes, plus that of the
      magnitudes relative to their mean on all devices, plus the weight times
      that of the samples, `[]`. Up to constants it is the negative
      log-likelihood of Laplace distributions.

    Source: Yamamoto et al. (2020), "Parallel WaveGAN", section 2.2, for
    spectrograms of several resolutions, and both differences.
    """
    differences = []
    for frame_len in FRAME_LENS:
        a, b = magnitude(real, frame_len), magnitude(made, frame_len)
        logs = tf.math.log(a + FLOOR) - tf.math.log(b + FLOOR)
        (scale,) = replicas.mean([tf.reduce_mean(a + 1e-4)])
        relative = tf.reduce_mean(tf.abs(a - b)) / scale
        differences.append(tf.reduce_mean(tf.abs(logs)) + relative)
    samples = tf.reduce_mean(tf.abs(real - made))
    return tf.add_n(differences) / len(FRAME_LENS) + waveform_weight * samples


class Autoencoder(audio_model.AudioModel):
    """Networks that one optimizer trains to reconstruct their input.

    A subclass has `losses`.

    Args:
      networks: The networks by name. Those of `generating` are averaged.
      config: Settings of the networks.
      ema_decay: Decay of the running average of the generating networks'
        weights; 0: no average.
      seed: Seed of all random draws.

    Raises:
      SettingError: `ema_decay` is out of its range.
    """

    LEARNING_RATE = 1e-3  # unless another one is asked for

    def __init__(
        self,
        networks: Mapping[str, keras.Model],
        config: audio_model.Config,
        *,
        ema_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            latent_dim=config.latent_dim,
            num_labels=config.num_labels,
            seed=seed,
        )
        settings.check_value("ema_decay", ema_decay, low=0, below=1)
        self._networks = dict(networks)
        self._ema_decay = ema_decay
        self._averages = {}
        if ema_decay:
            self._averages = {
                name: audio_model.average_of(networks[name])
                for name in self.generating
            }
        self._draws = random_lib.Draws(self.seed, *networks.values())

    @property
    def networks(self) -> dict[str, keras.Model]:
        """All networks by name."""
        return dict(self._networks)

    @property
    def averages(self) -> dict[str, keras.Model]:
        """The averaged networks by name, if there are any."""
        return dict(self._averages)

    @property
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """The optimizer of all networks."""
        return {"optimizer": self.optimizer}

    def compile(
        self, jit_compile: bool = False, learning_rate: float | None = None
    ) -> None:
        """Makes the optimizer, Adam.

        Args:
          jit_compile: Whether XLA compiles the training step.
          learning_rate: Learning rate; None: `LEARNING_RATE`.
        """
        optimizer = keras.optimizers.Adam(learning_rate or self.LEARNING_RATE)
        optimizer.build(self._learned)
        super().compile(optimizer=optimizer, jit_compile=jit_compile)

    def losses(
        self, clips: tf.Tensor, label: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """Computes the losses of a batch.

        Args:
          clips: Audio, `[batch, slice_len, channels]`.
          label: Label of each clip, int32, `[batch]`; None without labels.

        Returns:
          Numbers by name, each `[]`; "loss" is what the optimizer minimises.
        """
        raise NotImplementedError

    def train_step(self, batches: Any) -> dict[str, tf.Tensor]:
        """Updates all networks once.

        Args:
          batches: Real audio, `[1, batch, slice_len, channels]`; with labels,
            audio and labels, int32, `[1, batch]`.

        Returns:
          What `losses` returns, computed before the update.

        Raises:
          ValueError: `batches` has another number of dimensions.
        """
        audio, labels = batches if self.num_labels else (batches, None)
        if len(audio.shape) != 4:
            raise ValueError(
                f"the shape of batches is {audio.shape}: expected [1, batch, "
                "slice_len, channels], as after dataset.batch(batch_size)"
                ".batch(1)"
            )
        label = None if labels is None else labels[0]
        variables = self._learned
        with tf.GradientTape() as tape:
            losses = self.losses(audio[0], label)
        gradients = tape.gradient(losses["loss"], variables)
        losses["loss"] = replicas.apply_gradients(
            self.optimizer, losses["loss"], gradients, variables
        )
        for name, average in self._averages.items():
            audio_model.update_average(
                average, self._networks[name], self._ema_decay, self.step
            )
        means = replicas.mean(list(losses.values()))
        losses = dict(zip(losses, means, strict=True))
        self.note_nonfinite(losses["loss"])
        self.step.assign_add(1)
        return losses

    @property
    def _learned(self) -> list[keras.Variable]:
        """The variables that the optimizer updates."""
        return [
            variable
            for network in self._networks.values()
            for variable in network.trainable_variables
        ]
