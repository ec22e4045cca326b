"""Describes a GAN that a program trains, and builds it for a run."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

import gan as gan_lib
from networks import augmentation, spectral_critic
from training import config as config_lib
from training import model, train_dir


@dataclasses.dataclass(frozen=True, kw_only=True)
class GANModel(model.Model):
    """A pair of networks that can be trained.

    Attributes:
      build_generator: Builds the generator, given the settings of the networks.
      build_discriminator: Builds the discriminator, given these settings.
      gan_of: Returns the class of the GAN, given a train dir and these
        settings.
    """

    build_generator: Callable[[Any], keras.Model]
    build_discriminator: Callable[[Any], keras.Model]
    gan_of: Callable[[train_dir.TrainDir, Any], Callable[..., gan_lib.GAN]] = (
        lambda directory, config: gan_lib.GAN
    )

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of its released weights, as model hubs show them."""
        return ("gan", *super().tags)

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
        networks: Any = config.model
        return build_gan(
            config.train,
            lambda: (
                self.build_generator(networks),
                self.build_discriminator(networks),
            ),
            networks.latent_dim,
            kind or self.gan_of(directory, networks),
        )

    def compile(self, audio_model: Any, settings: Any) -> None:
        """Compiles a GAN as the settings say; 0: the loss's default."""
        compile_gan(audio_model, settings)


def build_gan(
    settings: Any,
    build_networks: Callable[[], tuple[keras.Model, keras.Model]],
    latent_dim: int,
    kind: Callable[..., gan_lib.GAN] = gan_lib.GAN,
) -> gan_lib.GAN:
    """Builds a GAN as the settings say, without compiling it.

    Args:
      settings: Settings of the training, a `TrainConfig`.
      build_networks: Makes generator and discriminator; their weights are
        drawn from the seed of the run.
      latent_dim: Size of the latent vector z.
      kind: Class of the GAN.
    """

    def build() -> Any:
        generator, discriminator = build_networks()
        spectral_critics = spectral_critic.build_beside(
            discriminator, settings.spectral_critics, settings.spectral_dim
        )
        return generator, discriminator, spectral_critics

    generator, discriminator, spectral_critics = model.build_networks(
        settings, build
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
