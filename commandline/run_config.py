"""The config of a run, made from flags."""

import dataclasses
import pathlib
from typing import Any

from commandline import flags as flags_lib
from training import config as config_lib
from training import model as model_lib

Config = model_lib.Config
SECTIONS = ("data", "model", "train")


def _fields(
    command_line: flags_lib.CommandLine, flags: Any
) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Flags and values of the config's fields, by section and field."""
    given = {
        (section, field): (flags[name], flags[name].value)
        for name, section, field, _ in command_line.settings
    }
    for field, (switch, size) in command_line.switches.items():
        value = flags[size].value if flags[switch].value else 0
        given["model", field] = flags[switch], value
    return given


def read_flags(
    command_line: flags_lib.CommandLine,
    flags: Any,
    saved: Config | None,
    fixed: tuple[str, ...] = SECTIONS,
) -> Config:
    """Makes the config of a run from the flags.

    Args:
      command_line: The command line.
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
        name: dataclasses.asdict(kind())
        for name, kind in command_line.model.sections.items()
    }
    for section, fields in (saved or {}).items():
        for field in config.get(section, {}).keys() & fields.keys():
            config[section][field] = fields[field]  # also what has no flag
    for (section, field), (flag, value) in _fields(command_line, flags).items():
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
    for section, kind in command_line.model.sections.items():
        kind(**config[section])
    if config["data"]["dir"]:
        config["data"]["dir"] = str(
            pathlib.Path(config["data"]["dir"]).resolve()
        )
    return config


def resolve_ambiguous_settings(
    command_line: flags_lib.CommandLine,
    flags: Any,
    fits: dict[tuple[str, str], tuple[Any, ...]],
) -> Config:
    """Picks from values that fit, by the flags where there are more.

    Args:
      command_line: The command line.
      flags: Their values, absl's.
      fits: By section and field of the config; others are left out.

    Raises:
      ValueError: A flag contradicts them, or must be given.
    """
    chosen: Config = {name: {} for name in command_line.model.sections}
    fields = _fields(command_line, flags)
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
