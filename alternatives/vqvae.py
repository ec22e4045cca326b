"""Defines the VQ-VAE, an autoencoder of discrete codes, and their prior.

An encoder turns a clip into a short sequence of vectors. Each is replaced by
the nearest vector of a learned codebook, so that numbers, the codes, describe
the clip; a decoder reconstructs it. A second network, the prior, learns which
codes follow which. To generate a clip, the prior draws its codes one by one,
and the decoder turns them into audio.

Source: van den Oord et al. (2017), "Neural Discrete Representation Learning".
"""

import dataclasses
import itertools
from typing import Any

import keras
import tensorflow as tf

import wavegan
from alternatives import autoencoder, code_prior
from networks import audio_model, dcgan, fast_conv, replicas
from system import settings
from system.settings import setting

CODE_TAPS = 5  # of the convolutions before and after the codebook
START_SHARE = 2.0  # usage of a new vector, by the usage at which it is dropped


@dataclasses.dataclass(frozen=True)
class VQVAEConfig(autoencoder.Config):
    """The settings of encoder, codebook, decoder, prior and loss.

    Raises:
      SettingError: A setting is out of its range.
    """

    latent_dim: int = setting(
        64,
        "Number of codes of a clip, a power of two from 1 to 1024; also the "
        "size of the latent vector z, which has a number for each code.",
        flag="*_latent_dim",
        choices=tuple(2**k for k in range(11)),
    )
    dim: int = setting(
        24,
        "Number of channels of the encoder's first layer; it doubles with each "
        "layer.",
        flag="*_dim",
        low=1,
    )
    codebook_size: int = setting(
        512,
        "Number of vectors of the codebook.",
        flag="*_codebook_size",
        low=2,
        high=65536,
    )
    code_dim: int = setting(
        64, "Size of these vectors.", flag="*_code_dim", low=1
    )
    prior_dim: int = setting(
        192,
        "Number of channels of the prior's layers.",
        flag="*_prior_dim",
        low=1,
    )
    codebook_decay: float = setting(
        0.99,
        "Decay of the running averages of which the codebook consists, at each "
        "step.",
        flag="*_codebook_decay",
        low=0,
        below=1,
    )
    restart_below: float = setting(
        0.1,
        "A vector of the codebook that is used less than this share of the "
        "average one starts anew, as one of the encoder's vectors.",
        flag="*_restart_below",
        low=0,
        below=1,
    )
    commitment_weight: float = setting(
        1.0,
        "Weight of the loss that keeps the encoder's vectors near those of the "
        "codebook.",
        flag="*_commitment_weight",
        low=0,
    )

    def __post_init__(self) -> None:
        """Checks all settings, and the size of the networks."""
        settings.check(self)
        if self.slice_len < 4 * self.latent_dim:
            raise settings.SettingError(
                "latent_dim",
                self.latent_dim,
                f"at most {self.slice_len // 4}, a code for four samples",
            )
        # An untrusted config must not use up all memory.
        widths = (self.channels, *self.widths)
        pairs = itertools.pairwise(widths)
        num_weights = (
            2 * self.kernel_len * sum(a * b for a, b in pairs)
            + CODE_TAPS * widths[-1] * (widths[-1] + 2 * self.code_dim)
            + self.codebook_size * (self.code_dim + 2 * self.prior_dim)
            + code_prior.TAPS * self.latent_dim.bit_length() * self.prior_dim**2
            + self.num_labels * (widths[-1] + self.prior_dim)
        )
        if num_weights > dcgan.MAX_WEIGHTS:
            raise settings.SettingError(
                "dim",
                self.dim,
                "smaller networks: with the other settings, they would have "
                f"{num_weights:,} weights, more than {dcgan.MAX_WEIGHTS:,}",
            )

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the encoder's layers, whose product is a code's length."""
        hop = self.slice_len // self.latent_dim
        return wavegan.WaveGANConfig(slice_len=wavegan.FIRST_LEN * hop).strides

    @property
    def widths(self) -> tuple[int, ...]:
        """Output channels of the encoder's strided layers, in order of use."""
        return tuple(self.dim * 2**i for i in range(len(self.strides)))


def build_encoder(config: VQVAEConfig) -> keras.Model:
    """Builds the encoder.

    Args:
      config: Architecture of the networks.

    Returns:
      Model from audio, `[batch, slice_len, channels]`, to vectors, `[batch,
      latent_dim, code_dim]`.
    """
    audio = keras.Input((config.slice_len, config.channels), name="audio")
    x = autoencoder.encode(
        audio, config.widths, config.strides, config.kernel_len
    )
    x = keras.layers.Conv1D(
        config.code_dim, CODE_TAPS, padding="same", name="to_codes"
    )(x)
    return keras.Model(audio, x, name="encoder")


def build_generator(config: VQVAEConfig) -> keras.Model:
    """Builds codebook and decoder.

    Args:
      config: Architecture of the networks.

    Returns:
      Model from codes, int32, `[batch, latent_dim]`, to audio in [-1, 1],
      `[batch, slice_len, channels]`. With labels, its input is `[codes,
      label]`. Its layer "codebook" is not trained by gradients.
    """
    codes = keras.Input((config.latent_dim,), dtype="int32", name="codes")
    x = keras.layers.Embedding(
        config.codebook_size, config.code_dim, trainable=False, name="codebook"
    )(codes)
    *outputs, width = (config.channels, *config.widths)
    x = keras.layers.Conv1D(
        width, CODE_TAPS, padding="same", name="from_codes"
    )(x)
    inputs, x = code_prior.add_label(codes, x, config.num_labels)
    x = keras.layers.ReLU()(autoencoder.normalise(x, "batchnorm_0"))
    for i, stride in enumerate(reversed(config.strides)):
        width = outputs.pop()
        x = fast_conv.StridedConv1DTranspose(
            width,
            config.kernel_len,
            strides=stride,
            padding="same",
            name=f"upconv_{i}",
        )(x)
        if outputs:
            x = autoencoder.normalise(x, f"batchnorm_{i + 1}")
            x = keras.layers.ReLU()(x)
    return keras.Model(
        inputs, keras.layers.Activation("tanh")(x), name="generator"
    )


def build_usage(config: VQVAEConfig) -> keras.Model:
    """Builds a model of how often each code is used.

    Args:
      config: Architecture of the networks.

    Returns:
      Model from codes, `[batch, latent_dim]`, to running averages of their
      shares of all codes, times the size of the codebook, `[batch, latent_dim,
      1]`; 0 before the first step.
    """
    codes = keras.Input((config.latent_dim,), dtype="int32", name="codes")
    usage = keras.layers.Embedding(
        config.codebook_size,
        1,
        embeddings_initializer="zeros",
        trainable=False,
        name="usage",
    )
    return keras.Model(codes, usage(codes), name="usage")


class VQVAE(autoencoder.Autoencoder):
    """A VQ-VAE of audio and its prior, which learn at the same time.

    Args:
      config: Settings of the networks and the loss.
      ema_decay: Decay of the running averages of codebook, decoder and prior;
        0: no averages.
      seed: Seed of all random draws.

    Source: van den Oord et al. (2017), appendix A.1 for the codebook; Dhariwal
    et al. (2020), "Jukebox", section 3, for the restarts.
    """

    LEARNING_RATE = 5e-4
    generating = ("generator", "prior")

    def __init__(
        self, config: VQVAEConfig, *, ema_decay: float = 0.0, seed: int = 0
    ) -> None:
        generator = build_generator(config)
        networks = {
            "generator": generator,
            "prior": code_prior.build(
                config.latent_dim,
                config.codebook_size,
                config.prior_dim,
                config.num_labels,
            ),
            "encoder": build_encoder(config),
            "usage": build_usage(config),
        }
        super().__init__(networks, config, ema_decay=ema_decay, seed=seed)
        self.settings = config
        self._codebook = generator.get_layer("codebook")
        self._usage = networks["usage"].get_layer("usage")
        _, *labels = generator.inputs
        self._decoder = keras.Model(
            [self._codebook.output, *labels], generator.output
        )

    def losses(
        self, clips: tf.Tensor, label: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """Computes the losses of a batch, and updates the codebook.

        Args:
          clips: Audio, `[batch, slice_len, channels]`.
          label: Label of each clip, int32, `[batch]`; None without labels.

        Returns:
          `loss`, its parts `reconstruction` (see `autoencoder.distance`),
          `commitment` (a mean square) and `prior` (cross-entropy, nats for each
          code), and `perplexity`, the number of vectors that would be used if
          all were used as often, each `[]`.

        Source: van den Oord et al. (2017), equation 3.
        """
        vectors = self.networks["encoder"](clips, training=True)
        codes = self.quantise(vectors)
        nearest = tf.gather(self._codebook.embeddings, codes)
        made = self._decoder(
            audio_model.with_label(straight_through(vectors, nearest), label),
            training=True,
        )
        logits = self.networks["prior"](
            audio_model.with_label(codes[:, :-1], label), training=True
        )
        reconstruction = autoencoder.distance(
            clips, made, self.settings.waveform_weight
        )
        commitment = tf.reduce_mean((vectors - tf.stop_gradient(nearest)) ** 2)
        prior = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(codes, logits)
        )
        shares = self._update_codebook(tf.stop_gradient(vectors), codes)
        return {
            "loss": reconstruction
            + self.settings.commitment_weight * commitment
            + prior,
            "reconstruction": reconstruction,
            "commitment": commitment,
            "prior": prior,
            "perplexity": tf.exp(-tf.reduce_sum(tf.math.xlogy(shares, shares))),
        }

    def quantise(self, vectors: tf.Tensor) -> tf.Tensor:
        """Finds the nearest vectors of the codebook.

        Args:
          vectors: Vectors, `[..., code_dim]`.

        Returns:
          Their codes, int32, `[...]`.
        """
        codebook = tf.convert_to_tensor(self._codebook.embeddings)
        # Without the square of the vector, which is the same for all codes.
        distances = tf.reduce_sum(codebook**2, axis=1) - 2 * tf.tensordot(
            vectors, codebook, [[-1], [1]]
        )
        return tf.argmin(distances, axis=-1, output_type=tf.int32)

    def _update_codebook(
        self, vectors: tf.Tensor, codes: tf.Tensor
    ) -> tf.Tensor:
        """Moves the codebook towards the vectors that it stands for.

        An entry is the running average of all vectors that it was the nearest
        to. Entries that are hardly used any more, or not yet, become vectors of
        this batch.

        Args:
          vectors: Vectors of the batch, `[batch, latent_dim, code_dim]`.
          codes: Their codes, `[batch, latent_dim]`.

        Returns:
          Share of each code in the batch of all devices, `[codebook_size]`.
        """
        config, size = self.settings, self.settings.codebook_size
        vectors = tf.reshape(vectors, [-1, config.code_dim])
        used = tf.one_hot(tf.reshape(codes, [-1]), size)
        num_vectors = tf.shape(vectors)[0] * replicas.count()
        # A row of the batch of all devices for each code.
        rows = self._draws.rows(size, num_vectors, self.step)
        taken = replicas.own_rows(tf.one_hot(rows, num_vectors, axis=0))
        count, total, start = replicas.mean(
            [
                tf.reduce_sum(used, axis=0),
                tf.matmul(used, vectors, transpose_a=True),
                tf.matmul(taken, vectors, transpose_a=True) * replicas.count(),
            ]
        )
        # Of each code, in units of what the average code has.
        unit = size / tf.cast(tf.shape(vectors)[0], tf.float32)
        before = self._usage.embeddings[:, 0]
        decay = config.codebook_decay
        usage = decay * before + (1 - decay) * unit * count
        sums = (
            decay * before[:, tf.newaxis] * self._codebook.embeddings
            + (1 - decay) * unit * total
        )
        is_dead = usage < config.restart_below
        # An entry that starts in vain starts anew soon, after 70 steps.
        start_usage = START_SHARE * config.restart_below
        usage = tf.where(is_dead, start_usage, usage)[:, tf.newaxis]
        moved = tf.where(is_dead[:, tf.newaxis], start, sums / usage)
        self._usage.embeddings.assign(usage)
        self._codebook.embeddings.assign(moved)
        return count * unit / size

    def generate_by(
        self, networks: audio_model.Networks, z: Any, label: Any = None
    ) -> Any:
        """Draws codes by the prior, one after the other, and decodes them.

        Args:
          networks: Decoder and prior, as "generator" and "prior".
          z: Vectors uniform in [-1, 1), `[batch, latent_dim]`.
          label: Label of each clip, `[batch]`; None without labels.

        Returns:
          Audio, `[batch, slice_len, channels]`.
        """
        codes = code_prior.sample(networks["prior"], z, label)
        return networks["generator"](
            audio_model.with_label(codes, label), training=False
        )


def straight_through(vectors: tf.Tensor, nearest: tf.Tensor) -> tf.Tensor:
    """Returns the nearest vectors, with the gradients of the vectors.

    Args:
      vectors: Vectors of the encoder, of any shape.
      nearest: The nearest vectors of the codebook, of the same shape.

    Source: van den Oord et al. (2017), section 3.2.
    """
    return vectors + tf.stop_gradient(nearest - vectors)
