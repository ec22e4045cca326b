"""Runs programs: errors are one line, and TensorFlow logs nothing."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

from absl import logging

Errors = tuple[type[Exception], ...]
EXPECTED: Errors = (OSError, ValueError, ArithmeticError)
ONE: Mapping[type[Exception], int] = {Exception: 1}


def import_tensorflow() -> None:
    """Imports TensorFlow with oneDNN, and without its log messages.

    It reads both settings from the environment at its import; what the user has
    set there stays. TensorFlow itself turns oneDNN on for some processors only;
    without it, matrix products by AVX2 take up to twice as long.

    From version 2.19 on, it logs some messages on processors and plugins
    whatever the variables are, so that stderr is closed during the import
    (tensorflow/tensorflow issue 100442).
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with without_stderr():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Discards all output to stderr, for code that ignores logging levels."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


class Parser(argparse.ArgumentParser):
    """Argument parser that reports an invalid command line in one line.

    Args:
      prog: Name of the program.
      description: Description in `--help`, such as the module's docstring.
    """

    def __init__(self, prog: str, description: str | None) -> None:
        super().__init__(
            prog,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raises a ValueError, which says how to get help."""
        raise ValueError(f"{message} (--help lists what there is)")


def in_one_line(error: Exception) -> str:
    """Returns the message of an error without line breaks."""
    return " ".join(str(error).split())


@contextlib.contextmanager
def exit_codes(
    program: str,
    errors: Errors = (),
    *,
    codes: Mapping[type[Exception], int] = ONE,
    describe: Callable[[Exception], str] = in_one_line,
    stopped: str = "",
) -> Iterator[None]:
    """Turns the errors and signals of a program into exit codes.

    SIGINT exits with code 130 and SIGTERM with 143. An error is reported in one
    line, with its traceback if absl logs debug messages.

    Args:
      program: Name of the program, which begins the line.
      errors: Errors to report besides OSError, ValueError and ArithmeticError;
        any other is a bug and keeps its traceback.
      codes: Exit codes by error, of which the first that fits is taken.
      describe: Function that returns the line.
      stopped: Line to print if the program is stopped by SIGINT.
    """
    # By default, SIGTERM does not end the first process of a container.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    except KeyboardInterrupt:
        if stopped:
            print(f"{program}: {stopped}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except (*EXPECTED, *errors) as error:
        logging.debug("", exc_info=True)
        print(f"{program}: {describe(error)}", file=sys.stderr)
        sys.exit(next(c for k, c in codes.items() if isinstance(error, k)))


def run(parser: Parser, main: Callable[[argparse.Namespace], None]) -> None:
    """Runs a command and reports an error in one line."""
    with exit_codes(parser.prog):
        main(parser.parse_args())


def positive(text: str) -> int:
    """Parses an integer above 0 of the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)
