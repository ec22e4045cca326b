"""Replaces --flagfile on the command line by the flags of that file."""

import codecs
import pathlib
from collections.abc import Sequence

FLAG = "--flagfile"


def expand(argv: Sequence[str], open_files: tuple[str, ...] = ()) -> list[str]:
    """Replaces each --flagfile by the flags in it.

    A file holds a flag a line; lines that begin with # or // are comments. It
    may name other files. absl, which does the same, cannot read what PowerShell
    writes: UTF-16, or UTF-8 with a byte order mark.

    Args:
      argv: Words of the command line, or of a file.
      open_files: Files that are being expanded.

    Raises:
      OSError: A file cannot be read.
      ValueError: A file is not text, or names itself.
    """
    expanded: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*expanded, word, *words]
        flag, equals, path = word.partition("=")
        if flag.replace("--", "-", 1) != FLAG[1:]:
            expanded.append(word)
            continue
        path = path if equals else next(words, "")
        if path in open_files:
            raise ValueError(f"{FLAG}={path} names itself, by other files")
        expanded += expand(_read(path), (*open_files, path))
    return expanded


def _read(path: str) -> list[str]:
    """Reads the lines of a file that are no comments."""
    content = pathlib.Path(path).expanduser().read_bytes()
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{FLAG}={path} is no text in UTF-8: save it as UTF-8"
        ) from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "//"))]
