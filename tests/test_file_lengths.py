"""Lengths that headers do not state, or state wrongly; ffmpeg's formats."""

import pathlib
import shutil

import numpy as np
import pytest
import soundfile
import test_file_types as file_types
import wavs

import loader
from audio import decode, headers, spool
from eval import clips

RATE = 22050
AUDIO = file_types.hits(RATE, 1)
LOUD_START = np.concatenate([wavs.noise(RATE), 0.01 * AUDIO])

needs_ffmpeg = pytest.mark.skipif(
    not file_types.HAS_FFMPEG, reason="needs ffmpeg"
)


def write(path: pathlib.Path, audio: np.ndarray = AUDIO) -> bytes:
    """Writes a file by soundfile; returns its contents."""
    kinds = {".mp3": "MP3", ".ogg": "OGG", ".opus": "OGG", ".flac": "FLAC"}
    codec = "OPUS" if path.suffix == ".opus" else None
    rate = 24000 if path.suffix == ".opus" else RATE
    soundfile.write(path, audio, rate, codec, format=kinds[path.suffix])
    return path.read_bytes()


def without_xing(contents: bytes) -> bytes:
    """An MP3 file without its first frame, which states the length."""
    tag = max(contents.find(b"Xing"), contents.find(b"Info"))
    start = contents.find(contents[:2], tag)
    return contents[start:]


@pytest.mark.parametrize("ending", [".mp3", ".ogg", ".opus"])
def test_joined_files_are_read_to_their_end(
    tmp_path: pathlib.Path, warnings: list[str], ending: str
) -> None:
    path = tmp_path / f"x{ending}"
    contents = write(path)
    alone = loader.decode_audio(path)
    path.write_bytes(contents + contents)
    both = loader.decode_audio(path)
    # Of MP3 files, what encoders put before and after comes along.
    assert 0 <= len(both) - 2 * len(alone) < 8000
    assert len(warnings) == 1 and "longer than it says" in warnings[0]
    if ending != ".mp3":
        np.testing.assert_array_equal(both, np.concatenate([alone, alone]))
    rate = headers.require_info(path).sample_rate
    slices = wavs.epoch([str(path)], slice_len=1024, sample_rate=rate)
    whole = both[: len(slices) * 1024].reshape(slices.shape)
    np.testing.assert_allclose(slices, whole, atol=2e-5)


@pytest.mark.parametrize("ending", [".mp3", ".ogg"])
def test_joined_files_of_two_rates_are_named(
    tmp_path: pathlib.Path, warnings: list[str], ending: str
) -> None:
    path = tmp_path / f"x{ending}"
    contents = write(path)
    soundfile.write(path, AUDIO, 44100)
    path.write_bytes(contents + path.read_bytes())
    infos, skipped = loader.scan_audio([path])
    (reason,) = skipped.values() or warnings
    assert str(path) in reason or ending == ".mp3"
    assert "its rate or its channels change midway" in reason
    assert all(info.num_samples == len(AUDIO) for info in infos)


def test_an_mp3_file_that_states_no_length_is_measured(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    path = tmp_path / "x.mp3"
    settings = {"bitrate_mode": "VARIABLE", "compression_level": 0.9}
    soundfile.write(path, LOUD_START, RATE, format="MP3", **settings)
    path.write_bytes(without_xing(path.read_bytes()))
    with soundfile.SoundFile(path) as file:  # libsndfile's guess
        assert file.frames < 0.8 * len(LOUD_START)
    audio = loader.decode_audio(path)
    assert 0 <= len(audio) - len(LOUD_START) < 4000
    assert not warnings


def test_a_flac_file_that_states_no_length_is_measured(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    path = tmp_path / "x.flac"
    contents = bytearray(write(path))
    contents[21] &= 0xF0
    contents[22:26] = bytes(4)
    path.write_bytes(contents)
    audio = loader.decode_audio(path)
    np.testing.assert_allclose(audio, AUDIO, atol=2e-5)
    assert not warnings
    file_types.check(str(path), 1)


def test_a_flac_file_with_more_frames_than_it_states_is_named(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    path = tmp_path / "x.flac"
    contents = bytearray(write(path))
    contents[22:26] = (20000).to_bytes(4, "big")
    path.write_bytes(contents)
    assert headers.require_info(path).num_samples == 20000
    assert len(warnings) == 1 and "is damaged, 20000 samples" in warnings[0]


def test_slices_of_joined_flac_files_are_of_the_first(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    path = tmp_path / "x.flac"
    first, second = write(path, wavs.noise(300_000)), write(path)
    path.write_bytes(first + second + first)
    info = headers.require_info(path)
    assert "is cut short" in warnings[0]  # its last frame cannot be decoded
    assert 290_000 < info.num_samples < 300_000
    whole = file_types.check(str(path), 1)
    np.testing.assert_array_equal(whole, wavs.noise(300_000)[: len(whole)])


def test_an_ogg_file_that_lacks_a_page_is_named(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    path = tmp_path / "x.ogg"
    contents = write(path, np.tile(AUDIO, (4, 1)))
    pages = contents.split(b"OggS")
    del pages[len(pages) // 2]
    path.write_bytes(b"OggS".join(pages))
    info = headers.require_info(path)
    assert len(loader.decode_audio(path)) == info.num_samples
    assert len(warnings) == 1 and str(path) in warnings[0]


@needs_ffmpeg
@pytest.mark.parametrize("words", ["-q:a 4 -f mp3 pipe:", "-f flac pipe:"])
def test_piped_files_are_measured(tmp_path: pathlib.Path, words: str) -> None:
    path = tmp_path / f"x.{words.split()[-2]}"
    file_types.write_by_ffmpeg(path, LOUD_START, RATE, words)
    assert 0 <= len(loader.decode_audio(path)) - len(LOUD_START) < 4000


def test_where_there_is_no_room_files_are_decoded_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.mp3"
    write(path)
    full = spool.Spool()
    monkeypatch.setattr(decode, "_spool", lambda: full)
    monkeypatch.setattr(full, "_limit", 1000)
    monkeypatch.setattr(spool, "_SHARE", 0.0)
    file_types.check(str(path), 1)


def test_a_spool_that_is_full_begins_anew(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = spool.Spool()
    monkeypatch.setattr(decode, "_spool", lambda: small)
    paths = [tmp_path / f"{i}.mp3" for i in range(3)]
    wholes = []
    for i, path in enumerate(paths):
        write(path, AUDIO * (i + 1) / 4)
        wholes.append(loader.decode_audio(path))
    monkeypatch.setattr(small, "_limit", 3 * 4 * len(AUDIO) // 2)
    monkeypatch.setattr(spool.shutil, "disk_usage", lambda _: Disk)
    for i in (0, 1, 0, 2, 1, 1, 2):
        info = headers.require_info(paths[i])
        part = decode.read(info, 5000, 6000, RATE, 1)
        np.testing.assert_array_equal(part, wholes[i][5000:6000])
        assert small._end <= small._limit


class Disk:
    """A disk with space for one and a half files."""

    free = 2 * 3 * 4 * len(AUDIO) // 2


# Formats that only ffmpeg decodes


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides ffmpeg from the scan and from its child processes."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(decode.decoders, "POOL", decode.decoders.Decoders(1))


@pytest.mark.usefixtures("no_ffmpeg")
def test_without_ffmpeg_its_formats_are_counted(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    good = wavs.write(tmp_path / "a.WAVE", wavs.noise(64), codec=("WAV", None))
    for name in ("b.m4a", "c.M4A", "d.wma", ".e.m4a", "f.txt"):
        (tmp_path / name).write_bytes(bytes(100))
    assert loader.find_audio(tmp_path) == [good]
    assert warnings == [
        "files that only ffmpeg decodes are left out: 2 .m4a, 1 .wma; install "
        "ffmpeg, or convert them"
    ]
    pathlib.Path(good).unlink()
    with pytest.raises(ValueError, match="2 .m4a, 1 .wma; install ffmpeg"):
        loader.find_audio(tmp_path)


@pytest.mark.usefixtures("no_ffmpeg")
def test_aac_named_mp3_is_called_aac(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(500))
    _, skipped = loader.scan_audio([path])
    assert "AAC is decoded by ffmpeg alone: install" in skipped[str(path)]


@needs_ffmpeg
def test_with_ffmpeg_its_formats_are_read(
    tmp_path: pathlib.Path, warnings: list[str]
) -> None:
    names = ["a.m4a", "b.wma", "c.aac", "d.webm"]
    for name in names:
        file_types.write_by_ffmpeg(tmp_path / name, AUDIO, RATE)
    shutil.copy(tmp_path / "c.aac", tmp_path / "e.mp3")
    (tmp_path / "f.m4a").write_bytes(bytes(4) + b"ftypM4A " + bytes(500))
    found = loader.find_audio(tmp_path)
    assert len(found) == 6 and not warnings
    infos, skipped = loader.scan_audio(found)
    assert len(infos) == 5
    assert "ffmpeg cannot decode it" in skipped[str(tmp_path / "f.m4a")]
    (audio,) = wavs.epoch([str(tmp_path / "e.mp3")], first_slice=True)
    assert audio.shape == (64, 1)


# Levels


def test_float_files_of_16_bit_scale_are_counted(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, scale in enumerate([1, 32768, 20000]):
        audio = np.pad(wavs.noise(20000) * scale, [[9000, 0], [0, 0]])
        wavs.write(tmp_path / f"{i}.wav", audio, codec=("WAV", "FLOAT"))
    wavs.write(tmp_path / "3.wav", wavs.noise(20000))
    infos, _ = loader.scan_audio(loader.find_audio(tmp_path))
    text = loader.describe_loud(infos)
    assert text.startswith("2 of 3 float files exceed full scale, by up to 1")
    assert loader.describe_loud(infos[:1]) == ""
    clips.from_folder(tmp_path)
    assert f"{text}; --normalize" in capsys.readouterr().err


def test_every_command_line_of_ffmpeg_works_on_names_with_a_dash(
    tmp_path: pathlib.Path,
) -> None:
    if not file_types.HAS_FFMPEG:
        pytest.skip("needs ffmpeg")
    path = tmp_path / "-i http:x.m4a"
    file_types.write_by_ffmpeg(tmp_path / "x.m4a", AUDIO, RATE)
    (tmp_path / "x.m4a").rename(path)
    assert len(loader.decode_audio(path)) > len(AUDIO)
