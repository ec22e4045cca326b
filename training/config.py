"""Defines the config of a run: settings of networks, data and training."""

import dataclasses
from typing import Any

import losses
from networks import audio_model, augmentation, dcgan, spectral_critic
from system import settings
from system.settings import setting
from training.sections import CommonTrainConfig, DataConfig


@dataclasses.dataclass(frozen=True)
class TrainConfig(CommonTrainConfig):
    """How a GAN is trained. The defaults are the paper's.

    Raises:
      SettingError: A setting is out of its range.
    """

    loss: str = setting(
        "wgan-gp",
        "Loss of both networks, with its penalty and its optimizer.",
        flag="*_loss",
        choices=tuple(losses.OBJECTIVES),
    )
    critic_steps: int = setting(
        5,
        "Number of discriminator updates for each generator update.",
        flag="*_disc_nupdates",
        low=1,
    )
    disc_learning_rate: float = setting(
        0.0,
        "Learning rate of the discriminator alone; 0: that of the generator.",
        flag="train_disc_learning_rate",
        low=0,
        high=1,
    )
    penalty_weight: float = setting(
        0.0,
        "Weight of the gradient penalty; 0: the default of the chosen loss, 10 "
        "for wgan-gp.",
        flag="train_penalty_weight",
        low=0,
    )
    penalty_interval: int = setting(
        1,
        "Apply the gradient penalty in every N-th discriminator update only, "
        "multiplied by N.",
        flag="train_penalty_interval",
        low=1,
    )
    augment: str = setting(
        "",
        "Random augmentations of all clips that the discriminators get, "
        f"separated by commas: some of {','.join(augmentation.KINDS)}. "
        "polarity is not available for SpecGAN.",
        flag="train_augment",
    )
    spectral_critics: int = setting(
        0,
        "Number of additional discriminators that get spectrograms of the "
        f"audio, 0 to {spectral_critic.MAX_CRITICS}.",
        flag="*_spectral_critics",
        low=0,
        high=spectral_critic.MAX_CRITICS,
    )
    spectral_dim: int = setting(
        8,
        "Number of channels of the first layer of each discriminator of "
        "spectrograms.",
        flag="*_spectral_dim",
        low=1,
        high=1024,
    )

    def __post_init__(self) -> None:
        """Checks all settings."""
        super().__post_init__()
        augmentation.parse(self.augment)

    @property
    def batches_per_step(self) -> int:
        """Number of batches of real clips that a training step takes."""
        return self.critic_steps

    @property
    def method(self) -> str:
        """Describes how the networks learn, in a few words."""
        return f"loss {self.loss}, {super().method}"

    def new_networks(self, source: CommonTrainConfig) -> set[str]:
        """Returns the names of spectral critics that the other run lacks.

        Critics of another width cannot take weights either.

        Args:
          source: Settings of that run.
        """
        assert isinstance(source, TrainConfig)
        fitting = 0
        if self.spectral_dim == source.spectral_dim:
            fitting = source.spectral_critics
        new = spectral_critic.FRAME_LENS[fitting:]
        return {*map(spectral_critic.NAME.format, new)}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All settings of a run, which config.json holds.

    Attributes:
      model: The networks; an `audio_model.Config`.
      data: The audio.
      train: The training; a `CommonTrainConfig`.

    Raises:
      SettingError: The networks have another number of labels than there are
        words.
    """

    model: Any
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    train: Any = dataclasses.field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        """Checks what depends on several sections."""
        num_words = len(self.data.words)
        if self.model.num_labels != num_words:
            raise settings.SettingError(
                "num_labels",
                self.model.num_labels,
                f"{num_words}, the number of words",
            )

    def replace(self, **changes: Any) -> "RunConfig":
        """Returns a copy in which some settings, of any section, are changed.

        Raises:
          TypeError: There is no such setting.
          ValueError: A setting is out of its range.
        """
        sections = {}
        for name in sections_of(type(self.model)):
            section = getattr(self, name)
            fields = {field.name for field in dataclasses.fields(section)}
            own = {f: changes.pop(f) for f in fields & changes.keys()}
            sections[name] = dataclasses.replace(section, **own)
        return RunConfig(**sections, **changes)

    def with_words(self, words: tuple[str, ...]) -> "RunConfig":
        """Returns a copy with these words as labels."""
        return self.replace(words=words, num_labels=len(words))


# Settings of the training, by the base class of the networks' settings.
TRAIN_CONFIGS = {
    dcgan.Config: TrainConfig,
    audio_model.Config: CommonTrainConfig,
}


def sections_of(model: type[audio_model.Config]) -> dict[str, type]:
    """Returns the dataclass of each section of a model's config."""
    train = next(
        TRAIN_CONFIGS[base] for base in model.__mro__ if base in TRAIN_CONFIGS
    )
    return {"data": DataConfig, "model": model, "train": train}


def default(model: type[audio_model.Config]) -> RunConfig:
    """Returns the default settings of a model's runs."""
    kinds = sections_of(model)
    return RunConfig(**{name: kind() for name, kind in kinds.items()})


def to_json(config: RunConfig) -> dict[str, Any]:
    """Returns what config.json holds, section by section."""
    return {
        name: dataclasses.asdict(getattr(config, name))
        for name in sections_of(type(config.model))
    }


def flat(config: RunConfig) -> dict[str, Any]:
    """Returns all settings by names such as "train.seed"; lists as text."""
    return {
        f"{section}.{name}": ",".join(value)
        if isinstance(value, tuple)
        else value
        for section, fields in to_json(config).items()
        for name, value in fields.items()
    }


def from_json(values: Any, model: type[audio_model.Config]) -> RunConfig:
    """Makes a config from the contents of an untrusted config.json.

    Settings that it lacks, as files of older versions do, have their defaults.

    Args:
      values: The contents.
      model: Dataclass of the networks' section.

    Raises:
      KeyError: A section is missing.
      TypeError: A section has an unknown setting, or is no section.
      ValueError: A setting has a wrong type, or is out of its range.
    """
    made = {}
    for name, kind in sections_of(model).items():
        fields = {
            field: tuple(value) if isinstance(value, list) else value
            for field, value in dict(**values[name]).items()
        }
        made[name] = kind(**fields)
    return RunConfig(**made)
