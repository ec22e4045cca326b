"""Tests the stream of slices against slow slicers: cuts, order, caches."""

import pathlib
import struct
import subprocess
import sys
from typing import Any

import hypothesis
import numpy as np
import pytest
import soundfile
import tensorflow as tf
import wavs
from hypothesis import strategies as st

import loader
from audio import decode


def forbid(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*args: Any) -> None:
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(decode, name, fail)


# Which slices


@hypothesis.given(
    st.lists(st.integers(1, 300), min_size=1, max_size=6),
    st.integers(1, 70),
    st.floats(0, 0.9),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_slice_index_matches_the_documented_rule(
    lens: list[int],
    slice_len: int,
    overlap: float,
    first: bool,
    pad_end: bool,
    move: bool,
) -> None:
    hop = int(round(slice_len * (1 - overlap)) + 1e-4)
    hypothesis.assume(hop > 0)
    index = loader.index_slices(
        [wavs.info_of(n) for n in lens],
        slice_len,
        first_slice=first,
        pad_end=pad_end,
        overlap_ratio=overlap,
        random_offset=move,
    )
    wanted = []
    for file, n in enumerate(lens):
        for offset in wavs.slow_offsets(n, slice_len, hop, first, pad_end):
            slack = 0
            while move and slack < hop - 1 and offset + slack + slice_len < n:
                slack += 1
            span = min(n - offset, slice_len + slack)
            wanted.append((file, offset, slack, span))
    columns = index.file, index.offset, index.slack, index.span
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == wanted
    assert index.num_slices == len(wanted)
    assert index.cache_bytes == 2 * sum(row[3] for row in wanted)
    assert index.seconds == pytest.approx(sum(lens) / wavs.RATE)


@pytest.mark.parametrize("pad_end", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("overlap, hop", [(0, 64), (0.5, 32), (0.9, 6)])
def test_slices_hold_the_samples_that_the_index_names(
    tmp_path: pathlib.Path, pad_end: bool, first: bool, overlap: float, hop: int
) -> None:
    lens = [1, 63, 64, 65, 150, 128, 1000]
    slices = wavs.epoch(
        wavs.write_all(tmp_path, lens),
        first_slice=first,
        pad_end=pad_end,
        overlap_ratio=overlap,
    )
    wanted = [
        wavs.slow_slices(wavs.noise(n, seed=i), 64, hop, first, pad_end)
        for i, n in enumerate(lens)
    ]
    np.testing.assert_array_equal(slices, np.concatenate(wanted))


# In which order


@pytest.mark.parametrize("num_slices", [1, 2, 7])
def test_every_epoch_covers_each_slice_once(
    tmp_path: pathlib.Path, num_slices: int
) -> None:
    paths = wavs.write_all(tmp_path, [64] * num_slices)
    heads = wavs.epoch(paths)[:, :, 0].tolist()
    seen = wavs.stream(paths, 20 * num_slices, seed=3)[:, :, 0].tolist()
    orders = np.reshape([heads.index(s) for s in seen], [20, num_slices])
    assert np.all(np.sort(orders) == np.arange(num_slices))
    for position in range(20 * num_slices):  # as the public function shuffles
        key = [3, position // num_slices]
        k = tf.random.experimental.index_shuffle(
            tf.constant(position % num_slices, tf.int64),
            tf.constant(key, tf.int64),
            tf.constant(num_slices - 1, tf.int64),
        )
        assert orders.ravel()[position] == int(k)
    assert len({tuple(order) for order in orders}) > (num_slices > 2)


def test_same_seed_gives_the_same_stream(tmp_path: pathlib.Path) -> None:
    paths = wavs.write_all(tmp_path, [640, 300])
    one = wavs.stream(paths, 24, random_offset=True)
    again = wavs.stream(paths, 24, random_offset=True, batch_size=3)
    other = wavs.stream(paths, 24, random_offset=True, seed=1)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("start", [0, 1, 13, 14, 29])
def test_start_continues_the_stream_at_that_batch(
    tmp_path: pathlib.Path, start: int
) -> None:
    paths = wavs.write_all(tmp_path, [640, 300])
    whole = wavs.stream(paths, 60, random_offset=True, cache="memory")
    rest = wavs.stream(paths, 20, random_offset=True, start=start)
    np.testing.assert_array_equal(rest, whole[start : start + 20])


def test_without_repeat_start_ends_with_its_epoch(
    tmp_path: pathlib.Path,
) -> None:
    paths = wavs.write_all(tmp_path, [640])
    for start, left in [(0, 10), (3, 7), (10, 10), (19, 1)]:
        assert len(wavs.epoch(paths, start=start)) == left
        assert len(wavs.epoch(paths, start=start, shuffle=True)) == left
    shapes = loader.make_dataset(
        paths, slice_len=64, batch_size=4, repeat=False
    )
    assert shapes.element_spec.shape == [4, 64, 1]
    assert len(list(shapes)) == 2


def test_random_offsets_stay_within_hop_and_file(
    tmp_path: pathlib.Path,
) -> None:
    ramp = (np.arange(200)[:, None] + 1) / 32768
    paths = [
        wavs.write(tmp_path / "a.wav", ramp),
        wavs.write(tmp_path / "b.wav", ramp[:9]),
    ]
    slices = (
        wavs.stream(paths, 4 * 500, random_offset=True, shuffle=False) * 32768
    )
    starts = slices[:, 0, 0].astype(int).reshape(500, 4) - 1
    np.testing.assert_array_equal(starts.min(axis=0), [0, 64, 128, 0])
    np.testing.assert_array_equal(starts.max(axis=0), [63, 127, 136, 0])
    counts = np.bincount(starts[:, 2] - 128)
    assert len(counts) == 9 and counts.min() > 25  # 56 each, were it even
    for row in slices.reshape(500, 4, 64)[:, :3].reshape(-1, 64):
        np.testing.assert_array_equal(row, row[0] + np.arange(64))


# From where: the caches, the graph, the disk


@pytest.mark.parametrize("normalize", [False, True])
def test_cached_stream_equals_uncached_stream(
    tmp_path: pathlib.Path, normalize: bool
) -> None:
    paths = wavs.write_all(tmp_path, [640, 30, 64, 200])
    paths += [
        wavs.write(tmp_path / "a.flac", wavs.noise(3000), 22050),
        wavs.write(tmp_path / "a.mp3", wavs.noise(3000, 2)),
        wavs.write(
            tmp_path / "f.wav", wavs.noise(200) / 3, codec=("WAV", "FLOAT")
        ),
        wavs.write(
            tmp_path / "u.wav", wavs.noise(200, 2), codec=("WAV", "PCM_U8")
        ),
    ]
    rule: dict[str, Any] = {"normalize": normalize, "overlap_ratio": 0.4}
    rule |= {"random_offset": True, "pad_end": True, "batch_size": 20}
    wanted = wavs.stream(paths, 600, **rule)
    for cache in ("memory", "disk"):
        rule["cache"] = cache
        np.testing.assert_array_equal(wavs.stream(paths, 600, **rule), wanted)
        rest = wavs.stream(paths, 200, start=400, **rule)
        np.testing.assert_array_equal(rest, wanted[400:])


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_cached_slices_are_not_decoded_again(
    tmp_path: pathlib.Path, cache: str
) -> None:
    paths = wavs.write_all(tmp_path / "audio", [640, 30, 200])
    paths.append(wavs.write(tmp_path / "audio" / "a.flac", wavs.noise(300)))
    folder = tmp_path / "cache"
    folder.mkdir()
    dataset = loader.make_dataset(
        paths, slice_len=64, batch_size=18, cache=cache, cache_dir=folder
    )
    first = next(iter(dataset)).numpy()
    for path in paths:
        pathlib.Path(path).unlink()
    for again, _ in zip(dataset, range(3), strict=False):
        assert sorted(again[:, 0, 0]) == sorted(first[:, 0, 0])
    assert not list(folder.iterdir())


def test_a_cache_larger_than_memory_or_disk_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = loader.index_slices([wavs.info_of(6400)], 64)
    assert index.cache_bytes == 12800
    monkeypatch.setattr(loader, "_free_ram", lambda: 4 * 12800)
    assert loader._make_store("auto", index, None) is not None
    monkeypatch.setattr(loader, "_free_ram", lambda: 4 * 12800 - 4)
    assert loader._make_store("auto", index, None) is None
    monkeypatch.setattr(loader, "_free_ram", lambda: 12799)
    usage = loader.shutil.disk_usage(tmp_path)._replace(free=12799)
    monkeypatch.setattr(loader.shutil, "disk_usage", lambda _: usage)
    for cache in ("memory", "disk"):
        with pytest.raises(ValueError, match="12,800 bytes, 12,799 are free"):
            loader._make_store(cache, index, tmp_path)


@pytest.mark.parametrize("channels, normalize", [(1, True), (2, False)])
@pytest.mark.parametrize(
    "codec, io",
    [
        (("WAV", "PCM_16"), False),
        (("WAVEX", "PCM_16"), True),
        (("WAV", "PCM_U8"), True),
        (("WAV", "PCM_24"), True),
        (("WAV", "FLOAT"), True),
        (("WAVEX", "FLOAT"), True),
    ],
)
def test_graph_decoder_and_soundfile_give_the_same_samples(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    codec: tuple[str, str],
    io: bool,
    channels: int,
    normalize: bool,
) -> None:
    if io:
        pytest.importorskip("tensorflow_io")
    audio = np.random.default_rng(0).normal(0, 0.4, [200, 2])  # loud: clipped
    paths = [
        wavs.write(tmp_path / "1.wav", audio[:, :1], codec=codec),
        wavs.write(tmp_path / "2.wav", audio[:50], codec=codec),
    ]
    rule: dict[str, Any] = {"normalize": normalize, "channels": channels}
    with monkeypatch.context() as patch:
        patch.setattr(decode, "route", lambda *_: 0)
        wanted = wavs.epoch(paths, **rule)
    forbid(monkeypatch, "read")
    np.testing.assert_array_equal(wavs.epoch(paths, **rule), wanted)


def test_graph_decoder_gets_only_intact_wav_files(
    tmp_path: pathlib.Path,
) -> None:
    whole = pathlib.Path(
        wavs.write(tmp_path / "a.wav", wavs.noise(101))
    ).read_bytes()
    head, data = whole[:36], whole[36:]
    files = {
        "intact": (whole, True),
        "even chunk": (
            head + b"LIST" + struct.pack("<I", 4) + b"12 4" + data,
            True,
        ),
        "odd chunk": (
            head + b"LIST" + struct.pack("<I", 3) + b"123\0" + data,
            False,
        ),
        "junk at the end": (whole + b"junk!", False),
        "second chunk": (
            whole + b"LIST" + struct.pack("<I", 4) + b"1234",
            False,
        ),
        "cut": (whole[:-20], False),
        "RIFF size": (whole[:4] + b"\0\1\0\0" + whole[8:], False),
        "block align 0": (whole[:32] + b"\0\0" + whole[34:], False),
        "bytes a second 0": (whole[:28] + bytes(4) + whole[32:], False),
        "data size unknown": (whole[:40] + b"\xff" * 4 + whole[44:], False),
    }
    for name, (contents, intact) in files.items():
        path = tmp_path / f"{name}.wav"
        if name != "RIFF size":
            size = struct.pack("<I", len(contents) - 8)
            contents = contents[:4] + size + contents[8:]
        path.write_bytes(contents)
        infos, _ = loader.scan_audio([path])
        assert infos[0].intact == intact, name
        assert infos[0].num_samples == (91 if name == "cut" else 101), name
        wanted = wavs.slow_slices(wavs.noise(101), 64, 64, True, False)
        np.testing.assert_array_equal(
            wavs.epoch([str(path)], first_slice=True), wanted
        )
    odd = wavs.write(
        tmp_path / "odd.wav", wavs.noise(101), codec=("WAV", "PCM_U8")
    )
    assert not loader.scan_audio([odd])[0][0].intact


@pytest.mark.parametrize("ending", ["wav", "flac"])
@pytest.mark.parametrize("rate", [wavs.RATE, 44100])
def test_long_files_are_read_in_windows(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    rate: int,
) -> None:
    path = wavs.write(tmp_path / f"long.{ending}", wavs.noise(500_000), rate)
    reads = []
    read = decode._decode

    def counted(info: loader.AudioInfo, start: int, stop: int) -> Any:
        reads.append(stop - start)
        return read(info, start, stop)

    monkeypatch.setattr(decode, "_decode", counted)
    monkeypatch.setattr(decode, "_BLOCK_LEN", 4096)
    wavs.stream([path], 8, slice_len=1024)
    assert min(reads) > 0 and max(reads) <= (1024 + 3 * 256 + 160) * 3
    reads.clear()
    wavs.stream([path], 8, slice_len=1024, normalize=True)  # needs every sample
    assert sum(reads) > 500_000 and max(reads) <= (4096 + 3 * 256 + 160) * 3


@pytest.mark.parametrize("rate", [wavs.RATE, 44100])
def test_long_files_without_exact_seeks_are_decoded_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    path = wavs.write(tmp_path / "long.mp3", wavs.noise(500_000), rate)
    reads = []
    read = decode._decode

    def counted(info: loader.AudioInfo, start: int, stop: int) -> Any:
        reads.append(stop)
        return read(info, start, stop)

    monkeypatch.setattr(decode, "_decode", counted)
    wavs.stream([path], 64, slice_len=1024, random_offset=True)
    assert [stop for stop in reads if stop > 8192] == [500_000]


@pytest.mark.slow
def test_a_program_can_exit_while_the_stream_is_decoding(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "a.flac"  # which Python decodes
    soundfile.write(path, np.zeros(16000), 16000)
    # Batches take about two seconds, so the program ends within one.
    code = (
        "import time, loader\n"
        "sizes = {'slice_len': 1024, 'batch_size': 1000, 'cache': 'none'}\n"
        f"batches = iter(loader.make_dataset([{str(path)!r}], **sizes))\n"
        "next(batches)\n"
        "time.sleep(0.4)\n"
    )
    root = pathlib.Path(loader.__file__).parent
    # A slow machine needs up to a minute; only a program that hangs needs more.
    subprocess.run(
        [sys.executable, "-c", code], cwd=root, timeout=300, check=True
    )
