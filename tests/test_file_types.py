"""Every file type that is read: a slice equals that part of the whole file."""

import pathlib
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
import soundfile

import loader
from audio import decode, headers

HAS_FFMPEG = shutil.which("ffmpeg") is not None
RATES = 16000, 22050, 48000
# How thoroughly a file type is tested: channels, sampling rates and slices.
SHORT = pytest.param(2, (48000,), 20, id="short")
THOROUGH = [
    pytest.param(channels, RATES, 200, id=str(channels), marks=pytest.mark.slow)
    for channels in (1, 2)
]
# File ending -> what soundfile writes: format and codec.
BY_SOUNDFILE = {
    ".wav": ("WAV", "PCM_16"),
    ".wave": ("WAV", "FLOAT"),
    ".w64": ("W64", "PCM_24"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aif": ("AIFF", "PCM_16"),
    ".aiff": ("AIFF", "FLOAT"),
    ".aifc": ("AIFF", "ULAW"),
    ".au": ("AU", "PCM_16"),
    ".caf": ("CAF", "ALAC_16"),
}
MORE_BY_SOUNDFILE = {
    "adpcm.wav": ("WAV", "MS_ADPCM"),
    "ima.wav": ("WAV", "IMA_ADPCM"),
    "nms.wav": ("WAV", "NMS_ADPCM_16"),
    "g721.au": ("AU", "G721_32"),
    "dwvw.aiff": ("AIFF", "DWVW_16"),
}
# File ending -> arguments of ffmpeg.
BY_FFMPEG = {
    ".wav": "-c:a pcm_s24le",
    ".wave": "-f wav",
    ".w64": "",
    ".flac": "",
    ".ogg": "-q:a 4",
    ".oga": "-c:a libvorbis",
    ".opus": "",
    ".mp3": "-q:a 2",
    ".mp2": "",
    ".aif": "",
    ".aiff": "-c:a pcm_f32be",
    ".aifc": "-f aiff",
    ".au": "",
    ".caf": "",
}
MORE_BY_FFMPEG = {
    "low.mp3": "-q:a 9",
    "constant.mp3": "-b:a 64k",
    "without_xing.mp3": "-write_xing 0",
    "flac.oga": "",
    ".m4a": "",
    ".aac": "",
    ".wma": "",
    ".webm": "",
    ".mka": "",
    ".wv": "",
    ".tta": "",
}
UNKNOWN_TO_FFMPEG = "NMS_ADPCM_16", "G721_32", "DWVW_16"
# Largest difference to ffmpeg's decoders, where it is more than rounding.
TOLERANCES = {"adpcm.wav": 0.02, "ima.wav": 0.02, ".opus": 1e-3, ".mp2": 1e-4}
OPUS = ".opus", ".webm"  # types that know 24000 Hz, but not 22050 Hz


def rates_of(name: str, rates: tuple[int, ...]) -> list[int]:
    """Replaces the rate that Opus does not know."""
    return [24000 if r == 22050 and name in OPUS else r for r in rates]


def hits(rate: int, channels: int, seconds: float = 4.0) -> np.ndarray:
    """Short decaying hits between silences, which vary the bitrate."""
    rng = np.random.default_rng(0)
    audio = np.zeros([int(seconds * rate), channels], np.float32)
    for start in rng.integers(len(audio), size=int(4 * seconds)):
        times = np.arange(min(rate // 5, len(audio) - start))[:, None]
        tones = np.sin(times * rng.uniform(0.02, 0.6, channels))
        audio[start:][: len(times)] += 0.3 * tones * np.exp(-times / 800)
    return audio.clip(-0.9, 0.9)


def write_by_ffmpeg(
    path: pathlib.Path, audio: np.ndarray, rate: int, words: str = ""
) -> None:
    """Writes a file by ffmpeg, into a pipe if the words end in "pipe:"."""
    source = path.with_name("source.wav")
    soundfile.write(source, audio, rate)
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), *words.split()]
    if not words.endswith("pipe:"):
        command.append(str(path))
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    source.unlink()
    if words.endswith("pipe:"):
        path.write_bytes(done.stdout)


def decode_by_ffmpeg(path: str, channels: int) -> np.ndarray:
    """The whole file, by a decoder that is not ours."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return np.frombuffer(done.stdout, np.float32).reshape(-1, channels)


def check(path: str, channels: int, num_slices: int = 200) -> np.ndarray:
    """Checks slices against the whole file; returns the whole file."""
    info = headers.require_info(path)
    assert info.channels == channels
    whole = loader.decode_audio(path, channels=channels)
    assert len(whole) == info.num_samples
    rng = np.random.default_rng(1)
    rate, length = info.sample_rate, 1024
    for start in rng.integers(len(whole) - length, size=num_slices).tolist():
        part = decode.read(info, start, start + length, rate, channels)
        np.testing.assert_array_equal(part, whole[start : start + length])
    return whole


def compare(path: str, ours: np.ndarray, tolerance: float) -> None:
    """Compares a file with what ffmpeg decodes, if that has the same rate."""
    theirs = decode_by_ffmpeg(path, ours.shape[1])
    rate = headers.require_info(path).sample_rate
    if path.endswith(".opus") and rate != 48000:  # ffmpeg's only rate
        assert abs(len(theirs) / 48000 - len(ours) / rate) < 0.01
        return
    assert len(theirs) == len(ours)
    np.testing.assert_allclose(ours, theirs, atol=tolerance)


@pytest.mark.parametrize(
    ("channels", "rates", "num_slices"), [SHORT, *THOROUGH]
)
@pytest.mark.parametrize("name", [*BY_SOUNDFILE, *MORE_BY_SOUNDFILE])
def test_slices_equal_the_whole_of_files_by_soundfile(
    tmp_path: pathlib.Path,
    name: str,
    channels: int,
    rates: tuple[int, ...],
    num_slices: int,
) -> None:
    kind, codec = (BY_SOUNDFILE | MORE_BY_SOUNDFILE)[name]
    if channels == 2 and codec in UNKNOWN_TO_FFMPEG:
        channels = 1  # libsndfile writes no other
    for rate in rates_of(name, rates):
        path = tmp_path / f"{rate}{name}"
        settings: dict[str, Any] = {}
        if name == ".mp3":
            settings = {"bitrate_mode": "VARIABLE", "compression_level": 0.9}
        audio = hits(rate, channels)
        soundfile.write(
            path, audio, rate, format=kind, subtype=codec, **settings
        )
        whole = check(str(path), channels, num_slices)
        assert 0 <= len(whole) - len(audio) < 5000
        if HAS_FFMPEG and codec not in UNKNOWN_TO_FFMPEG:
            compare(str(path), whole, TOLERANCES.get(name, 2e-6))


@pytest.mark.skipif(not HAS_FFMPEG, reason="needs ffmpeg")
@pytest.mark.parametrize(
    ("channels", "rates", "num_slices"), [SHORT, *THOROUGH]
)
@pytest.mark.parametrize("name", [*BY_FFMPEG, *MORE_BY_FFMPEG])
def test_slices_equal_the_whole_of_files_by_ffmpeg(
    tmp_path: pathlib.Path,
    name: str,
    channels: int,
    rates: tuple[int, ...],
    num_slices: int,
) -> None:
    words = (BY_FFMPEG | MORE_BY_FFMPEG)[name]
    for rate in rates_of(name, rates):
        path = tmp_path / f"{rate}{name}"
        audio = hits(rate, channels)
        write_by_ffmpeg(path, audio, rate, words)
        whole = check(str(path), channels, num_slices)
        seconds = len(whole) / headers.require_info(path).sample_rate
        assert abs(seconds - len(audio) / rate) < 0.11
        compare(str(path), whole, TOLERANCES.get(name, 2e-6))


def test_every_ending_is_tried() -> None:
    assert {*BY_SOUNDFILE, *BY_FFMPEG} == {*headers.EXTENSIONS}
