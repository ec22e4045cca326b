"""Builds the config of a run from the flags of the command line."""

import pathlib
from typing import Any

from commandline import flags as flags_lib
from system import settings
from training import config as config_lib


def read_flags(
    command_line: flags_lib.CommandLine,
    values: Any,
    saved: config_lib.RunConfig | None = None,
    fixed: tuple[str, ...] = (),
) -> config_lib.RunConfig:
    """Makes the config of a run from the flags.

    Args:
      command_line: The command line.
      values: Its parsed flags, an absl `FlagValues`.
      saved: Config whose settings hold where no flag is given; the defaults if
        left out.
      fixed: Sections of `saved` that flags may not change, except for settings
        that are resumable.

    Raises:
      ValueError: A value is out of its range, or differs from a fixed one.
    """
    config = saved or config_lib.default(command_line.model.config)
    given: dict[str, Any] = {}
    for field, flag in command_line.config_flags.items():
        is_given, value = flag.read(values)
        before = getattr(getattr(config, flag.section), field)
        if not is_given or value == before:
            continue
        if flag.section in fixed and not flag.setting.resumable:
            raise ValueError(
                f"--{flag.name} is {value!r}, but that run has {before!r}: "
                "leave the flag out to go on with it, or name another train dir"
            )
        given[field] = value
    if given.get("dir"):
        given["dir"] = str(pathlib.Path(given["dir"]).resolve())
    return config.replace(**given)


def resolve_ambiguous_settings(
    command_line: flags_lib.CommandLine,
    values: Any,
    fits: dict[str, tuple[Any, ...]],
) -> config_lib.RunConfig:
    """Infers the config of an imported checkpoint from what its weights allow.

    Where the weights allow several values of a setting, the value is that of
    its flag.

    Args:
      command_line: The command line.
      values: Its parsed flags, an absl `FlagValues`.
      fits: Values that the weights allow, by setting; settings without a flag
        are ignored.

    Raises:
      SettingError: A flag has a value that the weights do not allow; or they
        allow several values, the default is not among them, and no flag chooses
        one.
    """
    chosen = {}
    flags = command_line.config_flags
    for field, fitting in fits.items():
        if field not in flags:  # not a setting of this model
            continue
        is_given, value = flags[field].read(values)
        if value not in fitting and (is_given or len(fitting) > 1):
            raise settings.SettingError(
                field,
                value,
                f"{' or '.join(map(repr, fitting))}, which is what fits",
            )
        chosen[field] = value if value in fitting else fitting[0]
    default = config_lib.default(command_line.model.config)
    return default.replace(**chosen)
