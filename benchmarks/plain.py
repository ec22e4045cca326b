"""Builds the same GAN in plain Keras, as the baseline of benchmarks.

It has Keras's own layers and Adam, three calls of the critic on one tape, and
phase shuffle by padding and slicing. Weights, random draws and results are
those of `gan.GAN`, up to rounding.
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

import gan
import losses
import phaseshuffle
import wavegan
from networks import fast_conv, leaky_relu, precision


class PlainPhaseShuffle(phaseshuffle.PhaseShuffle):
    """Phase shuffle by padding with reflection and slicing at the shift."""

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Moves feature maps, `[batch, time, channels]`, by random shifts."""
        if not training:
            return x
        radius = self.radius
        shift = keras.random.randint(
            (), -radius, radius + 1, seed=self.seed_generator
        )
        padded = tf.pad(x, [[0, 0], [radius, radius], [0, 0]], "REFLECT")
        return tf.slice(padded, [0, radius - shift, 0], tf.shape(x))


STOCK = {
    fast_conv.StridedConv1D: keras.layers.Conv1D,
    fast_conv.StridedConv1DTranspose: keras.layers.Conv1DTranspose,
    leaky_relu.LeakyReLU: keras.layers.LeakyReLU,
    phaseshuffle.PhaseShuffle: PlainPhaseShuffle,
}


def plain_network(network: keras.Model) -> keras.Model:
    """Rebuilds a network, with its weights, from Keras's own layers."""

    def plain_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = STOCK.get(type(layer), type(layer))
        return kind.from_config(layer.get_config())

    plain = keras.models.clone_model(network, clone_function=plain_layer)
    plain.set_weights(network.get_weights())
    return plain


def plain_objective(name: str) -> losses.Objective:
    """Returns an objective with Keras's own Adam."""
    objective = losses.OBJECTIVES[name]
    return dataclasses.replace(
        objective,
        optimizer=lambda: keras.optimizers.Adam.from_config(
            objective.optimizer().get_config()
        ),
    )


class PlainGAN(gan.GAN):
    """A GAN that trains as `gan.GAN` does, with plain TensorFlow code."""

    def _fakes_of_updates(
        self, reals: list[tf.Tensor], labels: list[None], update: tf.Tensor
    ) -> list[tf.Tensor]:
        return [
            self.generator(
                self._draws.z(tf.shape(real)[0], self.latent_dim, update + i),
                training=True,
            )
            for i, real in enumerate(reals)
        ]

    def _update_discriminator(
        self, real: tf.Tensor, fake: tf.Tensor, label: None, update: tf.Tensor
    ) -> tf.Tensor:
        assert label is None
        self._draws.reseed_layers(update)
        alpha = self._draws.alpha(tf.shape(real)[0], update)

        def critic(x: tf.Tensor) -> tf.Tensor:
            return self.discriminator(x, training=True)

        with tf.GradientTape() as tape:
            loss = self.objective.discriminator(critic(real), critic(fake))
            loss += self.objective.penalty_weight * losses.gradient_penalty(
                critic, real, fake, alpha=alpha
            )
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables, strict=True)
        )
        return loss


def build(
    kind: str, config: wavegan.WaveGANConfig, bits: str = "fp32"
) -> gan.GAN:
    """Builds a GAN with the weights of seed 0, compiled for "wgan-gp".

    Args:
      kind: Implementation: "ours" or "plain".
      config: Architecture of the networks.
      bits: Precision, a key of `precision.POLICIES`.
    """
    keras.utils.set_random_seed(0)
    with precision.of_layers(bits):
        networks: list[Any] = [
            wavegan.build_generator(config),
            wavegan.build_discriminator(config),
        ]
        if kind == "ours":
            model = gan.GAN(*networks, latent_dim=config.latent_dim)
            model.compile("wgan-gp")
            return model
        model = PlainGAN(
            *map(plain_network, networks), latent_dim=config.latent_dim
        )
    model.compile(plain_objective("wgan-gp"))
    return model
