"""Files and folders whole or not at all, through a kill or a power cut."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator


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


@contextlib.contextmanager
def folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Within it, an empty folder may be filled; behind it, it is at its place.

    It replaces what was there. If it is not filled to the end, what was there
    stays; a kill while they change places leaves it beside, till the next time.

    Args:
      path: Its place; folders above are made.

    Raises:
      OSError: The disk refuses.
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
    """Puts what was there back, if nothing took its place."""
    if old.exists() and not path.exists():
        old.rename(path)


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
