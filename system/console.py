"""Runs argparse commands: errors are one line, and TensorFlow logs nothing."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn


def quiet_tensorflow() -> None:
    """Imports TensorFlow without its log messages on processors and plugins.

    From version 2.19 on, it logs some messages whatever the environment
    variables are, so that stderr is closed during the import
    (tensorflow/tensorflow issue 100442).
    """
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
        """Prints the error and how to get help; exits with code 1."""
        sys.exit(f"{self.prog}: {message} (--help lists what there is)")


def run(parser: Parser, main: Callable[[argparse.Namespace], None]) -> None:
    """Runs a command and reports an error in one line."""
    arguments = parser.parse_args()
    try:
        main(arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError, ArithmeticError) as error:
        sys.exit(f"{parser.prog}: {' '.join(str(error).split())}")


def positive(text: str) -> int:
    """Parses an integer above 0 of the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)
