"""Describes a model that a program trains, and builds it for a run."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from networks import audio_model as audio_model_lib
from networks import fast_conv, precision
from training import config as config_lib
from training import dataset, train_dir


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A model that can be trained. A subclass builds its networks.

    Attributes:
      name: As in the flag `--wavegan_dim`.
      title: As people write it.
      config: Dataclass of the settings of its networks.
      prepare: Writes what `build` needs to a locked train dir, given the config
        and the audio of a run; only checks what is there if the audio is None.
      pretrained: Folder of the weights that come with the program.
    """

    name: str
    title: str
    config: type[audio_model_lib.Config]
    prepare: Callable[
        [train_dir.TrainDir, config_lib.RunConfig, dataset.Corpus | None], None
    ] = lambda directory, config, found: None
    pretrained: pathlib.Path | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of its released weights, as model hubs show them."""
        return (self.name,)

    @property
    def program(self) -> str:
        """The program that trains it, as it is called on a command line."""
        return f"train_{self.name}.py"

    def build(
        self,
        directory: train_dir.TrainDir,
        config: config_lib.RunConfig | None = None,
    ) -> audio_model_lib.AudioModel:
        """Builds the networks of a run, with the weights of its seed.

        Args:
          directory: Train dir of the run.
          config: Config of the run; that of the train dir if left out.
        """
        raise NotImplementedError

    def compile(
        self,
        audio_model: Any,
        settings: config_lib.CommonTrainConfig,
    ) -> None:
        """Compiles what `build` built; 0 stands for the model's default."""
        audio_model.compile(
            jit_compile=settings.jit,
            learning_rate=settings.learning_rate or None,
        )


def build_networks(
    settings: config_lib.CommonTrainConfig, build: Callable[[], Any]
) -> Any:
    """Builds networks with the weights of a seed, and all other settings.

    Args:
      settings: Settings of the training.
      build: Makes the networks.

    Returns:
      What `build` returns.
    """
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    fast_conv.choose_form(settings.conv)
    with precision.of_layers(settings.precision):
        return build()
