"""How commands speak: quietly, and wrong in one line."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn


def quiet_tensorflow() -> None:
    """Imports TensorFlow without its notes on processors and plugins.

    From 2.19 on it writes some whatever the environment says, so that its
    import has to do without stderr (tensorflow/tensorflow issue 100442).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with without_stderr():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Lets nobody write to stderr: for code that heeds no level of logging."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


class Parser(argparse.ArgumentParser):
    """A parser that ends in one line where a command line is odd.

    Args:
      prog: Its name.
      description: As it stands at the head of the module.
    """

    def __init__(self, prog: str, description: str | None) -> None:
        super().__init__(
            prog,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and how to find out more; exit code 1."""
        sys.exit(f"{self.prog}: {message} (--help lists what there is)")


def run(parser: Parser, main: Callable[[argparse.Namespace], None]) -> None:
    """Runs a command; what goes wrong is said in one line."""
    arguments = parser.parse_args()
    try:
        main(arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError, ArithmeticError) as error:
        sys.exit(f"{parser.prog}: {' '.join(str(error).split())}")


def positive(text: str) -> int:
    """A whole number above 0 of the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)
