"""Tests which slices replace those of a file that fails while streamed."""

import os
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wavs

import loader
from audio import decode, headers, reader


def break_files(folder: pathlib.Path) -> list[str]:
    """Writes five files, two of which have slices that cannot be read."""
    paths = wavs.write_all(folder, [640, 300, 700])
    damaged = pathlib.Path(wavs.write(folder / "011.flac", wavs.noise(20000)))
    contents = bytearray(damaged.read_bytes())
    contents[len(contents) // 2] ^= 0x55
    damaged.write_bytes(contents)
    audio = wavs.noise(500)
    audio[200] = np.nan
    odd = wavs.write(folder / "3.wav", audio, codec=("WAV", "FLOAT"))
    return sorted([*paths, str(damaged), odd])


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once."""
    monkeypatch.setattr(reader, "RETRY_SECS", 0.0)


def test_the_next_file_stands_in_whatever_was_read_before(
    tmp_path: pathlib.Path,
) -> None:
    paths = break_files(tmp_path)
    reported: list[tuple[str, str]] = []
    rule: dict[str, Any] = {"random_offset": True, "max_bad": 0.4}
    whole = wavs.stream(
        paths, 400, on_skip=lambda *words: reported.append(words), **rule
    )
    assert sorted(path for path, _ in reported) == [paths[2], paths[4]]
    assert "NaN" in dict(reported)[paths[4]]
    for batch_size, cache in [(4, "none"), (7, "memory"), (9, "disk")]:
        settings = rule | {"batch_size": batch_size, "cache": cache}
        again = wavs.stream(paths, 100, start=300, **settings)
        np.testing.assert_array_equal(again, whole[300:])


def test_a_stand_in_moves_no_further_than_it_may(
    tmp_path: pathlib.Path,
) -> None:
    short = wavs.write(tmp_path / "0.wav", wavs.noise(70))
    gone = wavs.write(tmp_path / "1.wav", wavs.noise(640))
    batches = loader.make_dataset(
        [short, gone],
        slice_len=64,
        batch_size=11,
        random_offset=True,
        max_bad=0.5,
    )
    pathlib.Path(gone).unlink()
    ways = [wavs.noise(70)[i : i + 64] for i in range(7)]
    for piece in np.concatenate([b.numpy() for b in batches.take(3)]):
        assert any(np.array_equal(piece, way) for way in ways)


def test_too_many_bad_files_end_the_stream(tmp_path: pathlib.Path) -> None:
    paths = break_files(tmp_path)
    text = r"cannot decode .*; replace or remove it"
    counted = text + r" \(1 of 5 files were bad already\)"
    with pytest.raises(tf.errors.OpError, match=counted):
        wavs.epoch(paths, max_bad=0.39)
    with pytest.raises(tf.errors.OpError, match=text) as caught:
        wavs.epoch(paths)
    assert "already" not in str(caught.value)


def test_where_all_are_bad_the_stream_ends(tmp_path: pathlib.Path) -> None:
    paths = wavs.write_all(tmp_path, [64, 64])
    batches = loader.make_dataset(paths, slice_len=64, batch_size=2, max_bad=1)
    for path in paths:
        pathlib.Path(path).unlink()
    with pytest.raises(tf.errors.OpError, match="cannot decode .*0.\\.wav"):
        next(iter(batches))


def test_a_file_that_can_be_read_again_is_not_bad(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wavs.write(tmp_path / "x.flac", wavs.noise(640))
    read, tries = decode.read, []

    def stutter(info: loader.AudioInfo, *rest: Any) -> np.ndarray:
        tries.append(info.path)
        if len(tries) == 1:
            raise headers.BadAudioError(info.path, "stale file handle")
        return read(info, *rest)

    monkeypatch.setattr(decode, "read", stutter)
    np.testing.assert_array_equal(
        wavs.epoch([path]).ravel(), wavs.noise(640)[:, 0]
    )


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_no_changed_file_slips_through(
    tmp_path: pathlib.Path, ending: str
) -> None:
    path = pathlib.Path(wavs.write(tmp_path / f"x.{ending}", wavs.noise(640)))
    for seconds in (0, 1):
        batches = loader.make_dataset([path], slice_len=64, batch_size=10)
        status = path.stat()
        next(iter(batches))
        os.utime(path, ns=(0, status.st_mtime_ns + 10**9 * seconds))
        if seconds:
            with pytest.raises(tf.errors.OpError, match="changed since"):
                next(iter(batches))
        else:
            next(iter(batches))


def test_what_the_graph_decodes_is_checked_byte_by_byte(
    tmp_path: pathlib.Path,
) -> None:
    path = pathlib.Path(wavs.write(tmp_path / "x.wav", wavs.noise(64)))
    (info,), _ = loader.scan_audio([path])
    contents = path.read_bytes()
    assert decode.read_intact(info) == contents
    for at in (
        0,
        4,
        22,
        32,
        34,
        40,
    ):  # a lie that size and time do not give away
        path.write_bytes(contents[:at] + b"\x7f" + contents[at + 1 :])
        os.utime(path, ns=(0, info.mtime_ns))
        assert decode.read_intact(info) is None
    path.unlink()
    assert decode.read_intact(info) is None
