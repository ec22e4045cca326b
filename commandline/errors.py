"""Describes errors in one line that names the cause and the remedy."""

import errno
import re

import tensorflow as tf

from commandline import flags
from system import console, settings

REMEDIES = {
    errno.ENOSPC: "free some space, then run the same command",
    errno.EACCES: "give yourself access to it, or name another folder",
    errno.ENOTDIR: "that is a file: name a folder",
    errno.EROFS: "make it writable, or name another folder",
}


def in_one_line(
    command_line: flags.CommandLine, mode: str, error: Exception
) -> str:
    """Describes an error in one line, and settings by their flags.

    Args:
      command_line: Command line whose flags are named.
      mode: Mode that failed.
      error: The error.
    """
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        names = " or ".join(
            command_line.name_of(field, mode) for field in ("batch_size", "dim")
        )
        return f"out of memory ({_cause(error)}): choose a smaller {names}"
    if isinstance(error, tf.errors.OpError):
        return _cause(error)
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return f"{error.filename}: {error.strerror}: {REMEDIES[error.errno]}"
    if isinstance(error, settings.SettingError):
        name = command_line.name_of(error.field, mode)
        error = settings.SettingError(name, error.value, error.expected)
    return console.in_one_line(error)


def in_parsing(error: Exception) -> str:
    """Describes an error of the command line, or what replaced an old flag."""
    name = getattr(error, "flagname", "")  # of absl's error on unknown flags
    if name in flags.REPLACED:
        return f"--{name} is of the authors' code: {flags.REPLACED[name]}"
    return console.in_one_line(error)


def _cause(error: Exception) -> str:
    """Returns the line that says what happened, of a message of many lines."""
    if not isinstance(error, tf.errors.OpError):
        return console.in_one_line(error)
    # An error of the project's own, raised within a graph.
    if ours := re.search("cannot decode.*", error.message):
        return ours[0]
    # Before it, TensorFlow writes "Graph execution error:" and where the
    # operation is defined; after it, names of operations in brackets.
    lines = [
        line
        for line in error.message.splitlines()
        if line.strip()
        and not line[0].isspace()
        and not line.startswith(
            ("Graph execution error", "Detected at", "<stack traces", "File ")
        )
    ]
    text = lines[0] if lines else type(error).__name__
    return re.sub(r"{{.*?}} ?| ?\[Op:.*", "", text).strip()
