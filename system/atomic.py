"""Writes files and folders atomically, also across kills and power cuts."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator


def write(path: pathlib.Path, content: bytes) -> None:
    """Writes a file atomically: whole or not at all.

    Raises:
      OSError: The file cannot be written; an existing file is unchanged.
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
    """Moves files within a folder, one after the other, flushed to disk.

    Args:
      drafts: Files to move.
      paths: New path of each file, in the same folder.

    Raises:
      OSError: A file cannot be moved or flushed.
    """
    for draft in drafts:
        flush(draft)
    for draft, path in zip(drafts, paths, strict=True):
        draft.replace(path)
    flush(paths[-1].parent)


@contextlib.contextmanager
def folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives an empty folder to fill, and moves it to `path` afterwards.

    The new folder replaces an existing one. If the context raises, the existing
    folder stays; a kill while the two are exchanged leaves the existing folder
    under another name, and the next call restores it.

    Args:
      path: Final path of the folder; its parents are created.

    Yields:
      Empty folder to fill.

    Raises:
      OSError: A folder cannot be written or moved.
    """
    draft = path.with_name(path.name + ".part")
    old = path.with_name(path.name + ".old")
    _give_back(old, path)
    for left in (draft, old):
        shutil.rmtree(left, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        for part in [*draft.rglob("*"), draft]:
            flush(part)
        if path.exists():
            path.rename(old)
        draft.rename(path)
        flush(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        _give_back(old, path)
        shutil.rmtree(draft, ignore_errors=True)


def _give_back(old: pathlib.Path, path: pathlib.Path) -> None:
    """Moves the old folder back to `path` if there is no new one."""
    if old.exists() and not path.exists():
        old.rename(path)


def flush(path: pathlib.Path) -> None:
    """Waits until a file, or the list of a folder's names, is on the disk.

    Raises:
      OSError: The disk reports an error.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
