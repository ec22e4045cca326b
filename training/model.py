"""A model as the programs train it: its networks, built for a run."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

import gan as gan_lib
from networks import augmentation, precision, spectral_critic
from training import config as config_lib
from training import dataset, train_dir

Config = dict[str, dict[str, Any]]  # what config.json holds


@dataclasses.dataclass(frozen=True)
class Model:
    """A pair of networks that can be trained.

    Attributes:
      name: As in the flag `--wavegan_dim`.
      config: Dataclass of the section "model" of a config.
      build_generator: Builds the generator from such a section.
      build_discriminator: Builds the discriminator from it.
      gan_of: Returns the class of the GAN, given a train dir and such a
        section.
      prepare: Writes what `gan_of` needs to a locked train dir, given the
        config and the audio of a run; only checks what is there if the audio
        is None.
      pretrained: Folder of the weights that come with the program.
    """

    name: str
    config: type
    build_generator: Callable[[Any], keras.Model]
    build_discriminator: Callable[[Any], keras.Model]
    gan_of: Callable[[train_dir.TrainDir, Any], Callable[..., gan_lib.GAN]] = (
        lambda directory, config: gan_lib.GAN
    )
    prepare: Callable[
        [train_dir.TrainDir, Config, dataset.Corpus | None], None
    ] = lambda directory, config, found: None
    pretrained: pathlib.Path | None = None

    @property
    def sections(self) -> dict[str, type]:
        """The dataclass of each section of config.json."""
        return {
            "data": config_lib.DataConfig,
            "model": self.config,
            "train": config_lib.TrainConfig,
        }

    def read_config(self, directory: train_dir.TrainDir) -> Config:
        """Reads the config of a run.

        Raises:
          FileNotFoundError: There is no run.
          ValueError: Its config is damaged, or another model's.
        """
        config = directory.read_config()
        try:
            config_lib.from_json(self.config, config["model"])
        except TypeError as error:
            raise ValueError(
                f"{directory.path} is not of train_{self.name}.py, or damaged "
                f"({error}): use the program that made it"
            ) from None
        return config

    def build(
        self,
        directory: train_dir.TrainDir,
        config: Config | None = None,
        kind: Callable[..., gan_lib.GAN] | None = None,
    ) -> gan_lib.GAN:
        """Builds the networks of a run, with the weights of its seed.

        Args:
          directory: Where the run lives.
          config: Of the run, if its config.json does not hold it yet.
          kind: Class of the GAN; by default what `gan_of` returns.
        """
        config = config or self.read_config(directory)
        model = self.config(**config["model"])
        return build_gan(
            config_lib.TrainConfig(**config["train"]),
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
    """Builds a GAN as the settings say, not yet compiled.

    Args:
      settings: Of a run.
      build_networks: Makes generator and discriminator, with weights of the
        run's seed.
      latent_dim: Size of z.
      kind: Its class.
    """
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
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
    """Compiles a GAN as the settings say: 0 is the objective's own."""
    gan.compile(
        settings.loss,
        jit_compile=settings.jit,
        learning_rate=settings.learning_rate or None,
        disc_learning_rate=settings.disc_learning_rate or None,
        penalty_weight=settings.penalty_weight or None,
    )
