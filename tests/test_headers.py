"""Tests which audio files are found, and how their headers are read."""

import os
import pathlib
import struct
import tracemalloc
from collections.abc import Iterable

import numpy as np
import pytest
import soundfile
import wavs

import loader
from audio import headers

# Which files


def test_audio_is_found_at_any_depth_in_order(tmp_path: pathlib.Path) -> None:
    wanted = [
        "B.WAV",
        "folder.wav/x.wav",
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
    (tmp_path / "link.wav").symlink_to(tmp_path / "B.WAV")
    (tmp_path / "to nothing.wav").symlink_to("none")
    wanted += ["pipe.wav", "link.wav", "to nothing.wav"]
    found = sorted(str(tmp_path / name) for name in wanted)
    assert loader.find_audio(tmp_path) == found


def test_links_to_folders_are_counted_and_named(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    good = wavs.write(tmp_path / "a" / "x.wav", wavs.noise(9))
    (tmp_path / "a" / "circle").symlink_to("..")
    (tmp_path / "evil\n\x1b[1m\udcff").symlink_to("a")
    assert loader.find_audio(tmp_path) == [good]
    assert len(warnings) == 1 and warnings[0].startswith("2 links to folders")
    assert "circle'" in warnings[0] and r"evil\n\x1b[1m\udcff" in warnings[0]


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    good = wavs.write(tmp_path / "a" / "x.wav", wavs.noise(9))
    (tmp_path / "shut\n").mkdir(0o000)
    with wavs.unprivileged():
        assert loader.find_audio(tmp_path) == [good]
    assert len(warnings) == 1 and r"shut\n' cannot be read" in warnings[0]
    assert "Permission denied" in warnings[0]


def test_a_train_folder_is_used_alone(tmp_path: pathlib.Path) -> None:
    inside = wavs.write(tmp_path / "train" / "a.wav", wavs.noise(9))
    wavs.write(tmp_path / "valid" / "b.wav", wavs.noise(9))
    assert loader.find_audio(tmp_path) == [inside]


def test_bad_folders_are_named_in_one_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.txt").touch()
    cases = {"none": FileNotFoundError, "a.txt": ValueError, "": ValueError}
    for name, error in cases.items():
        with pytest.raises(error, match=tmp_path.name) as caught:
            loader.find_audio(tmp_path / name)
        assert "\n" not in str(caught.value)


# What headers tell


def test_unusable_files_are_skipped_and_named(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    good = wavs.write(tmp_path / "good.wav", wavs.noise(64))
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
    slices = wavs.epoch([*paths, good])
    np.testing.assert_array_equal(slices, wavs.noise(64)[None])
    assert len(warnings) == 1 and "skipped 7 of 8" in warnings[0]
    assert paths[0] in warnings[0] and skipped[paths[0]] in warnings[0]
    with pytest.raises(ValueError, match="none of 7 files .*empty.ogg"):
        wavs.epoch(paths)


def test_headers_are_read_once_until_the_file_changes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wavs.write(tmp_path / "a.wav", wavs.noise(64))
    before = loader.scan_audio([path])
    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "SoundFile", None)
        assert loader.scan_audio([path]) == before
    wavs.write(tmp_path / "a.wav", wavs.noise(99))
    assert loader.scan_audio([path])[0][0].num_samples == 99


def test_known_files_are_opened_again_only_if_they_changed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = wavs.write_all(tmp_path, [64, 65, 66])
    known, _ = loader.scan_audio(paths)
    headers._known.clear()
    wavs.write(tmp_path / "01.wav", wavs.noise(99))
    opened: list[str] = []
    scan_file = headers._scan_file

    def watch(path: str, *rest: int) -> loader.AudioInfo | str:
        opened.append(path)
        return scan_file(path, *rest)

    monkeypatch.setattr(headers, "_scan_file", watch)
    infos, _ = loader.scan_audio(paths, known)
    assert opened == paths[1:2]
    assert [info.num_samples for info in infos] == [64, 99, 66]
    assert loader.scan_audio([], known) == ([], {})


def test_progress_goes_through_the_names(tmp_path: pathlib.Path) -> None:
    paths = wavs.write_all(tmp_path, [64, 65])
    seen: list[str] = []

    def progress(names: list[str]) -> Iterable[str]:
        assert len(names) == 3
        for name in names:
            seen.append(name)
            yield name

    infos, skipped = loader.scan_audio([*paths, "none"], progress=progress)
    assert seen == [*paths, "none"]
    assert len(infos) == 2 and list(skipped) == ["none"]


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("codec", wavs.CODECS, ids="-".join)
def test_plain_headers_are_read_as_libsndfile_reads_them(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    codec: tuple[str, str],
    channels: int,
) -> None:
    path = wavs.write(tmp_path / "x", wavs.noise(31, channels), codec=codec)
    extra = tmp_path / "extra.wav"  # a chunk before the data
    whole = pathlib.Path(path).read_bytes()
    chunk = b"LIST" + struct.pack("<I", 4) + b"1234"
    size = struct.pack("<I", len(whole) + len(chunk) - 8)
    extra.write_bytes(whole[:4] + size + whole[8:36] + chunk + whole[36:])
    parsed = loader.scan_audio([path, extra])
    headers._known.clear()
    monkeypatch.setattr(headers, "_parse", lambda *_: None)
    assert loader.scan_audio([path, extra]) == parsed


def test_many_files_take_little_memory(tmp_path: pathlib.Path) -> None:
    contents = pathlib.Path(
        wavs.write(tmp_path / "x.wav", wavs.noise(100))
    ).read_bytes()
    (tmp_path / "x.wav").unlink()
    for i in range(5000):
        (tmp_path / f"{i}.wav").write_bytes(contents)
    tracemalloc.start()
    infos, _ = loader.scan_audio(loader.find_audio(tmp_path))
    index = loader.index_slices(infos, 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert index.num_slices == len(infos) == 5000
    assert peak < 5000 * 2000


def test_fast_wav_is_16_bit_or_float_at_the_rate(
    tmp_path: pathlib.Path,
) -> None:
    for codec in wavs.CODECS:
        path = wavs.write(
            tmp_path / "-".join(codec), wavs.noise(9), codec=codec
        )
        info = loader.scan_audio([path])[0][0]
        standard = codec[0][:3] == "WAV" and codec[1] in ("PCM_16", "FLOAT")
        assert info.is_standard_wav(wavs.RATE) == standard
        assert not info.is_standard_wav(22050)
