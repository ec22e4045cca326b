"""Remembers the audio files of a run in its train dir."""

import dataclasses
import json

from absl import logging

import loader
from system import atomic
from training import train_dir

_VERSION = 2  # of files.json; in the first, some lengths were guesses


def write(
    infos: list[loader.AudioInfo],
    skipped: dict[str, str],
    directory: train_dir.TrainDir,
) -> None:
    """Writes the headers of the usable files, and why others are skipped."""
    rows = [dataclasses.astuple(info) for info in infos]
    files = {"version": _VERSION, "files": rows}
    atomic.write(directory.path / "files.json", json.dumps(files).encode())
    lines = (f"{path!r}: {why}\n" for path, why in skipped.items())
    atomic.write(directory.skipped, "".join(lines).encode())


def read(directory: train_dir.TrainDir) -> list[loader.AudioInfo]:
    """Returns the headers that `write` wrote in this version, or none."""
    try:
        files = json.loads((directory.path / "files.json").read_bytes())
        if files["version"] != _VERSION:
            return []
        return [loader.AudioInfo(*row) for row in files["files"]]
    except (OSError, LookupError, ValueError, TypeError, RecursionError):
        return []


def compare(
    before: list[loader.AudioInfo], now: list[loader.AudioInfo]
) -> None:
    """Warns where the files are no longer those that a run began with."""
    old = {info.path: info.num_bytes for info in before}
    new = {info.path: info.num_bytes for info in now}
    # The folder may have moved as a whole.
    moved = not old.keys() & new.keys()
    moved &= sorted(old.values()) == sorted(new.values())
    changed = sum(new[path] != old[path] for path in old.keys() & new.keys())
    if before and (changed or old.keys() != new.keys()) and not moved:
        logging.warning(
            "the data are not those that this run began with: %d files more, "
            "%d gone, %d changed; it goes on, but not as it would have",
            len(new.keys() - old.keys()),
            len(old.keys() - new.keys()),
            changed,
        )
