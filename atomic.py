"""Files that are there whole or not at all, through a kill or a power cut."""

import os
import pathlib


def write(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
      OSError: It cannot be written; what was there still is.
    """
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_bytes(content)
        move([draft], [path])
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)
        draft.unlink(missing_ok=True)
        raise


def move(drafts: list[pathlib.Path], paths: list[pathlib.Path]) -> None:
    """Moves files of one folder to their places in turn, flushed to disk.

    Raises:
      OSError: The disk refuses.
    """
    for draft in drafts:
        flush(draft)
    for draft, path in zip(drafts, paths, strict=True):
        draft.replace(path)
    flush(paths[-1].parent)


def flush(path: pathlib.Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk.

    Raises:
      OSError: The disk refuses.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
