"""Describes a model that a program trains, and builds its GAN for a run."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

import gan as gan_lib
from networks import (
    augmentation,
    dcgan,
    fast_conv,
    precision,
    spectral_critic,
)
from training import config as config_lib
from training import dataset, train_dir


@dataclasses.dataclass(frozen=True)
class Model:
    """A pair of networks that can be trained.

    Attributes:
      name: As in the flag `--wavegan_dim`.
      config: Dataclass of the settings of its networks.
      build_generator: Builds the generator, given these settings.
      build_discriminator: Builds the discriminator, given these settings.
      gan_of: Returns the class of the GAN, given a train dir and these
        settings.
      prepare: Writes what `gan_of` needs to a locked train dir, given the
        config and the audio of a run; only checks what is there if the audio
        is None.
      pretrained: Folder of the weights that come with the program.
    """

    name: str
    config: type[dcgan.Config]
    build_generator: Callable[[Any], keras.Model]
    build_discriminator: Callable[[Any], keras.Model]
    gan_of: Callable[[train_dir.TrainDir, Any], Callable[..., gan_lib.GAN]] = (
        lambda directory, config: gan_lib.GAN
    )
    prepare: Callable[
        [train_dir.TrainDir, config_lib.RunConfig, dataset.Corpus | None], None
    ] = lambda directory, config, found: None
    pretrained: pathlib.Path | None = None

    def build(
        self,
        directory: train_dir.TrainDir,
        config: config_lib.RunConfig | None = None,
        kind: Callable[..., gan_lib.GAN] | None = None,
    ) -> gan_lib.GAN:
        """Builds the networks of a run, with the weights of its seed.

        Args:
          directory: Train dir of the run.
          config: Config of the run; that of the train dir if left out.
          kind: Class of the GAN; by default what `gan_of` returns.
        """
        config = config or directory.read_config(self.config)
        model = config.model
        return build_gan(
            config.train,
            lambda: (
                self.build_generator(model),
                self.build_discriminator(model),
            ),
            model.latent_dim,
            kind or self.gan_of(directory, model),
        )


def build_gan(
    settings: config_lib.TrainConfig,
    build_networks: Callable[[], tuple[keras.Model, keras.Model]],
    latent_dim: int,
    kind: Callable[..., gan_lib.GAN] = gan_lib.GAN,
) -> gan_lib.GAN:
    """Builds a GAN as the settings say, without compiling it.

    Args:
      settings: Settings of the training.
      build_networks: Makes generator and discriminator; their weights are
        drawn from the seed of the run.
      latent_dim: Size of the latent vector z.
      kind: Class of the GAN.
    """
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    fast_conv.choose_form(settings.conv)
    with precision.of_layers(settings.precision):
        generator, discriminator = build_networks()
        spectral_critics = spectral_critic.build_beside(
            discriminator, settings.spectral_critics, settings.spectral_dim
        )
    return kind(
        generator,
        discriminator,
        latent_dim=latent_dim,
        critic_steps=settings.critic_steps,
        ema_decay=settings.ema_decay,
        penalty_interval=settings.penalty_interval,
        seed=settings.seed,
        augment=augmentation.parse(settings.augment),
        spectral_critics=spectral_critics,
    )


def compile_gan(gan: gan_lib.GAN, settings: config_lib.TrainConfig) -> None:
    """Compiles a GAN as the settings say; 0 stands for the loss's default."""
    gan.compile(
        settings.loss,
        jit_compile=settings.jit,
        learning_rate=settings.learning_rate or None,
        disc_learning_rate=settings.disc_learning_rate or None,
        penalty_weight=settings.penalty_weight or None,
    )
