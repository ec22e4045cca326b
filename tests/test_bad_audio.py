"""Tests each kind of unusual audio file in docs/audio_files.md."""

import io
import os
import pathlib
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import wavs

import loader

ROOT = pathlib.Path(__file__).resolve().parent.parent
SLICE_LEN = 1024
NOISE = wavs.noise(1500)


def encode(
    audio: np.ndarray,
    kind: str = "WAV",
    codec: str | None = None,
    rate: int = wavs.RATE,
) -> bytes:
    """The contents of an audio file."""
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=kind, subtype=codec)
    return file.getvalue()


WAV = encode(NOISE)


def tone(rate: int = wavs.RATE, length: int = 4000) -> np.ndarray:
    """A quarter of a second that swells and fades."""
    times = np.arange(length * rate // wavs.RATE) / rate
    swell = np.sin(np.pi * times / times[-1]) ** 2
    return (0.5 * swell * np.sin(2 * np.pi * 300 * times))[:, None]


def patch(at: int, form: str, *values: int) -> bytes:
    """A WAV file with other numbers in its header."""
    new = struct.pack(form, *values)
    return WAV[:at] + new + WAV[at + len(new) :]


def sparse_wav(path: pathlib.Path, hours: int, rate: int, bits: int) -> None:
    """Writes hours of zeros that take no room on the disk."""
    align = bits // 8
    length = hours * 3600 * rate * align
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * align, align, bits)
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", length + 36) + b"WAVEfmt ")
        file.write(struct.pack("<I", 16) + form)
        file.write(b"data" + struct.pack("<I", length))
        file.truncate(44 + length)


def flip(contents: bytes) -> bytes:
    """Damages the middle."""
    middle = len(contents) // 2
    flipped = bytes([contents[middle] ^ 0x55])
    return contents[:middle] + flipped + contents[middle + 1 :]


def id3(size: int) -> bytes:
    """A tag with a picture, as stands at the start of an MP3 file."""
    frame = b"APIC" + struct.pack(">IH", size, 0) + b"\xff\xd8" * (size // 2)
    sevens = [len(frame) >> shift & 127 for shift in (21, 14, 7, 0)]
    return b"ID3\x03\0\0" + bytes(sevens) + frame


def link(path: pathlib.Path, target: str) -> None:
    """Makes a symbolic link."""
    path.symlink_to(target)


def shut(path: pathlib.Path) -> None:
    """Makes a file that only root may read."""
    path.write_bytes(WAV)
    path.chmod(0)


def rewrite(path: pathlib.Path) -> None:
    """Changes a file's samples, not its size."""
    old = path.stat()
    path.write_bytes(path.read_bytes()[:-10] + bytes(10))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns + 1))


class Row(NamedTuple):
    """What entries there are, and what is promised of them.

    `entries`: of each name its contents, or what makes it at a path;
    `wanted`: its samples, if known; `afterwards`: done once it is scanned.
    """

    promise: str
    entries: dict[str | bytes, bytes | Callable[[pathlib.Path], None]]
    wanted: np.ndarray | None = None
    atol: float = 2e-5
    afterwards: Callable[[pathlib.Path], None] | None = None


def coded(codec: str, atol: float, kind: str = "WAV") -> Row:
    """A codec that is only read."""
    return Row("used", {"x.wav": encode(tone(), kind, codec)}, tone(), atol)


def at_rates(*rates: int) -> Row:
    """The same sound at several rates."""
    entries: dict[Any, Any] = {
        f"x{rate}.wav": encode(tone(rate), "WAV", "FLOAT", rate)
        for rate in rates
    }
    return Row("converted", entries, tone(), 2e-3)


def mixed(channels: int) -> Row:
    """Channels to be averaged."""
    audio = wavs.noise(1500, channels)
    mean = audio.mean(axis=1, keepdims=True)
    return Row("converted", {"x.wav": encode(audio)}, mean)


def holding(value: float) -> bytes:
    """A float file with one odd sample."""
    audio = np.copy(NOISE)
    audio[17] = value
    return encode(audio, "WAV", "FLOAT")


def without_length(contents: bytes) -> bytes:
    """An MP3 file without the first frame, which states its length."""
    tag = max(contents.find(b"Xing"), contents.find(b"Info"))
    return contents[contents.find(contents[:2], tag) :]


def flac_of_length(num_samples: int) -> bytes:
    """A FLAC file whose header states this length; 0: none."""
    contents = encode(NOISE, "FLAC")
    return contents[:22] + struct.pack(">I", num_samples) + contents[26:]


CRASHING = sorted((ROOT / "tests/crashing_ogg").glob("*.ogg"))
ODD_CHUNK = b"LIST" + struct.pack("<I", 3) + b"123\0"
ROWS = {
    "8-bit WAV": coded("PCM_U8", 0.01),
    "16-bit WAV": coded("PCM_16", 4e-5),
    "24-bit WAV": coded("PCM_24", 2e-5),
    "32-bit WAV": coded("PCM_32", 2e-5),
    "32-bit float WAV": coded("FLOAT", 2e-5),
    "64-bit float WAV": coded("DOUBLE", 2e-5),
    "A-law WAV": coded("ALAW", 0.02),
    "mu-law WAV": coded("ULAW", 0.02),
    "IMA ADPCM WAV": coded("IMA_ADPCM", 0.02),
    "MS ADPCM WAV": coded("MS_ADPCM", 0.02),
    "WAVE_FORMAT_EXTENSIBLE": coded("PCM_16", 4e-5, "WAVEX"),
    "RF64": coded("PCM_16", 4e-5, "RF64"),
    "FLAC named .wav": coded("PCM_16", 4e-5, "FLAC"),
    "MP3 behind 200 kB of cover art": Row(
        "used", {"x.mp3": id3(200_000) + encode(tone(), "MP3")}, tone(), 0.02
    ),
    "W64, AU, AIFF-C, CAF, .wave": Row(
        "used",
        {
            "x.w64": encode(NOISE, "W64"),
            "x.au": encode(NOISE, "AU"),
            "x.aifc": encode(NOISE, "AIFF"),
            "x.caf": encode(NOISE, "CAF"),
            "x.WAVE": WAV,
        },
        NOISE,
    ),
    "Opus": Row("used", {"x.opus": encode(tone(), "OGG", "OPUS")}, tone(), 0.1),
    "MP3 without a length in its header": Row(
        "used", {"x.mp3": without_length(encode(tone(), "MP3"))}
    ),
    "two MP3 or Ogg files joined": Row(
        "used",
        {
            "x.ogg": 2 * encode(tone(), "OGG", "VORBIS"),
            "x.mp3": 2 * encode(tone(), "MP3"),
        },
    ),
    "FLAC without a length in its header": Row(
        "used", {"x.flac": flac_of_length(0)}, NOISE
    ),
    "8 to 192 kHz": at_rates(8000, 11025, 22050, 44100, 48000, 96000, 192000),
    "stereo": mixed(2),
    "5.1 channels": mixed(6),
    "silence": Row("used", {"x.wav": encode(0 * NOISE)}, 0 * NOISE),
    "DC": Row("used", {"x.wav": encode(0 * NOISE + 0.25)}, 0 * NOISE + 0.25),
    "full scale": Row(
        "used", {"x.wav": encode(np.sign(NOISE))}, np.sign(NOISE), 4e-5
    ),
    "float beyond full scale": Row(
        "converted",
        {"x.wav": encode(NOISE * 9, "WAV", "FLOAT")},
        np.clip(NOISE * 9, -1, 1),
        4e-5,
    ),
    "one sample": Row("used", {"x.wav": encode(NOISE[:1])}, NOISE[:1]),
    "ten hours": Row(
        "used", {"x.wav": lambda p: sparse_wav(p, 10, 16000, 16)}, 0 * NOISE
    ),
    "more than 24 hours": Row(
        "skipped", {"x.wav": lambda p: sparse_wav(p, 25, 1000, 8)}
    ),
    "odd chunk before the data": Row(
        "used", {"x.wav": WAV[:36] + ODD_CHUNK + WAV[36:]}, NOISE
    ),
    "odd chunk after the data": Row("used", {"x.wav": WAV + ODD_CHUNK}, NOISE),
    "data size of 2 GB or 4 GB in the header": Row(
        "used",
        {
            "x2.wav": patch(40, "<I", 0x7FFFFFFF),
            "x4.wav": patch(40, "<I", 0xFFFFFFFF),
        },
        NOISE,
    ),
    "data size of 0 in the header": Row(
        "skipped", {"x.wav": patch(40, "<I", 0)}
    ),
    "WAV cut short": Row("used", {"x.wav": WAV[: 44 + 2222]}, NOISE[:1111]),
    "header alone": Row("skipped", {"x.wav": WAV[:44], "y.wav": WAV[:30]}),
    "empty file": Row("skipped", {"x.wav": b"", "x.mp3": b""}),
    "text named .wav": Row("skipped", {"x.wav": b"<html>not found</html>" * 9}),
    "0 or 65,535 channels in the header": Row(
        "skipped",
        {
            "x0.wav": patch(22, "<HIIH", 0, 16000, 0, 0),
            "x1.wav": patch(22, "<H", 65535),
        },
    ),
    "more than 64 channels": Row(
        "skipped", {"x.wav": encode(np.zeros([100, 65]))}
    ),
    "rate of 0 in the header": Row(
        "skipped",
        {"x.wav": patch(24, "<II", 0, 0), "y.wav": patch(24, "<I", 0)},
    ),
    "NaN or infinite samples": Row(
        "dropped", {f"x{v}.wav": holding(v) for v in (np.nan, -np.inf, 1e30)}
    ),
    "damaged FLAC": Row(
        "dropped", {"x.flac": flip(encode(wavs.noise(5000), "FLAC"))}
    ),
    "Ogg with a damaged code book": Row(
        "skipped",
        {f"x{path.name}": path.read_bytes() for path in CRASHING},
    ),
    "deleted while training": Row(
        "dropped",
        {"x.wav": WAV, "x.flac": encode(NOISE, "FLAC")},
        afterwards=pathlib.Path.unlink,
    ),
    "rewritten while training": Row(
        "dropped",
        {"x.wav": WAV, "x.flac": encode(NOISE, "FLAC")},
        afterwards=rewrite,
    ),
    "names in Unicode, with a newline, not in UTF-8": Row(
        "used",
        dict.fromkeys(["xå音.wav", "x\n[1]*.wav", b"x\xff.wav"], WAV),
        NOISE,
    ),
    "link to a file": Row("used", {"x.wav": lambda p: link(p, "0.wav")}, NOISE),
    "link to nothing, or to itself": Row(
        "skipped",
        {
            "x.wav": lambda p: link(p, "none"),
            "y.wav": lambda p: link(p, "y.wav"),
        },
    ),
    "link to a folder": Row("ignored", {"x": lambda p: link(p, ".")}),
    "folder named x.wav": Row("ignored", {"x.wav": pathlib.Path.mkdir}),
    "no permission to read": Row("skipped", {"x.wav": shut}),
    "pipe": Row("skipped", {"x.wav": os.mkfifo}),
    ".DS_Store, ._x.wav, notes.txt": Row(
        "ignored", dict.fromkeys([".DS_Store", "._x.wav", "x.txt"], b"\0" * 99)
    ),
}


def make(folder: pathlib.Path, row: Row) -> list[pathlib.Path]:
    """Makes the entries of a row."""
    paths = []
    for name, entry in row.entries.items():
        path = folder / os.fsdecode(name)
        path.write_bytes(entry) if isinstance(entry, bytes) else entry(path)
        paths.append(path)
    return paths


@pytest.mark.parametrize("name", ROWS)
def test_damaged_audio_is_refused_or_read_as_documented(
    tmp_path: pathlib.Path, name: str
) -> None:
    row = ROWS[name]
    good = [wavs.write(tmp_path / f"{i}.wav", NOISE / (i + 1)) for i in (0, 1)]
    paths = make(tmp_path, row)
    with wavs.unprivileged():
        found = loader.find_audio(tmp_path)
        infos, skipped = loader.scan_audio(found)
    used = [info.path for info in infos]
    assert sorted([*used, *skipped]) == found

    dropped: list[tuple[str, str]] = []
    batches = loader.make_dataset(
        used,
        slice_len=SLICE_LEN,
        batch_size=4,
        first_slice=True,
        shuffle=False,
        repeat=False,
        drop_remainder=False,
        max_bad=1.0,
        on_skip=lambda *told: dropped.append(told),
    )
    if row.afterwards:
        for path in paths:
            row.afterwards(path)
    slices = np.concatenate([batch.numpy() for batch in batches])
    assert len(slices) == len(used) and np.all(np.abs(slices) <= 1)
    np.testing.assert_allclose(slices[0], NOISE[:SLICE_LEN], atol=2e-5)
    np.testing.assert_allclose(slices[1], NOISE[:SLICE_LEN] / 2, atol=4e-5)

    ours = sorted(map(str, paths))
    became = {
        "used": sorted({*used} - {*good} - {path for path, _ in dropped}),
        "skipped": sorted(skipped),
        "dropped": sorted(path for path, _ in dropped),
    }
    promise = "used" if row.promise == "converted" else row.promise
    wanted = {kind: ours if kind == promise else [] for kind in became}
    assert became == wanted
    for reason in [*skipped.values(), *(reason for _, reason in dropped)]:
        assert reason and "\n" not in reason
    if row.wanted is not None:
        clip = np.zeros([SLICE_LEN, 1])
        clip[: len(row.wanted)] = row.wanted[:SLICE_LEN]
        for piece in slices[2:]:
            np.testing.assert_allclose(piece, clip, atol=row.atol)
    if row.promise == "dropped":  # the next file's first comes in its place
        np.testing.assert_array_equal(slices[2:], slices[[0] * len(paths)])


def test_docs_list_the_same_damage_and_outcomes() -> None:
    rows = [f"| {name} | {row.promise} |" for name, row in ROWS.items()]
    page = (ROOT / "docs/audio_files.md").read_text()
    table = page.split("| audio | result |\n|---|---|\n")[1].split("\n\n")[0]
    assert table.splitlines() == rows, "\n".join(rows)


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--structures"]])
def test_randomly_damaged_files_end_in_an_error_or_finite_samples(
    tmp_path: pathlib.Path, more: list[str]
) -> None:
    for seed in range(3):
        wavs.write(tmp_path / f"{seed}.wav", wavs.noise(8000, seed=seed), 8000)
    command = [sys.executable, "benchmarks/fuzz.py", str(tmp_path)]
    done = subprocess.run(
        [*command, "--count", "150", *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.split()[:2] for line in done.stdout.splitlines()[:4])
    assert sorted(counts) == ["dropped", "skipped", "used", "warned"]
    assert sum(map(int, counts.values())) == 150
    assert min(int(counts[kind]) for kind in ("skipped", "used")) > 20
