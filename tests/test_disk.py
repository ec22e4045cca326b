"""Tests what runs do on disks that cannot lock, flush or reserve."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
from collections.abc import Callable

import pytest

from system import atomic, disk
from training import train_dir


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets earlier warnings."""
    monkeypatch.setattr(disk, "_warned", set())


def failing(code: int) -> Callable[..., None]:
    """A system call that fails with an error code."""

    def fail(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [38, 37, 95])
def test_a_disk_without_locks_is_warned_of_once(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings: list[str],
    code: int,
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(code))
    for name in ("a", "b"):
        with train_dir.TrainDir(tmp_path / name).lock():
            pass
    (line,) = warnings
    assert "cannot lock files" in line and "second training" in line


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM])
def test_a_disk_that_cannot_flush_folders_is_warned_of_once(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings: list[str],
    code: int,
) -> None:
    fsync, fail = os.fsync, failing(code)

    def flush_files(number: int) -> None:
        is_folder = os.path.isdir(f"/proc/self/fd/{number}")  # noqa: PTH112
        (fail if is_folder else fsync)(number)

    monkeypatch.setattr(os, "fsync", flush_files)
    for name in ("a", "b"):
        atomic.write(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"
    (line,) = warnings
    assert "cannot flush" in line and "power cut" in line


def test_an_error_of_the_disk_is_still_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        atomic.write(tmp_path / "a", b"x")
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    with (
        (tmp_path / "b").open("w+b") as file,
        pytest.raises(OSError, match="No space"),
    ):
        disk.reserve(file, 10)


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, None])
def test_space_is_reserved_without_fallocate(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    if code is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", failing(code))
    size = (1 << 20) + 17
    with (tmp_path / "a").open("w+b") as file:
        disk.reserve(file, size)
        status = os.fstat(file.fileno())
    assert status.st_size == size <= status.st_blocks * 512
