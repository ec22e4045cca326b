"""Runs the mode that a command line names, and turns errors into exit codes."""

import functools
import pathlib
from typing import Any

import tensorflow as tf
from absl import app, flags, logging

from commandline import errors, flagfiles, modes, usage
from commandline import flags as flags_lib
from system import console, settings
from training import checkpoints, distributed, peers, train_dir

HERE = pathlib.Path(__file__).resolve().parents[1]

CommandLine = flags_lib.CommandLine

_DEFINE: dict[type, Any] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    type(None): flags.DEFINE_string,
    list: flags.DEFINE_list,
}


def define(
    command_line: CommandLine, values: flags.FlagValues = modes.FLAGS
) -> None:
    """Defines the flags of a model's command line."""
    for option in command_line.options:
        define_flag = _DEFINE[type(option.default)]
        define_flag(
            option.name, option.default, option.help, flag_values=values
        )


EXIT_CODES = {  # by error: a scheduler may start some commands again
    checkpoints.CorruptError: 2,
    FloatingPointError: 3,
    distributed.WorkerLostError: peers.LOST_CODE,
    train_dir.LockedError: 75,
    Exception: 1,
}


def main(command_line: CommandLine, argv: list[str]) -> None:
    """Runs one mode; an error is reported in one line."""
    mode = argv[1] if argv[1:] else ""
    try:
        with console.exit_codes(
            command_line.program,
            (tf.errors.OpError, MemoryError),
            codes=EXIT_CODES,
            describe=functools.partial(errors.in_one_line, command_line, mode),
        ):
            _run_mode(command_line, mode, argv)
    except SystemExit as end:
        distributed.end_process(end.code if isinstance(end.code, int) else 1)
        raise
    distributed.end_process(0)


def _run_mode(command_line: CommandLine, mode: str, argv: list[str]) -> None:
    """Runs one mode.

    Raises:
      ValueError: The command line is invalid.
    """
    usage.check_mode(command_line.modes, argv)
    refuse_unused_flags(command_line, modes.FLAGS, mode)
    path = argv[2] if argv[2:] else "./train"
    released = modes.released(command_line)
    if released and mode != "train":
        if argv[2:]:
            raise ValueError(
                f"{path} and --pretrained: expected one of the two"
            )
        path = str(released)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    settings.check_value("step", modes.FLAGS.step, low=0)
    directory = train_dir.TrainDir(path, modes.FLAGS.step)
    command_line.modes[mode].run(command_line, directory)


def refuse_unused_flags(
    command_line: CommandLine, values: flags.FlagValues, mode: str
) -> None:
    """Raises a ValueError if a flag is given that a mode does not use."""
    for option in command_line.options:
        if values[option.name].present and mode not in option.modes:
            raise ValueError(
                f"--{option.name} is a flag of {', '.join(option.modes)}: "
                f"{mode} does not use it"
            )


def for_parser(argv: list[str]) -> list[str]:
    """Rewrites a command line in the forms that absl's parser understands."""
    argv = _join_pair(flagfiles.expand(argv), "--interpolate")
    return _add_default(argv, "--pretrained", modes.SHIPPED)


def _join_pair(argv: list[str], flag: str) -> list[str]:
    """Turns `--flag A B` into `--flag=A,B`, as the parser expects it."""
    at = argv.index(flag) if flag in argv else len(argv)
    pair = argv[at + 1 : at + 3]
    if len(pair) < 2 or not pair[1].isdecimal():
        return argv
    return [*argv[:at], f"{flag}={','.join(pair)}", *argv[at + 3 :]]


def _add_default(argv: list[str], flag: str, value: str) -> list[str]:
    """Gives a flag a value where it is the last word or before a flag."""
    return [
        f"{flag}={value}"
        if word == flag and following.startswith("-")
        else word
        for word, following in zip(argv, [*argv[1:], "-"], strict=True)
    ]


def run(command_line: CommandLine) -> None:
    """Runs the command line of a model."""
    define(command_line)

    def parse(argv: list[str]) -> list[str]:
        program, describe = command_line.program, errors.in_parsing
        with console.exit_codes(program, (flags.Error,), describe=describe):
            return modes.FLAGS(for_parser(argv))

    # Log lines have no prefix, and TensorFlow's, which logs through absl too,
    # are dropped. --verbosity=1 adds the traceback of an error.
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().setFormatter(None)
    logging.get_absl_handler().addFilter(
        lambda record: HERE in pathlib.Path(record.pathname).parents[:2]
    )
    app.run(functools.partial(main, command_line), flags_parser=parse)
