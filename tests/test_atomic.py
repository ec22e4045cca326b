"""Tests that files are written whole or not at all, and reach the disk."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest

from system import atomic


def test_what_is_written_is_there_and_nothing_else(
    tmp_path: pathlib.Path,
) -> None:
    atomic.write(tmp_path / "a", b"one")
    atomic.write(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_leaves_the_old_file_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    atomic.write(path, b"old")

    def fail(self: pathlib.Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pathlib.Path, "write_bytes", fail)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        atomic.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_files_are_on_the_disk_before_they_get_their_names(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, replace = os.fsync, pathlib.Path.replace

    def note_fsync(number: int) -> None:
        events.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
        fsync(number)

    def note_replace(self: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
        events.append(f"name {path.name}")
        return replace(self, path)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(pathlib.Path, "replace", note_replace)
    atomic.write(tmp_path / "a", b"one")
    folder = str(tmp_path.resolve())
    assert events == [f"{folder}/a.part", "name a", folder]


def test_a_folder_takes_the_place_of_the_old_one_when_it_is_full(
    tmp_path: pathlib.Path,
) -> None:
    place = tmp_path / "above" / "a"
    for name in ("old", "new"):
        with atomic.folder(place) as draft:
            (draft / "sub").mkdir()
            (draft / "sub" / name).write_text(name)
            assert not (place / "sub" / name).exists()
        assert [p.name for p in (place / "sub").iterdir()] == [name]
        assert list(place.parent.iterdir()) == [place]


def test_a_folder_that_is_not_filled_leaves_the_old_one_alone(
    tmp_path: pathlib.Path,
) -> None:
    place = tmp_path / "a"
    with atomic.folder(place) as draft:
        (draft / "old").touch()
    with pytest.raises(ValueError, match="half"), atomic.folder(place) as draft:
        (draft / "new").touch()
        raise ValueError("half")
    assert [path.name for path in place.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a"
    with atomic.folder(place) as draft:
        (draft / "old").touch()
    rename = pathlib.Path.rename

    def refuse(self: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
        if self.suffix == ".part":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", refuse)
    with pytest.raises(OSError, match="error"), atomic.folder(place) as draft:
        (draft / "new").touch()
    assert [path.name for path in place.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [place]


def test_a_kill_between_two_folders_loses_neither(
    tmp_path: pathlib.Path,
) -> None:
    place = tmp_path / "a"
    with atomic.folder(place) as draft:
        (draft / "old").touch()
    place.rename(tmp_path / "a.old")  # as a kill leaves it
    with pytest.raises(ValueError, match="half"), atomic.folder(place):
        raise ValueError("half")
    assert [path.name for path in place.iterdir()] == ["old"]
