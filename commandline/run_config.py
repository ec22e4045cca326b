"""The config of a run: from flags or a train dir, and what is built of it."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import gan as gan_lib
from commandline import flags as flags_lib
from training import config as config_lib
from training import train_dir

Face = flags_lib.Face
Config = flags_lib.Config
SECTIONS = ("data", "model", "train")


def _fields(face: Face, flags: Any) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Flags and values of the config's fields, by section and field."""
    given = {
        (section, field): (flags[name], flags[name].value)
        for name, section, field, _ in face.settings
    }
    for field, (switch, size) in face.switches.items():
        value = flags[size].value if flags[switch].value else 0
        given["model", field] = flags[switch], value
    return given


def read_flags(
    face: Face,
    flags: Any,
    saved: Config | None,
    fixed: tuple[str, ...] = SECTIONS,
) -> Config:
    """Makes the config of a run from the flags.

    Args:
      face: Whose.
      flags: Their values, absl's.
      saved: Config of the run to go on with: flags left out are as they were.
      fixed: Its sections that flags may not change, but for what is resumable.
        Weights alone leave all but the networks' shape to choose.

    Returns:
      Config by section, checked.

    Raises:
      ValueError: A value is out of range, or differs from the run's.
    """
    config = {
        name: dataclasses.asdict(kind()) for name, kind in face.sections.items()
    }
    for section, fields in (saved or {}).items():
        for field in config.get(section, {}).keys() & fields.keys():
            config[section][field] = fields[field]  # also what has no flag
    for (section, field), (flag, value) in _fields(face, flags).items():
        if saved is None:
            config[section][field] = value
            continue
        before = saved[section].get(field, flag.default)
        config[section][field] = value if flag.present else before
        if (
            config[section][field] != before
            and section in fixed
            and (section, field) not in config_lib.RESUMABLE
        ):
            raise ValueError(
                f"--{flag.name} is {value!r}, but that run has {before!r}: "
                "leave the flag out to go on with it, or name another train dir"
            )
    for section, kind in face.sections.items():
        kind(**config[section])
    if config["data"]["dir"]:
        config["data"]["dir"] = str(
            pathlib.Path(config["data"]["dir"]).resolve()
        )
    return config


def read_config(face: Face, directory: train_dir.TrainDir) -> Config:
    """Reads the config of a run.

    Raises:
      FileNotFoundError: There is no run.
      ValueError: It is damaged, or another model's.
    """
    config = directory.read_config()
    try:
        config_lib.from_json(face.config, config["model"])
    except TypeError as error:
        raise ValueError(
            f"{directory.path} is not of {face.program}, or damaged ({error}): "
            "use the program that made it"
        ) from None
    return config


def build(
    face: Face,
    directory: train_dir.TrainDir,
    config: Config | None = None,
    kind: Callable[..., gan_lib.GAN] | None = None,
) -> gan_lib.GAN:
    """Builds the networks of a run, with the weights of its seed.

    Args:
      face: Whose.
      directory: Where the run lives.
      config: Of the run, if its config.json does not hold it yet.
      kind: Class of the GAN; the model's own, by what the train dir holds, if
        left out.
    """
    config = config or read_config(face, directory)
    model = face.config(**config["model"])
    return config_lib.build_gan(
        config_lib.TrainConfig(**config["train"]),
        lambda: (face.build_generator(model), face.build_discriminator(model)),
        model.latent_dim,
        kind or face.gan_of(directory, model),
    )


def choose(
    face: Face, flags: Any, fits: dict[tuple[str, str], tuple[Any, ...]]
) -> Config:
    """Picks from values that fit, by the flags where there are more.

    Args:
      face: Whose.
      flags: Their values, absl's.
      fits: By section and field of the config; others are left out.

    Raises:
      ValueError: A flag contradicts them, or must be given.
    """
    chosen: Config = {name: {} for name in face.sections}
    fields = _fields(face, flags)
    for (section, field), values in fits.items():
        if (section, field) not in fields:  # not of this model
            continue
        flag, value = fields[section, field]
        if value not in values and (flag.present or len(values) > 1):
            raise ValueError(
                f"--{flag.name} is {value!r}: expected "
                f"{' or '.join(map(repr, values))}, which is what fits"
            )
        chosen[section][field] = value if value in values else values[0]
    return chosen
