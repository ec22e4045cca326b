"""Ends a program on an operating system on which it cannot run.

This module imports nothing but Python's standard library, so that it answers
before any package is loaded.
"""

import sys


def check(program: str) -> None:
    """Ends the program, with one line that says what to do, on Windows.

    Linux and macOS are supported, and so is WSL, the Linux of Windows. Windows
    itself lacks the locks, limits and signals that training and decoding need.

    Args:
      program: Name of the program, which begins the line.
    """
    if sys.platform == "win32":
        print(
            f"{program}: Windows is supported through WSL alone: run `wsl "
            "--install`, then install and start this in its Linux terminal",
            file=sys.stderr,
        )
        sys.exit(1)
