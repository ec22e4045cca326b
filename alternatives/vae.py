"""Defines the VAE, an autoencoder whose codes are normally distributed.

An encoder maps each clip to a normal distribution of latent vectors; a decoder
reconstructs the clip from a vector drawn from it. The Kullback-Leibler
divergence pulls all these distributions towards one standard normal
distribution, so that the decoder also makes clips of vectors drawn from that.

The networks are WaveGAN's: the generator is the decoder, and the discriminator
without its last layer is the encoder.

Source: Kingma and Welling (2014), "Auto-Encoding Variational Bayes".
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

import wavegan
from alternatives import autoencoder
from networks import audio_model, critics
from system import settings
from system.settings import setting


@dataclasses.dataclass(frozen=True)
class VAEConfig(autoencoder.Config):
    """The settings of encoder, decoder and loss.

    Raises:
      SettingError: A setting is out of its range.
    """

    kl_weight: float = setting(
        3e-3,
        "Weight of the Kullback-Leibler divergence, in nats; the larger it is, "
        "the more alike are reconstructions and generated clips, and the more "
        "blurred.",
        flag="*_kl_weight",
        low=0,
    )
    kl_warmup: int = setting(
        1000,
        "Number of training steps over which that weight rises linearly from "
        "0.",
        flag="*_kl_warmup",
        low=0,
    )

    def __post_init__(self) -> None:
        """Checks all settings, and the size of the networks."""
        settings.check(self)
        self.wavegan_config  # noqa: B018 - checks what depends on several fields

    @property
    def wavegan_config(self) -> wavegan.WaveGANConfig:
        """The settings of the WaveGAN whose networks are used."""
        names = ("slice_len", "channels", "latent_dim", "num_labels")
        return wavegan.WaveGANConfig(
            **{name: getattr(self, name) for name in names},
            kernel_len=self.kernel_len,
            dim=self.dim,
            batchnorm=True,
            phaseshuffle=0,
        )


def build_encoder(config: VAEConfig) -> keras.Model:
    """Builds the encoder.

    Args:
      config: Architecture of the network.

    Returns:
      Model from audio, `[batch, slice_len, channels]`, to mean and natural
      logarithm of the variance of each latent number, both `[batch,
      latent_dim]`.
    """
    networks = config.wavegan_config
    audio = keras.Input((config.slice_len, config.channels), name="audio")
    x = autoencoder.encode(
        audio, networks.widths, networks.strides, config.kernel_len
    )
    x = keras.layers.Flatten()(x)
    outputs = [
        keras.layers.Dense(config.latent_dim, name=name)(x)
        for name in ("mean", "log_variance")
    ]
    return keras.Model(audio, outputs, name="encoder")


def kl_divergence(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Computes the divergence of normal distributions from the standard one.

    Args:
      mean: Mean of each number, `[batch, latent_dim]`.
      log_variance: Natural logarithm of its variance, of the same shape.

    Returns:
      Kullback-Leibler divergence in nats, summed over the numbers, `[batch]`.

    Source: Kingma and Welling (2014), appendix B.
    """
    terms = mean**2 + tf.exp(log_variance) - 1 - log_variance
    return tf.reduce_sum(terms, axis=1) / 2


def reparametrise(
    mean: tf.Tensor, log_variance: tf.Tensor, uniform: tf.Tensor
) -> tf.Tensor:
    """Draws from normal distributions, with gradients for their moments.

    Args:
      mean: Mean of each number, `[batch, latent_dim]`.
      log_variance: Natural logarithm of its variance, of the same shape.
      uniform: Numbers uniform in [-1, 1), of the same shape.

    Source: Kingma and Welling (2014), section 2.4.
    """
    return mean + tf.exp(log_variance / 2) * audio_model.to_normal(uniform)


class VAE(autoencoder.Autoencoder):
    """A variational autoencoder of audio.

    Args:
      config: Settings of the networks and the loss.
      ema_decay: Decay of the running average of the decoder's weights; 0: no
        average.
      seed: Seed of all random draws.

    Source: Kingma and Welling (2014); Higgins et al. (2017), "beta-VAE", for
    the weight of the divergence; Bowman et al. (2016), "Generating Sentences
    from a Continuous Space", for its slow start.
    """

    def __init__(
        self, config: VAEConfig, *, ema_decay: float = 0.0, seed: int = 0
    ) -> None:
        networks = {
            "generator": wavegan.build_generator(config.wavegan_config),
            "encoder": build_encoder(config),
        }
        super().__init__(networks, config, ema_decay=ema_decay, seed=seed)
        self.settings = config

    def losses(
        self, clips: tf.Tensor, label: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """Computes the negative evidence lower bound, with a weighted KL term.

        Args:
          clips: Audio, `[batch, slice_len, channels]`.
          label: Label of each clip, int32, `[batch]`; None without labels.

        Returns:
          `loss`, `reconstruction` (see `autoencoder.distance`) and `kl` (in
          nats), each `[]`.
        """
        mean, log_variance = self.networks["encoder"](clips, training=True)
        uniform = self._draws.z(
            critics.num_rows(clips), self.latent_dim, self.step
        )
        vectors = reparametrise(mean, log_variance, uniform)
        made = self.networks["generator"](
            audio_model.with_label(vectors, label), training=True
        )
        reconstruction = autoencoder.distance(
            clips, made, self.settings.waveform_weight
        )
        kl = tf.reduce_mean(kl_divergence(mean, log_variance))
        return {
            "loss": reconstruction + self.kl_weight() * kl,
            "reconstruction": reconstruction,
            "kl": kl,
        }

    def kl_weight(self) -> tf.Tensor:
        """Returns the weight of the divergence in the coming step, `[]`."""
        share = tf.cast(self.step + 1, tf.float32) / max(
            self.settings.kl_warmup, 1
        )
        return self.settings.kl_weight * tf.minimum(share, 1.0)

    def generate_by(
        self, networks: audio_model.Networks, z: Any, label: Any = None
    ) -> Any:
        """Decodes normally distributed vectors, made from uniform ones.

        Args:
          networks: The decoder, as "generator".
          z: Vectors uniform in [-1, 1), `[batch, latent_dim]`.
          label: Label of each clip, `[batch]`; None without labels.

        Returns:
          Audio, `[batch, slice_len, channels]`.
        """
        return super().generate_by(networks, audio_model.to_normal(z), label)
