"""Tests the decoding of audio files, and its errors."""

import os
import pathlib
from typing import Any

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import wavs
from hypothesis import strategies as st

import loader

# What files hold


@pytest.mark.parametrize("codec", wavs.CODECS, ids="-".join)
def test_lossless_codecs_give_the_samples_written(
    tmp_path: pathlib.Path, codec: tuple[str, str]
) -> None:
    audio = wavs.noise(1001, 2)
    audio = np.round(audio * 128) / 128 if codec[1] == "PCM_U8" else audio
    path = wavs.write(tmp_path / "a", audio, codec=codec)
    decoded = loader.decode_audio(path, channels=2)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, audio)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_codecs_come_close(tmp_path: pathlib.Path, name: str) -> None:
    audio = 0.5 * np.sin(np.arange(8000) * 0.1)
    path = wavs.write(tmp_path / name, audio)
    decoded = loader.decode_audio(path)[:, 0]
    assert decoded.shape == audio.shape
    assert np.abs(decoded - audio)[1000:-1000].max() < 0.03


def test_mono_is_the_mean_and_more_is_a_copy(tmp_path: pathlib.Path) -> None:
    audio = wavs.noise(500, 3)
    path = wavs.write(tmp_path / "a.wav", audio)
    mean = (audio[:, 0] + audio[:, 1] + audio[:, 2]) / 3
    mono = loader.decode_audio(path)
    np.testing.assert_allclose(mono[:, 0], mean, atol=1e-7)
    np.testing.assert_array_equal(loader.decode_audio(path, channels=3), audio)
    np.testing.assert_allclose(wavs.epoch([path])[0], mono[:64], atol=2e-5)
    single = wavs.write(tmp_path / "b.wav", audio[:, :1])
    copies = loader.decode_audio(single, channels=2)
    np.testing.assert_array_equal(copies, np.repeat(audio[:, :1], 2, axis=1))
    np.testing.assert_array_equal(
        wavs.epoch([single], channels=2)[0], copies[:64]
    )
    with pytest.raises(ValueError, match="a.wav': 3 channels, not 1 or 2"):
        loader.make_dataset([path], slice_len=64, batch_size=1, channels=2)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_a_tone(tmp_path: pathlib.Path, rate: int) -> None:
    def tone(sample_rate: int, num_samples: int) -> np.ndarray:
        return 0.5 * np.sin(np.arange(num_samples) * 2750 / sample_rate)

    path = wavs.write(
        tmp_path / "a.wav", tone(rate, 20011), rate, ("WAV", "FLOAT")
    )
    audio = loader.decode_audio(path, wavs.RATE)[:, 0]
    assert len(audio) == int(np.ceil(20011 * wavs.RATE / rate))
    error = audio - tone(wavs.RATE, len(audio))
    assert np.abs(error[300:-300]).max() < 1e-4


@pytest.mark.parametrize("rate", [8000, 15999, 44100])
@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_windows_equal_the_whole(
    tmp_path: pathlib.Path, rate: int, ending: str
) -> None:
    path = wavs.write(tmp_path / f"a.{ending}", wavs.noise(90001), rate)
    whole = loader.decode_audio(path, wavs.RATE)
    windows = wavs.epoch(
        [path], slice_len=1024, overlap_ratio=0.3, pad_end=True
    )
    wanted = wavs.slow_slices(whole, 1024, 717, False, True)
    np.testing.assert_allclose(windows, wanted, atol=1e-4)


def test_normalize_divides_by_the_peak_of_the_file(
    tmp_path: pathlib.Path,
) -> None:
    for name, audio, rate in [
        ("short.wav", wavs.noise(200, 2), wavs.RATE),
        ("long.wav", wavs.noise(5000, 2), wavs.RATE),
        ("resampled.flac", wavs.noise(5000, 2), 44100),
        ("silence.wav", np.zeros([200, 2]), wavs.RATE),
    ]:
        path = wavs.write(tmp_path / name, audio, rate)
        plain = loader.decode_audio(path, wavs.RATE)
        whole = loader.decode_audio(path, wavs.RATE, normalize=True)
        peak = float(np.abs(plain).max()) or 1.0
        np.testing.assert_allclose(whole, plain / peak, atol=1e-6)
        slices = wavs.epoch([path], normalize=True)
        wanted = wavs.slow_slices(whole, 64, 64, False, False)
        np.testing.assert_allclose(slices, wanted, atol=1e-4)
        assert np.abs(slices).max() <= 1


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_loud_floats_are_clipped_or_normalized(
    tmp_path: pathlib.Path, subtype: str
) -> None:
    path = wavs.write(
        tmp_path / "a.wav", wavs.noise(64) * 8, codec=("WAV", subtype)
    )
    loud = loader.decode_audio(path)
    assert np.abs(loud).max() > 2
    clipped = np.clip(loud, -1, 32767 / 32768)
    np.testing.assert_array_equal(wavs.epoch([path])[0], clipped)
    scaled = loud / np.abs(loud).max()
    np.testing.assert_allclose(
        wavs.epoch([path], normalize=True)[0], scaled, atol=2e-5
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
    paths = wavs.write_all(tmp_path, [50, 64, 500])
    clips = loader.load_clips(paths, 64, wavs.RATE)
    assert clips.shape == (3, 64) and clips.dtype == np.float32
    for i, num_samples in enumerate([50, 64, 500]):
        wanted = wavs.slow_slices(
            wavs.noise(num_samples, seed=i), 64, 64, True, False
        )
        np.testing.assert_array_equal(clips[i], wanted[0, :, 0])


# What goes wrong


@pytest.mark.parametrize("ending", ["wav", "aiff", "flac", "mp3"])
def test_cut_files_give_what_is_there(
    tmp_path: pathlib.Path, warnings: list[str], ending: str
) -> None:
    path = pathlib.Path(wavs.write(tmp_path / f"a.{ending}", wavs.noise(20000)))
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
    slices = wavs.epoch([str(path)])
    assert len(slices) == there // 64 and np.abs(slices[-1]).max() > 0.1
    np.testing.assert_allclose(
        slices[:40].ravel(), full[: 40 * 64, 0], atol=2e-5
    )


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_samples_that_are_no_numbers_are_errors(
    tmp_path: pathlib.Path, value: float
) -> None:
    audio = wavs.noise(100)
    audio[17] = value
    path = wavs.write(tmp_path / "bad.wav", audio, codec=("WAV", "FLOAT"))
    with pytest.raises(ValueError, match="bad.wav.*NaN or infinite"):
        loader.decode_audio(path)
    with pytest.raises(tf.errors.OpError, match="bad.wav.*NaN or infinite"):
        wavs.epoch([path])


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_damage_after_the_scan_names_the_file(
    tmp_path: pathlib.Path, ending: str
) -> None:
    path = pathlib.Path(
        wavs.write(tmp_path / f"bad.{ending}", wavs.noise(5000))
    )
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
            wavs.epoch([str(path)])


def test_any_file_name_will_do(tmp_path: pathlib.Path) -> None:
    for name in [b"sm\xc3\xb8r\n[1]*.wav", b"\xff\xfe.wav", b"\xff.flac"]:
        path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118
        source = wavs.write(
            tmp_path / "in" / f"x.{name[-4:].decode()}", wavs.noise(64)
        )
        os.rename(source, path)  # noqa: PTH104
    (tmp_path / "in").rmdir()
    paths = loader.find_audio(tmp_path)
    assert len(paths) == 3
    np.testing.assert_array_equal(wavs.epoch(paths), [wavs.noise(64)] * 3)


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
    path = wavs.write(tmp_path / "a.wav", wavs.noise(130))
    rule = {"slice_len": 64, "batch_size": 2} | settings
    with pytest.raises(ValueError, match=": choose ") as caught:
        loader.make_dataset([path], **rule)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        loader.decode_audio(tmp_path / "none.wav")
