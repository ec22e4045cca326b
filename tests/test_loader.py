"""The loader against slow slicers, and against what lies on real disks."""

import os
import pathlib
import struct
from typing import Any

import hypothesis
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from hypothesis import strategies as st

import loader

RATE = 16000
CODECS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAVEX", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("AIFF", "PCM_16"),
]


def noise(num_samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Audio on the 16-bit grid, peak below 0.5."""
    draw = np.random.default_rng(seed).integers
    samples = draw(-15000, 15000, [num_samples, channels])
    return samples.astype(np.float32) / 32768


def write(
    path: pathlib.Path,
    audio: np.ndarray,
    rate: int = RATE,
    codec: tuple[str | None, str | None] = (None, None),
) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, format=codec[0], subtype=codec[1])
    return str(path)


def write_all(folder: pathlib.Path, lens: list[int]) -> list[str]:
    return [
        write(folder / f"{i:02}.wav", noise(n, seed=i))
        for i, n in enumerate(lens)
    ]


def stream(paths: list[str], count: int, **settings: Any) -> np.ndarray:
    """The first slices that come out, `[count, slice_len, channels]`."""
    settings = {"slice_len": 64, "batch_size": 4, **settings}
    dataset = loader.make_dataset(paths, **settings)
    slices: list[np.ndarray] = []
    for batch in dataset.take(-(-count // settings["batch_size"])):
        slices.extend(batch.numpy())
    return np.stack(slices[:count])


def epoch(paths: list[str], **settings: Any) -> np.ndarray:
    """All slices in the order of the index."""
    once = {"shuffle": False, "repeat": False, "drop_remainder": False}
    return stream(paths, 10**6, **once | settings)


def slow_offsets(
    num_samples: int, slice_len: int, hop: int, first: bool, pad_end: bool
) -> list[int]:
    if num_samples < slice_len or first:
        return [0]
    offsets = []
    for offset in range(0, num_samples, hop):
        if pad_end or offset + slice_len <= num_samples:
            offsets.append(offset)
    return offsets


def slow_slices(audio: np.ndarray, slice_len: int, *rule: Any) -> np.ndarray:
    padded = np.concatenate([audio, np.zeros([slice_len, *audio.shape[1:]])])
    offsets = slow_offsets(len(audio), slice_len, *rule)
    return np.stack([padded[o : o + slice_len] for o in offsets])


def info_of(num_samples: int, rate: int = RATE) -> loader.AudioInfo:
    header = "x.wav", num_samples, rate, 1, "WAV", "PCM_16", 1, 1, True
    return loader.AudioInfo(*header)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the loader warns of."""
    said: list[str] = []
    keep = lambda text, *args: said.append(text % args)  # noqa: E731
    monkeypatch.setattr(loader.logging, "warning", keep)
    return said


def forbid(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*args: Any) -> None:
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(loader, name, fail)


# Which files


def test_audio_is_found_at_any_depth_in_order(tmp_path: pathlib.Path) -> None:
    wanted = [
        "B.WAV",
        "a/1.flac",
        "a/b/[1]*.ogg",
        "c.d/x.Mp3",
        "y.aif",
        "z.aiff",
    ]
    others = [
        ".x.wav",
        ".git/y.wav",
        "a/._b.wav",
        "notes.txt",
        "wav",
        "a.wav.gz",
    ]
    for name in wanted + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "link.wav").symlink_to(tmp_path / "B.WAV")
    found = sorted(str(tmp_path / name) for name in [*wanted, "link.wav"])
    assert loader.find_audio(tmp_path) == found


def test_a_train_folder_is_used_alone(tmp_path: pathlib.Path) -> None:
    inside = write(tmp_path / "train" / "a.wav", noise(9))
    write(tmp_path / "valid" / "b.wav", noise(9))
    assert loader.find_audio(tmp_path) == [inside]


def test_bad_folders_are_named_in_one_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.txt").touch()
    cases = {"none": FileNotFoundError, "a.txt": ValueError, "": ValueError}
    for name, error in cases.items():
        with pytest.raises(error, match=tmp_path.name) as caught:
            loader.find_audio(tmp_path / name)
        assert "\n" not in str(caught.value)


# What files hold


@pytest.mark.parametrize("codec", CODECS, ids="-".join)
def test_lossless_codecs_give_the_samples_written(
    tmp_path: pathlib.Path, codec: tuple[str, str]
) -> None:
    audio = noise(1001, 2)
    audio = np.round(audio * 128) / 128 if codec[1] == "PCM_U8" else audio
    path = write(tmp_path / "a", audio, codec=codec)
    decoded = loader.decode_audio(path, channels=2)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, audio)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_codecs_come_close(tmp_path: pathlib.Path, name: str) -> None:
    audio = 0.5 * np.sin(np.arange(8000) * 0.1)
    path = write(tmp_path / name, audio)
    decoded = loader.decode_audio(path)[:, 0]
    assert decoded.shape == audio.shape
    assert np.abs(decoded - audio)[1000:-1000].max() < 0.03


def test_mono_is_the_mean_and_more_is_a_copy(tmp_path: pathlib.Path) -> None:
    audio = noise(500, 3)
    path = write(tmp_path / "a.wav", audio)
    mean = (audio[:, 0] + audio[:, 1] + audio[:, 2]) / 3
    mono = loader.decode_audio(path)
    np.testing.assert_allclose(mono[:, 0], mean, atol=1e-7)
    np.testing.assert_array_equal(loader.decode_audio(path, channels=3), audio)
    np.testing.assert_allclose(epoch([path])[0], mono[:64], atol=2e-5)
    single = write(tmp_path / "b.wav", audio[:, :1])
    copies = loader.decode_audio(single, channels=2)
    np.testing.assert_array_equal(copies, np.repeat(audio[:, :1], 2, axis=1))
    np.testing.assert_array_equal(epoch([single], channels=2)[0], copies[:64])
    with pytest.raises(ValueError, match="a.wav' has 3 channels, not 1 or 2"):
        loader.make_dataset([path], slice_len=64, batch_size=1, channels=2)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_a_tone(tmp_path: pathlib.Path, rate: int) -> None:
    def tone(sample_rate: int, num_samples: int) -> np.ndarray:
        return 0.5 * np.sin(np.arange(num_samples) * 2750 / sample_rate)

    path = write(tmp_path / "a.wav", tone(rate, 20011), rate, ("WAV", "FLOAT"))
    audio = loader.decode_audio(path, RATE)[:, 0]
    assert len(audio) == int(np.ceil(20011 * RATE / rate))
    error = audio - tone(RATE, len(audio))
    assert np.abs(error[300:-300]).max() < 1e-4


@pytest.mark.parametrize("rate", [8000, 15999, 44100])
@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_windows_equal_the_whole(
    tmp_path: pathlib.Path, rate: int, ending: str
) -> None:
    path = write(tmp_path / f"a.{ending}", noise(90001), rate)
    whole = loader.decode_audio(path, RATE)
    windows = epoch([path], slice_len=1024, overlap_ratio=0.3, pad_end=True)
    wanted = slow_slices(whole, 1024, 717, False, True)
    np.testing.assert_allclose(windows, wanted, atol=1e-4)


def test_normalize_divides_by_the_peak_of_the_file(
    tmp_path: pathlib.Path,
) -> None:
    for name, audio, rate in [
        ("short.wav", noise(200, 2), RATE),
        ("long.wav", noise(5000, 2), RATE),
        ("resampled.flac", noise(5000, 2), 44100),
        ("silence.wav", np.zeros([200, 2]), RATE),
    ]:
        path = write(tmp_path / name, audio, rate)
        plain = loader.decode_audio(path, RATE)
        whole = loader.decode_audio(path, RATE, normalize=True)
        peak = float(np.abs(plain).max()) or 1.0
        np.testing.assert_allclose(whole, plain / peak, atol=1e-6)
        slices = epoch([path], normalize=True)
        wanted = slow_slices(whole, 64, 64, False, False)
        np.testing.assert_allclose(slices, wanted, atol=1e-4)
        assert np.abs(slices).max() <= 1


def test_loud_floats_are_clipped_or_normalized(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "a.wav", noise(64) * 8, codec=("WAV", "FLOAT"))
    loud = loader.decode_audio(path)
    assert np.abs(loud).max() > 2
    clipped = np.clip(loud, -1, 32767 / 32768)
    np.testing.assert_array_equal(epoch([path])[0], clipped)
    scaled = loud / np.abs(loud).max()
    np.testing.assert_allclose(
        epoch([path], normalize=True)[0], scaled, atol=2e-5
    )


@hypothesis.given(st.integers(-32768, 32767))
def test_16_bit_samples_survive_both_ways(sample: int) -> None:
    audio = loader.from_int16(np.array([sample], np.int16))
    assert audio[0] == sample / 32768
    assert loader.to_int16(audio)[0] == sample


def test_to_int16_rounds_and_clips() -> None:
    audio = np.array([1.0, -1.0, 3.0, -3.0, 0.6 / 32768, -0.6 / 32768])
    wanted = [32767, -32768, 32767, -32768, 1, -1]
    assert loader.to_int16(audio).tolist() == wanted


def test_load_clips_takes_first_slices(tmp_path: pathlib.Path) -> None:
    paths = write_all(tmp_path, [50, 64, 500])
    clips = loader.load_clips(paths, 64, RATE)
    assert clips.shape == (3, 64) and clips.dtype == np.float32
    for i, num_samples in enumerate([50, 64, 500]):
        wanted = slow_slices(noise(num_samples, seed=i), 64, 64, True, False)
        np.testing.assert_array_equal(clips[i], wanted[0, :, 0])


# Which slices


@hypothesis.given(
    st.lists(st.integers(1, 300), min_size=1, max_size=6),
    st.integers(1, 70),
    st.floats(0, 0.9),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_index_follows_the_rule(
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
        [info_of(n) for n in lens],
        slice_len,
        first_slice=first,
        pad_end=pad_end,
        overlap_ratio=overlap,
        random_offset=move,
    )
    wanted = []
    for file, n in enumerate(lens):
        for offset in slow_offsets(n, slice_len, hop, first, pad_end):
            slack = 0
            while move and slack < hop - 1 and offset + slack + slice_len < n:
                slack += 1
            span = min(n - offset, slice_len + slack)
            wanted.append((file, offset, slack, span))
    columns = index.file, index.offset, index.slack, index.span
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == wanted
    assert index.num_slices == len(wanted)
    assert index.cache_bytes == 2 * sum(row[3] for row in wanted)
    assert index.seconds == pytest.approx(sum(lens) / RATE)


@pytest.mark.parametrize("pad_end", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("overlap, hop", [(0, 64), (0.5, 32), (0.9, 6)])
def test_slices_are_cut_where_the_rule_says(
    tmp_path: pathlib.Path, pad_end: bool, first: bool, overlap: float, hop: int
) -> None:
    lens = [1, 63, 64, 65, 150, 128, 1000]
    slices = epoch(
        write_all(tmp_path, lens),
        first_slice=first,
        pad_end=pad_end,
        overlap_ratio=overlap,
    )
    wanted = [
        slow_slices(noise(n, seed=i), 64, hop, first, pad_end)
        for i, n in enumerate(lens)
    ]
    np.testing.assert_array_equal(slices, np.concatenate(wanted))


# In which order


@pytest.mark.parametrize("num_slices", [1, 2, 7])
def test_every_epoch_covers_each_slice_once(
    tmp_path: pathlib.Path, num_slices: int
) -> None:
    paths = write_all(tmp_path, [64] * num_slices)
    heads = epoch(paths)[:, :, 0].tolist()
    seen = stream(paths, 20 * num_slices, seed=3)[:, :, 0].tolist()
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


def test_the_stream_follows_the_seed_alone(tmp_path: pathlib.Path) -> None:
    paths = write_all(tmp_path, [640, 300])
    one = stream(paths, 24, random_offset=True)
    again = stream(paths, 24, random_offset=True, batch_size=3)
    other = stream(paths, 24, random_offset=True, seed=1)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("start", [0, 1, 13, 14, 29])
def test_start_resumes_the_stream(tmp_path: pathlib.Path, start: int) -> None:
    paths = write_all(tmp_path, [640, 300])
    whole = stream(paths, 60, random_offset=True, cache="memory")
    rest = stream(paths, 20, random_offset=True, start=start)
    np.testing.assert_array_equal(rest, whole[start : start + 20])


def test_without_repeat_the_epoch_of_start_ends(tmp_path: pathlib.Path) -> None:
    paths = write_all(tmp_path, [640])
    for start, left in [(0, 10), (3, 7), (10, 10), (19, 1)]:
        assert len(epoch(paths, start=start)) == left
        assert len(epoch(paths, start=start, shuffle=True)) == left
    shapes = loader.make_dataset(
        paths, slice_len=64, batch_size=4, repeat=False
    )
    assert shapes.element_spec.shape == [4, 64, 1]
    assert len(list(shapes)) == 2


def test_random_offsets_stay_in_hop_and_file(tmp_path: pathlib.Path) -> None:
    ramp = (np.arange(200)[:, None] + 1) / 32768
    paths = [
        write(tmp_path / "a.wav", ramp),
        write(tmp_path / "b.wav", ramp[:9]),
    ]
    slices = stream(paths, 4 * 500, random_offset=True, shuffle=False) * 32768
    starts = slices[:, 0, 0].astype(int).reshape(500, 4) - 1
    np.testing.assert_array_equal(starts.min(axis=0), [0, 64, 128, 0])
    np.testing.assert_array_equal(starts.max(axis=0), [63, 127, 136, 0])
    counts = np.bincount(starts[:, 2] - 128)
    assert len(counts) == 9 and counts.min() > 25  # 56 each, were it even
    for row in slices.reshape(500, 4, 64)[:, :3].reshape(-1, 64):
        np.testing.assert_array_equal(row, row[0] + np.arange(64))


# From where: the caches, the graph, the disk


@pytest.mark.parametrize("normalize", [False, True])
def test_caches_change_no_bit(tmp_path: pathlib.Path, normalize: bool) -> None:
    paths = write_all(tmp_path, [640, 30, 64, 200])
    paths += [
        write(tmp_path / "a.flac", noise(3000), 22050),
        write(tmp_path / "a.mp3", noise(3000, 2)),
        write(tmp_path / "f.wav", noise(200) / 3, codec=("WAV", "FLOAT")),
        write(tmp_path / "u.wav", noise(200, 2), codec=("WAV", "PCM_U8")),
    ]
    rule: dict[str, Any] = {"normalize": normalize, "overlap_ratio": 0.4}
    rule |= {"random_offset": True, "pad_end": True, "batch_size": 20}
    wanted = stream(paths, 600, **rule)
    for cache in ("memory", "disk"):
        rule["cache"] = cache
        np.testing.assert_array_equal(stream(paths, 600, **rule), wanted)
        rest = stream(paths, 200, start=400, **rule)
        np.testing.assert_array_equal(rest, wanted[400:])


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_cached_slices_cost_no_decoding(
    tmp_path: pathlib.Path, cache: str
) -> None:
    paths = write_all(tmp_path / "audio", [640, 30, 200])
    paths.append(write(tmp_path / "audio" / "a.flac", noise(300)))
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


def test_caches_must_fit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = loader.index_slices([info_of(6400)], 64)
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
def test_the_graph_and_soundfile_agree(
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
        write(tmp_path / "1.wav", audio[:, :1], codec=codec),
        write(tmp_path / "2.wav", audio[:50], codec=codec),
    ]
    rule: dict[str, Any] = {"normalize": normalize, "channels": channels}
    with monkeypatch.context() as patch:
        patch.setattr(loader, "_route", lambda info, index: 0)
        wanted = epoch(paths, **rule)
    forbid(monkeypatch, "_read")
    np.testing.assert_array_equal(epoch(paths, **rule), wanted)


def test_the_graph_sees_only_intact_wav(tmp_path: pathlib.Path) -> None:
    whole = pathlib.Path(write(tmp_path / "a.wav", noise(101))).read_bytes()
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
        "junk behind": (whole + b"junk!", False),
        "second chunk": (
            whole + b"LIST" + struct.pack("<I", 4) + b"1234",
            False,
        ),
        "cut": (whole[:-20], False),
        "block align 0": (whole[:32] + b"\0\0" + whole[34:], False),
        "bytes a second 0": (whole[:28] + bytes(4) + whole[32:], False),
        "data size unknown": (whole[:40] + b"\xff" * 4 + whole[44:], False),
    }
    for name, (contents, intact) in files.items():
        path = tmp_path / f"{name}.wav"
        path.write_bytes(contents)
        infos, _ = loader.scan_audio([path])
        assert infos[0].intact == intact, name
        assert infos[0].num_samples == (91 if name == "cut" else 101), name
        wanted = slow_slices(noise(101), 64, 64, True, False)
        np.testing.assert_array_equal(
            epoch([str(path)], first_slice=True), wanted
        )


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3"])
@pytest.mark.parametrize("rate", [RATE, 44100])
def test_long_files_are_read_by_windows(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    rate: int,
) -> None:
    path = write(tmp_path / f"long.{ending}", noise(500_000), rate)
    reads = []
    read = soundfile.SoundFile.read

    def counted(self: Any, frames: int = -1, *args: Any, **kwargs: Any) -> Any:
        reads.append(frames)
        return read(self, frames, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    monkeypatch.setattr(loader, "_BLOCK_LEN", 4096)
    stream([path], 8, slice_len=1024)
    assert min(reads) > 0 and max(reads) <= (1024 + 3 * 256 + 160) * 3
    reads.clear()
    stream([path], 8, slice_len=1024, normalize=True)  # needs every sample
    assert sum(reads) > 500_000 and max(reads) <= (4096 + 3 * 256 + 160) * 3


# What goes wrong


@pytest.mark.parametrize("ending", ["wav", "aiff", "flac", "mp3"])
def test_cut_files_give_what_is_there(
    tmp_path: pathlib.Path, warnings: list[str], ending: str
) -> None:
    path = pathlib.Path(write(tmp_path / f"a.{ending}", noise(20000)))
    full = loader.decode_audio(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 5 // 8])
    infos, skipped = loader.scan_audio([path])
    loader.scan_audio([path])
    there = infos[0].num_samples
    assert not skipped and 4000 < there < 19000
    text = f"header says 20000 samples, file has {there}"
    assert len(warnings) == 1 and text in warnings[0]
    assert str(path) in warnings[0]
    slices = epoch([str(path)])
    assert len(slices) == there // 64 and np.abs(slices[-1]).max() > 0.1
    np.testing.assert_allclose(
        slices[:40].ravel(), full[: 40 * 64, 0], atol=2e-5
    )


def test_unusable_files_are_skipped_and_named(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    good = write(tmp_path / "good.wav", noise(64))
    whole = pathlib.Path(good).read_bytes()
    bad = {
        "empty.ogg": b"",
        "random.mp3": np.random.default_rng(0).bytes(3000),
        "page.wav": b"<html>no</html>",
        "header.wav": whole[:20],
        "no data.wav": whole[:40] + bytes(4),
    }
    for name, contents in bad.items():
        (tmp_path / name).write_bytes(contents)
    os.mkfifo(tmp_path / "pipe.wav")
    names = [*bad, "pipe.wav", "missing.wav"]
    paths = [str(tmp_path / name) for name in names]
    infos, skipped = loader.scan_audio([*paths, good])
    assert [info.path for info in infos] == [good]
    assert list(skipped) == paths
    assert all(why and "\n" not in why for why in skipped.values())
    slices = epoch([*paths, good])
    np.testing.assert_array_equal(slices, noise(64)[None])
    assert len(warnings) == 1 and "skipped 7 of 8" in warnings[0]
    assert paths[0] in warnings[0] and skipped[paths[0]] in warnings[0]
    with pytest.raises(ValueError, match="none of 7 files .*empty.ogg"):
        epoch(paths)


def test_headers_are_read_once_until_the_file_changes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.wav", noise(64))
    before = loader.scan_audio([path])
    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "SoundFile", None)
        assert loader.scan_audio([path]) == before
    write(tmp_path / "a.wav", noise(99))
    assert loader.scan_audio([path])[0][0].num_samples == 99


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_samples_that_are_no_numbers_are_errors(
    tmp_path: pathlib.Path, value: float
) -> None:
    audio = noise(100)
    audio[17] = value
    path = write(tmp_path / "bad.wav", audio, codec=("WAV", "FLOAT"))
    with pytest.raises(ValueError, match="bad.wav.*NaN or infinite"):
        loader.decode_audio(path)
    with pytest.raises(tf.errors.OpError, match="bad.wav.*NaN or infinite"):
        epoch([path])


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_damage_after_the_scan_names_the_file(
    tmp_path: pathlib.Path, ending: str
) -> None:
    path = pathlib.Path(write(tmp_path / f"bad.{ending}", noise(5000)))
    for damaged in (path.read_bytes()[:99], b"no audio"):
        dataset = loader.make_dataset([path], slice_len=5000, batch_size=1)
        contents = path.read_bytes()
        path.write_bytes(damaged)
        with pytest.raises(tf.errors.OpError, match=f"bad.{ending}': "):
            next(iter(dataset))
        path.write_bytes(contents)
    damaged = bytearray(path.read_bytes())
    if ending == "flac":  # one byte in the middle: only decoding shows it
        damaged[len(damaged) // 2] ^= 0x55
        path.write_bytes(damaged)
        with pytest.raises(tf.errors.OpError, match="bad.flac': "):
            epoch([str(path)])


def test_any_file_name_will_do(tmp_path: pathlib.Path) -> None:
    for name in [b"sm\xc3\xb8r\n[1]*.wav", b"\xff\xfe.wav", b"\xff.flac"]:
        path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118
        source = write(tmp_path / "in" / f"x.{name[-4:].decode()}", noise(64))
        os.rename(source, path)  # noqa: PTH104
    (tmp_path / "in").rmdir()
    paths = loader.find_audio(tmp_path)
    assert len(paths) == 3
    np.testing.assert_array_equal(epoch(paths), [noise(64)] * 3)


@pytest.mark.parametrize(
    "settings",
    [
        {"overlap_ratio": 1.0},
        {"overlap_ratio": -0.1},
        {"overlap_ratio": 0.999},
        {"slice_len": 0},
        {"sample_rate": 0},
        {"channels": 0},
        {"batch_size": 0},
        {"start": -1},
        {"cache": "ram"},
        {"batch_size": 4, "repeat": False},
    ],
    ids=str,
)
def test_bad_settings_are_errors_in_one_line(
    tmp_path: pathlib.Path, settings: dict[str, Any]
) -> None:
    path = write(tmp_path / "a.wav", noise(130))
    rule = {"slice_len": 64, "batch_size": 2} | settings
    with pytest.raises(ValueError, match=": choose ") as caught:
        loader.make_dataset([path], **rule)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        loader.decode_audio(tmp_path / "none.wav")


def test_fast_wav_is_16_bit_or_float_at_the_rate(
    tmp_path: pathlib.Path,
) -> None:
    for codec in CODECS:
        path = write(tmp_path / "-".join(codec), noise(9), codec=codec)
        info = loader.scan_audio([path])[0][0]
        standard = codec[0][:3] == "WAV" and codec[1] in ("PCM_16", "FLOAT")
        assert info.is_standard_wav(RATE) == standard
        assert not info.is_standard_wav(22050)
