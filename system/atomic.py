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
    with file(path) as draft:
        draft.write_bytes(content)


@contextlib.contextmanager
def file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives the path of a file to write, and moves it to `path` afterwards.

    If the context raises, an existing file at `path` is unchanged.

    Args:
      path: Final path of the file; its folder exists.

    Yields:
      Path next to it, which ends in `.part`.

    Raises:
      OSError: The file cannot be written or moved.
    """
    draft = path.with_name(path.name + ".part")
    try:
        yield draft
        move([draft], [path])
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)
        raise
    finally:
        draft.unlink(missing_ok=True)


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
    _settle(path)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        move_folder(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def move_folder(draft: pathlib.Path, path: pathlib.Path) -> None:
    """Moves a folder to `path`, flushed to disk; replaces an existing one.

    Args:
      draft: Folder to move.
      path: Its new path, in the same folder.

    Raises:
      OSError: The folder cannot be flushed or moved; an existing one stays.
    """
    for part in [*draft.rglob("*"), draft]:
        flush(part)
    _settle(path)
    try:
        if path.exists():
            path.rename(_old(path))
        draft.rename(path)
        flush(path.parent)
    finally:
        _settle(path)


def _old(path: pathlib.Path) -> pathlib.Path:
    """Returns the path of a folder while another one replaces it."""
    return path.with_name(path.name + ".old")


def _settle(path: pathlib.Path) -> None:
    """Ends an exchange of folders: the old one goes, or back if it is alone."""
    if path.exists():
        shutil.rmtree(_old(path), ignore_errors=True)
    elif _old(path).exists():
        _old(path).rename(path)


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
