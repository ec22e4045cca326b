"""Tolerates disks that cannot lock, flush or reserve, such as network homes."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import IO

from absl import logging

UNSUPPORTED = {
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOLCK,
    errno.EINVAL,
}
_warned: set[str] = set()


@contextlib.contextmanager
def optional(feature: str, loss: str, *codes: int) -> Iterator[None]:
    """Goes on, with one warning in a process, where a disk lacks a feature.

    Args:
      feature: What the disk cannot do, for the warning.
      loss: What is lost by that.
      *codes: Error codes that mean so, besides UNSUPPORTED.

    Raises:
      OSError: It is another error.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {*UNSUPPORTED, *codes}:
            raise
        if feature not in _warned:
            _warned.add(feature)
            logging.warning(
                "this disk cannot %s (%s): %s", feature, error.strerror, loss
            )


def reserve(file: IO[bytes], num_bytes: int) -> None:
    """Reserves space for an empty file, by zeros where there is no other way.

    Raises:
      OSError: The disk is full.
    """
    try:
        os.posix_fallocate(file.fileno(), 0, num_bytes)
    except (AttributeError, OSError) as error:  # macOS has no such function
        if isinstance(error, OSError) and error.errno not in UNSUPPORTED:
            raise
        zeros = bytes(1 << 20)
        for start in range(0, num_bytes, len(zeros)):
            file.write(zeros[: num_bytes - start])
        file.flush()
