"""Writes audio files for tests, and cuts them by slow reference slicers."""

import contextlib
import ctypes
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile

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
    """Writes a file; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, format=codec[0], subtype=codec[1])
    return str(path)


def write_all(folder: pathlib.Path, lens: list[int]) -> list[str]:
    """Writes files of these lengths, each with other noise."""
    return [
        write(folder / f"{i:02}.wav", noise(n, seed=i))
        for i, n in enumerate(lens)
    ]


def write_all_but_one(folder: pathlib.Path) -> pathlib.Path:
    """Writes 20 files of which `7.wav` proves broken once it is read."""
    for i in range(20):
        samples = np.full(300, np.nan if i == 7 else 0.1)
        write(folder / f"{i}.wav", samples, codec=("WAV", "FLOAT"))
    return folder


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
    """Where the rule cuts, one by one."""
    if num_samples < slice_len or first:
        return [0]
    offsets = []
    for offset in range(0, num_samples, hop):
        if pad_end or offset + slice_len <= num_samples:
            offsets.append(offset)
    return offsets


def slow_slices(audio: np.ndarray, slice_len: int, *rule: Any) -> np.ndarray:
    """What the rule cuts, padded with zeros."""
    padded = np.concatenate([audio, np.zeros([slice_len, *audio.shape[1:]])])
    offsets = slow_offsets(len(audio), slice_len, *rule)
    return np.stack([padded[o : o + slice_len] for o in offsets])


def info_of(num_samples: int, rate: int = RATE) -> loader.AudioInfo:
    """A header of a file that is not there."""
    header = "x.wav", num_samples, rate, 1, "WAV", "PCM_16", 1, 1, True
    return loader.AudioInfo(*header)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Lets permissions bind this thread, even that of root, for a while.

    Takes the thread the effective capabilities DAC_OVERRIDE (bit 1) and
    DAC_READ_SEARCH (bit 2), where there are such.
    """
    libc = ctypes.CDLL(None)
    version_3, this_thread = 0x20080522, 0
    header = (ctypes.c_uint32 * 2)(version_3, this_thread)
    sets = (ctypes.c_uint32 * 6)()
    if not hasattr(libc, "capget") or libc.capget(header, sets):
        yield
        return
    before = sets[0]
    sets[0] = before & ~0b110
    libc.capset(header, sets)
    try:
        yield
    finally:
        sets[0] = before
        libc.capset(header, sets)
